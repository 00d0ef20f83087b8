"""Downloads from the hub into its cache, with progress, from where an earlier attempt was broken off."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from models.base import ModelUnavailable, Needs, Source
from models.weights import cached, lacking_files, missing

log = logging.getLogger(__name__)

_SMALL_FILES = (".json", ".jinja", ".txt", ".model")
_TIMEOUT = 10.0
"""Seconds without a byte after which the hub counts as unreachable."""
_ATTEMPTS, _LONGEST_WAIT = 4, 60.0
"""The number of attempts if the hub is busy, and the longest wait in seconds between two of them."""
_BUSY = (429, 500, 502, 503, 504)


def download(source: Source, report: Callable[[float], None], needs: Needs = ()) -> Path:
    """Download a model's files, or complete them, and return their directory.

    Safetensors where the repository has them, else `pytorch_model.bin`, which is only ever read as tensors. Weights
    whose download was broken off, even by the end of the process, go on where they were.

    Args:
        source: of the model.
        report: is told the fraction done.
        needs: the files that its family reads; see `models.base.Model.files`.

    Raises:
        ModelUnavailable: the hub cannot be reached, or does not have the files.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if source.hub_id is None:
        raise ModelUnavailable(source.install or "the directory of its weights is missing")
    _refuse_if_offline(source, needs)
    info, revision = _info(source)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    weights = _weights(source.hub_id, sizes)
    if lacking := lacking_files(sizes, needs):
        raise ModelUnavailable(f"{source.hub_id} has no {', no '.join(lacking)}")
    small = [name for name in sizes if name.endswith(_SMALL_FILES) and "/" not in name]
    # Log only now, because the attempts before this repeat while the hub is unreachable.
    progress = _Progress(sum(sizes[name] for name in {*small, *weights}), report)
    log.info("downloading %s (%.0f MB)", source.hub_id, progress.total / 1e6)
    try:
        path = _fetch_all(source.hub_id, revision, info, small, weights, progress)
    except HfHubHTTPError as error:
        raise _refused(source, error) from error
    except Exception as error:
        # Of httpx2, of the operating system: each names addresses or paths.
        raise ModelUnavailable(
            "the download was broken off: what has come of the weights is kept, and the next attempt goes on from there"
        ) from error
    if revision != source.revision:
        _remember(path, str(source.revision))
    if lacking := missing(path, needs):
        raise ModelUnavailable(f"the download of {source.hub_id} lacks {', '.join(lacking)}")
    report(1.0)
    return path


def _refuse_if_offline(source: Source, needs: Needs) -> None:
    """Raise ModelUnavailable, with the files that the cache lacks, where downloads are forbidden."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() not in ("1", "ON", "YES", "TRUE"):
        return
    found = cached(source)
    lacking = f": the cache lacks {', '.join(missing(found, needs))}" if found else ""
    raise ModelUnavailable(
        f"HF_HUB_OFFLINE forbids to download {source.hub_id}{lacking}; MODEL_PATHS can name a directory instead"
    )


def _info(source: Source) -> tuple[Any, str | None]:
    """Return the hub's description of a repository, and the revision that exists: the source's, else its fallback.

    Raises:
        ModelUnavailable: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    revision = source.revision
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # Ask with a short timeout first, because snapshot_download takes long to give up.
            info = HfApi().model_info(str(source.hub_id), revision=revision, timeout=_TIMEOUT, files_metadata=True)
            return info, revision
        except RevisionNotFoundError as error:
            if source.fallback is None or revision == source.fallback:
                raise ModelUnavailable(f"the hub answered 404: {source.hub_id} has no revision {revision}") from error
            log.warning(
                "%s has no revision %s any more: %s is taken, which may answer otherwise than before",
                *(source.hub_id, revision, source.fallback),
            )
            revision = source.fallback
        except HfHubHTTPError as error:
            wait = _wait(error, attempt)
            if error.response.status_code not in _BUSY or wait > _LONGEST_WAIT or attempt == _ATTEMPTS:
                raise _refused(source, error) from error
            time.sleep(wait)
        except Exception as error:
            # Of httpx2, of the operating system: each names addresses or paths.
            raise ModelUnavailable(
                "the hub could not be reached: MODEL_PATHS can name a directory that holds the model instead"
            ) from error
    raise ModelUnavailable(f"the hub does not say what {source.hub_id} holds")


def _wait(error: Any, attempt: int) -> float:
    """Return the seconds to wait for a busy hub: its Retry-After, else a delay that doubles with each attempt."""
    asked: str = error.response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 2.0 ** (attempt - 1)


