"""The weights of models on disk: where they are, whether they are complete, and how they are downloaded."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.base import ModelUnavailable, Source

log = logging.getLogger(__name__)

_SMALL_FILES = ["*.json", "*.txt", "*.model"]
_SAFETENSORS = ["model.safetensors", "model-*.safetensors"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin"]
_ONNX = ["*.onnx"]
_SUMS = "SHA256SUMS"
_TIMEOUT = 5.0


def find(source: Source) -> Path | None:
    """Return the directory of a model's files on this machine, or None if some are missing. Opens no connection."""
    if source.directory is not None:
        return source.directory if source.directory.is_dir() else None
    if source.hub_id is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = snapshot_download(
            source.hub_id, revision=source.revision, allow_patterns=_SMALL_FILES, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return Path(path) if has_weights(Path(path)) else None


def has_weights(directory: Path) -> bool:
    """Return True if all files of the weights are there. An interrupted download leaves only small files, or some
    shards."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (directory / name).is_file():
            return True
        index = directory / f"{name}.index.json"
        if index.is_file():
            try:
                shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return False
            return all((directory / shard).is_file() for shard in shards)
    return False


def size(directory: Path) -> int:
    """Return the bytes of the weights in a directory, of the format that is loaded."""
    formats = (_files(directory, patterns) for patterns in (_SAFETENSORS, _PICKLED, _ONNX))
    return sum(file.stat().st_size for file in next(filter(None, formats), []))


def _files(directory: Path, patterns: list[str]) -> list[Path]:
    """Return the files that match the first of the patterns that has any: one whole file, else its shards."""
    found = (sorted(directory.glob(pattern)) for pattern in patterns)
    return next(filter(None, found), [])


def verify(directory: Path) -> None:
    """Check that safetensors are complete, and that files have the hashes in SHA256SUMS, if the checkpoint has it.

    Raises:
        ModelUnavailable: a file is missing or cut off, or has another hash.
    """
    for path in _files(directory, _SAFETENSORS):
        try:
            # This reads the header and compares the length of the file with it.
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ModelUnavailable(f"{path.name} is cut off or damaged: get it again") from error
    sums = directory / _SUMS
    if not sums.is_file():
        return
    try:
        for line in sums.read_text(encoding="utf-8").splitlines():
            expected, name = line.split(maxsplit=1)
            with (directory / name.removeprefix("*")).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise ValueError(name)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"its files are not those of its {_SUMS}: get them again") from error


def download(source: Source, report: Callable[[float], None]) -> Path:
    """Download a model's files, or those that are missing. `report` is called with the fraction done.

    The weights are safetensors if the repository has them, else `pytorch_model.bin`, which is only read as tensors.

    Raises:
        ModelUnavailable: the hub cannot be reached, or does not have the files.
    """
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import filter_repo_objects

    if source.hub_id is None:
        raise ModelUnavailable("the directory of its weights is missing")
    try:
        # This request has a short timeout and no retries: snapshot_download alone takes long to fail.
        info = HfApi().model_info(source.hub_id, revision=source.revision, timeout=_TIMEOUT, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        weights = _SAFETENSORS if any(name.endswith(".safetensors") for name in sizes) else _PICKLED
        wanted = _SMALL_FILES + weights
        total = sum(sizes[name] for name in filter_repo_objects(sizes, allow_patterns=wanted))
        # Log this only now: while the hub is unreachable, downloads are tried again and again.
        log.info("downloading %s (%.0f MB)", source.hub_id, total / 1e6)
        path = snapshot_download(
            source.hub_id, revision=source.revision, allow_patterns=wanted, tqdm_class=_reporting_bar(total, report)
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise ModelUnavailable(f"the hub answered {status} for {source.hub_id}") from error
    except Exception as error:
        # The messages of httpx2, the operating system and the accelerated downloader contain addresses or paths.
        reached = not isinstance(error, httpx2.HTTPError | OfflineModeIsEnabled)
        raise ModelUnavailable(
            f"the {'download failed' if reached else 'hub could not be reached'}: "
            "MODEL_PATHS can name a directory that holds the model instead"
        ) from error
    return Path(path)


def _reporting_bar(total: int, report: Callable[[float], None]) -> Any:
    """Return a class of progress bars, drawn on terminals only, that reports the fraction of `total` bytes."""
    from huggingface_hub.utils import tqdm

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
            super().__init__(*args, name=name, **kwargs)  # type: ignore[no-untyped-call]
            # The hub has three bars: files, bytes received, and bytes written, which is the progress.
            self.written = 0.0 if name == "huggingface_hub.snapshot_download" else None

        def update(self, n: float | None = 1) -> bool | None:
            if self.written is not None and total:
                self.written += n or 0
                report(min(self.written / total, 1.0))
            return bool(super().update(n))

    return ReportingBar
