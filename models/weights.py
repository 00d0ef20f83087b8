"""What a whole set of a model's files is, and where it is on disk: in a directory, or in the hub's cache."""

import hashlib
import json
from collections.abc import Collection, Hashable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from models.base import Needs, Source
from models.errors import ModelUnavailable

_SAFETENSORS = ["model.safetensors", "model-*.safetensors"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin"]
_ONNX = ["*.onnx"]
_SUMS = "SHA256SUMS"


def find(source: Source, needs: Needs = ()) -> Path | None:
    """Return the directory that holds all of a model's files on this machine, or None. Opens no connection.

    Args:
        source: where the model comes from.
        needs: the files that its family reads besides `config.json` and weights; see `models.base.Model.files`.
    """
    if source.directory is not None:
        return source.directory if source.directory.is_dir() else None
    found = cached(source)
    return found if found and not missing(found, needs) else None


def missing(directory: Path, needs: Needs) -> list[str]:
    """Return the files that a directory lacks, such as `tokenizer.json or vocab.txt`."""
    names = {path.name for path in directory.iterdir()}
    lacking = lacking_files(names, needs)
    return lacking if has_weights(directory) else [*lacking, "model.safetensors or pytorch_model.bin"]


def lacking_files(names: Collection[str], needs: Needs) -> list[str]:
    """Return which small files are not among `names`."""
    return [" or ".join(need) for need in (("config.json",), *needs) if not any(name in names for name in need)]


def cached(source: Source) -> Path | None:
    """Return the directory of the hub's cache that has files of a model's revision, however many."""
    from huggingface_hub import try_to_load_from_cache

    if source.hub_id is None:
        return None
    found = try_to_load_from_cache(source.hub_id, "config.json", revision=source.revision)
    return Path(found).parent if isinstance(found, str) else None


def identity(source: Source) -> Hashable:
    """Return what tells the weights of a source from others: the repository and its revision; of a directory the sums
    that were published with it, else the names, sizes and times of its files."""
    if source.directory is None:
        return source.hub_id, source.revision
    sums = source.directory / _SUMS
    try:
        if sums.is_file():
            return hashlib.sha256(sums.read_bytes()).hexdigest()
        files = sorted(path for path in source.directory.iterdir() if path.is_file())
        found = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError:
        # It has no weights that could be loaded.
        return str(source.directory)
    return hashlib.sha256(repr(found).encode()).hexdigest()


def has_weights(directory: Path) -> bool:
    """Return whether the weights are complete. An interrupted download leaves only small files, or some shards."""
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
    """Check that safetensors are complete, and compare the files of a checkpoint with its SHA256SUMS if it has one, as
    the checkpoints of this project do.

    Raises:
        ModelUnavailable: a file is missing or cut off, or is not the one that was published.
    """
    for path in _files(directory, _SAFETENSORS):
        try:
            # `safe_open` reads the header, and checks the length of the file against it.
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
        raise ModelUnavailable(f"its files do not match its {_SUMS}: download them again") from error