def _refused(source: Source, error: Any) -> ModelUnavailable:
    status = error.response.status_code
    said = f"the hub answered {status} for {source.hub_id}"
    if status in (401, 403):
        return ModelUnavailable(f"{said}: it is private, gated or not there; set HF_TOKEN to a token that may read it")
    if status == 404:
        return ModelUnavailable(f"{said}: no model of that name is there")
    return ModelUnavailable(said, max(_wait(error, 1), 30.0))


def _weights(hub_id: str, names: Collection[str]) -> list[str]:
    """Return the files that hold a repository's weights: the first set of those that transformers looks for.

    Raises:
        ModelUnavailable: there is none.
    """
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        if stem + suffix in names:
            return [stem + suffix]
        if f"{stem}{suffix}.index.json" in names:
            return [name for name in names if name.startswith(f"{stem}-") and name.endswith(suffix)]
    raise ModelUnavailable(f"{hub_id} has no model.safetensors and no pytorch_model.bin")


class _Progress:
    """Counts the bytes of a download, and calls `report` with the fraction of `total`."""

    def __init__(self, total: int, report: Callable[[float], None]) -> None:
        from huggingface_hub.utils import tqdm

        self.total, self._report = total, report
        self._done = 0.0
        self._lock = threading.Lock()
        progress = self

        class Bar(tqdm):
            """A progress bar of the hub's client, drawn on a terminal only."""

            def __init__(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
                super().__init__(*args, name=name, **kwargs)  # type: ignore[no-untyped-call]
                # Of the client's bars (files, bytes received, bytes written) these count bytes on the disk.
                self._counts = name in ("huggingface_hub.snapshot_download", "huggingface_hub.http_get")

            def update(self, n: float | None = 1) -> bool | None:
                if self._counts:
                    progress.add(n or 0)
                return bool(super().update(n))

        self.bar = Bar

    def add(self, count: float) -> None:
        """Count `count` more bytes."""
        with self._lock:
            self._done += count
            if self.total:
                self._report(min(self._done / self.total, 1.0))


def _fetch_all(
    hub_id: str, revision: str | None, info: Any, small: list[str], weights: list[str], progress: "_Progress"
) -> Path:
    """Bring all files of a repository's commit that are wanted into the hub's cache, and return their directory."""
    from huggingface_hub import snapshot_download

    snapshot_download(hub_id, revision=revision, allow_patterns=small, tqdm_class=progress.bar)
    for file in info.siblings:
        if file.rfilename in weights:
            _fetch(hub_id, info.sha, file, progress)
    # What has been fetched only gets its place.
    wanted = [*small, *weights]
    return Path(snapshot_download(hub_id, revision=info.sha, allow_patterns=wanted, tqdm_class=progress.bar))


def _fetch(hub_id: str, commit: str, file: Any, progress: _Progress) -> None:
    """Download a file of weights into the hub's cache. An interrupted download is resumed.

    The hub's client would write a new file at each attempt, and start again at the first byte.

    Raises:
        OSError: the hash of the file is not the one that the hub announced.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    etag = file.lfs.sha256 if file.lfs else file.blob_id
    folder = repo_folder_name(repo_id=hub_id, repo_type="model")
    blob = Path(HF_HUB_CACHE, folder, "blobs", etag)
    lock = Path(HF_HUB_CACHE, ".locks", folder, f"{etag}.lock")
    for directory in (blob.parent, lock.parent):
        directory.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            progress.add(file.size)
            return
        part = blob.with_name(f"{etag}.part.incomplete")
        with part.open("ab") as out:
            done = out.tell() if out.tell() <= file.size else out.truncate(0)
            progress.add(done)
            url = hf_hub_url(hub_id, file.rfilename, revision=commit)
            http_get(
                url,
                out,
                resume_size=done,
                headers=build_hf_headers(),
                expected_size=file.size,
                tqdm_class=progress.bar,
            )
        if file.lfs and _sha256(part) != etag:
            part.unlink()
            raise OSError(f"{file.rfilename} of {hub_id} is damaged")
        part.replace(blob)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remember(snapshot: Path, revision: str) -> None:
    """Map a revision that the hub no longer has to a snapshot in the cache, so that the next start finds it."""
    refs = snapshot.parent.parent / "refs"
    refs.mkdir(exist_ok=True)
    (refs / revision).write_text(snapshot.name, encoding="utf-8")
