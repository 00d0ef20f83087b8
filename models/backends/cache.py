"""Converted networks on disk: the next start needs neither torch nor the conversion, and shares the files' memory.

A directory for each set of weights, named by what it was made of and by what made it. It is written beside its place
and then moved there, so that what is there is whole; what cannot be used all the same is made again, and what another
version of this program made of the same is removed. All that is done in a process of its own: torch and weights in
float32 take several times the memory of the finished networks, and all goes back when it ends.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino as ov

import models
from models.backends import openvino as runtime
from models.base import ModelUnavailable, Placement, is_out_of_memory
from models.generation import Rules
from models.preprocessing.tokens import Tokens

if TYPE_CHECKING:
    from models.backends.openvino import OpenVinoNetwork

log = logging.getLogger(__name__)

_ENCODER, _DECODER, _ABOUT, _HASHES = "encoder.xml", "decoder.xml", "about.json", "hashes.json"
_UNFINISHED = "unfinished-"
_ABANDONED = 3600.0
"""Seconds after which nobody writes there any more."""
_SOURCES = ("captioning/*.py", "networks/*.py", "runtime/*.py", "generation.py", "tokens.py")
_VERSIONS = ("openvino", "torch", "transformers", "tokenizers")
# torch traces one network at a time: it keeps what it sees in globals.
_converting = threading.Lock()
_hashing = threading.Lock()
_NOT_WRITTEN, _NO_MEMORY = 3, 4
# With the search path of the service, so that the same code runs wherever it was started.
_APART = """
import sys
sys.path[:] = {path!r}
from models.backends.cache import main
main(*sys.argv[1:])
"""
_LEFT_OUT = (".md", ".png", ".onnx", ".msgpack", ".h5", ".ot")


def load(family: str, directory: Path, placement: Placement) -> "OpenVinoNetwork":
    """Load a checkpoint on OpenVINO, from the cache if it is there; otherwise it is put there.

    Raises:
        ValueError: the checkpoint does not hold all tensors, or the precision cannot be had.
        ModelUnavailable: the same, found out in another process.
    """
    precision = runtime.precision_of(placement)
    if placement.cache is None:
        return _open(*_convert(family, directory, precision), precision)
    try:
        cache = placement.cache.expanduser()
        cache.mkdir(parents=True, exist_ok=True)
        place = cache / _key(family, directory, precision, cache)
    except (OSError, RuntimeError) as error:
        log.warning("converted networks are not kept: %s", error)
        return _open(*_convert(family, directory, precision), precision)
    if place.exists():
        try:
            return _open(*_read(place), precision)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if is_out_of_memory(error):
                # To convert takes more.
                raise
            log.warning("%s is converted again: the cached networks in %s cannot be used: %s", family, place, error)
            shutil.rmtree(place, ignore_errors=True)
    try:
        _fill(place, family, directory, precision)
    except OSError as error:
        log.warning("converted networks are not kept: %s", error)
        return _open(*_convert(family, directory, precision), precision)
    return _open(*_read(place), precision)


def _fill(place: Path, family: str, directory: Path, precision: str) -> None:
    """Convert and write a checkpoint, in a process of its own unless torch is in this one already.

    Raises:
        OSError: it cannot be written, as for want of room.
        ModelUnavailable: the checkpoint could not be read or converted; that process has said in the log why.
        MemoryError: there is not enough for that, or the process was killed.
    """
    if "torch" in sys.modules:
        _make(place, family, directory, precision)
        return
    code = _APART.format(path=sys.path)
    with _converting:
        status = subprocess.run(
            [sys.executable, "-c", code, place, family, directory, precision], stdout=subprocess.DEVNULL
        ).returncode
    if status == _NOT_WRITTEN:
        raise OSError(f"{place} could not be written")
    if status == _NO_MEMORY or status < 0:
        raise MemoryError("the process that converts it had not enough memory, or was killed")
    if status:
        raise ModelUnavailable("its weights could not be read or converted")


def main(place: str, family: str, directory: str, precision: str) -> None:
    """Convert and write a checkpoint, and end with a status that `_fill` understands; what is wrong goes to the log."""
    # Control-C goes to the whole group; the service first finishes what is in work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _make(Path(place), family, Path(directory), precision)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(_NOT_WRITTEN)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(error, file=sys.stderr)
        sys.exit(_NO_MEMORY)


def _make(place: Path, family: str, directory: Path, precision: str) -> None:
    _write(place, *_convert(family, directory, precision))


def _open(encoder: Any, decoder: Any, about: dict[str, Any], precision: str) -> "OpenVinoNetwork":
    rules: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about["rules"].items()
    }
    tokens = Tokens(*about["tokenizer"]) if about["tokenizer"] else None
    return runtime.OpenVinoNetwork(encoder, decoder, precision, tokens, Rules(**rules), about["facts"])


def _convert(family: str, directory: Path, precision: str) -> tuple[Any, Any, dict[str, Any]]:
    import torch

    with _converting:
        try:
            networks = importlib.import_module(f"models.networks.{family}").load(directory, torch.float32)
        except OSError as error:
            # Of the checkpoint: an OSError of this module means that the cache cannot be written.
            raise ValueError(f"{directory} cannot be read") from error
        about = {
            "tokenizer": networks.tokens and [networks.tokens.serialised, networks.tokens.clean_up],
            "rules": asdict(networks.rules),
            "facts": networks.facts,
        }
        return *runtime.convert(networks, precision), about


def _write(place: Path, encoder: Any, decoder: Any, about: dict[str, Any]) -> None:
    _sweep(place.parent)
    made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=place.parent))
    try:
        for name, network in ((_ENCODER, encoder), (_DECODER, decoder)):
            _save(network, made / name)
        sizes = {path.name: path.stat().st_size for path in made.iterdir()}
        (made / _ABOUT).write_text(json.dumps(about | {"sizes": sizes}), encoding="utf-8")
        made.rename(place)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        # Else another process was faster.
        if not (isinstance(error, OSError) and place.exists()):
            raise
    for other in place.parent.glob(f"{place.name.rpartition('-')[0]}-*"):
        if other != place:
            # Whoever has it open keeps it.
            shutil.rmtree(other, ignore_errors=True)


def _save(network: Any, path: Path) -> None:
    try:
        ov.save_model(network, path, compress_to_fp16=False)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        # So OpenVINO says that there is no room.
        raise OSError(f"{path} could not be written: {error}") from error


def _sweep(cache: Path) -> None:
    """Remove what processes left that were killed while they wrote: it may be as large as whole networks."""
    for left in cache.glob(f"{_UNFINISHED}*"):
        # Another process may finish it just now.
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _read(place: Path) -> tuple[Any, Any, dict[str, Any]]:
    about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    for name, size in about["sizes"].items():
        if (place / name).stat().st_size != size:
            raise ValueError(f"{name} has not the size that it was written with")
    core = ov.Core()
    return core.read_model(place / _ENCODER), core.read_model(place / _DECODER), about


def _key(family: str, directory: Path, precision: str, cache: Path) -> str:
    """Return the name of what this program on these libraries makes of a checkpoint: up to the last dash it says of
    what, then by what."""
    package = Path(models.__file__).parent
    sources = [path for pattern in _SOURCES for path in sorted(package.glob(pattern))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _VERSIONS]
    files = [path for path in sorted(directory.iterdir()) if path.is_file() and path.suffix not in _LEFT_OUT]
    with _hashing:
        hashes = _hashes(files, cache / _HASHES)
    made_of = [family, precision, str(runtime.computed_in(precision))]
    made_of += [f"{path.name} {digest}" for path, digest in zip(files, hashes, strict=True)]
    made_by = versions + [path.read_text(encoding="utf-8") for path in sources]
    digests = [hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32] for parts in (made_of, made_by)]
    return "-".join([family, *digests])


def _hashes(files: list[Path], known_path: Path) -> list[str]:
    """Return the hash of each file. One whose path, size and time are those of last time is not read again."""
    try:
        known = json.loads(known_path.read_text(encoding="utf-8"))
        assert isinstance(known, dict)
    except (OSError, ValueError, AssertionError):
        known = {}
    hashes = []
    for path in files:
        real = path.resolve()
        status = real.stat()
        seen = f"{real} {status.st_size} {status.st_mtime_ns}"
        if seen not in known:
            with real.open("rb") as file:
                known[seen] = hashlib.file_digest(file, "sha256").hexdigest()
        hashes.append(str(known[seen]))
    # Without, the files are but read again.
    unfinished = known_path.with_name(f"{_UNFINISHED}{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        unfinished.write_text(json.dumps(known), encoding="utf-8")
        unfinished.replace(known_path)
    return hashes
