"""The cache of converted networks: the next start needs neither torch nor the conversion, and shares the files' memory.

Each entry is a directory, named by a hash of the weights and of what converts them. An entry is written under another
name and then renamed, so it is always complete. An entry that cannot be read is converted again. A new entry replaces
those of the same checkpoint directory whose weights or program are older.

Conversion runs in a process of its own: torch and the weights in float32 take several times the memory of the converted
networks, and all of it goes back to the system when the process ends.
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
from typing import Any

import openvino as ov

from models.backends import CheckpointReader, Graphs
from models.backends import openvino as backend
from models.base import Placement
from models.errors import ModelUnavailable, is_out_of_memory
from models.generation import Rules
from models.preprocessing.tokens import Tokens

log = logging.getLogger(__name__)

FORMAT = 3
"""Part of the name of each entry. Increase it with each change of `models/networks`, of a family's `read_checkpoint` or
of the conversion that changes converted networks, facts or rules."""
_LIBRARIES = ("openvino", "torch", "transformers", "tokenizers")

_ENCODER, _DECODER, _ABOUT, _HASHES = "encoder.xml", "decoder.xml", "about.json", "hashes.json"
_UNFINISHED = "unfinished-"
_ABANDONED_AFTER = 3600.0
"""Seconds after which an unfinished entry belongs to a process that was killed."""
# torch keeps the state of a trace in globals, so one network is traced at a time.
_converting = threading.Lock()
_hashing = threading.Lock()
_NOT_WRITTEN, _NO_MEMORY = 3, 4
# The search path of the service, so that the process runs the same code.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from models.backends.cache import main
main(*sys.argv[1:])
"""
_NOT_WEIGHTS = (".md", ".png", ".onnx", ".msgpack", ".h5", ".ot")


def load(
    read: CheckpointReader[Any], facts: type[Any], directory: Path, placement: Placement
) -> backend.OpenVinoNetwork:
    """Load a checkpoint on OpenVINO, from the cache if it has an entry, else converted and then cached.

    Raises:
        ValueError: the checkpoint lacks tensors, or CPUs do not have the number format.
        ModelUnavailable: the process that converts could not read the checkpoint.
        MemoryError: the memory does not suffice for the conversion.
    """
    precision = backend.precision_of(placement)
    if placement.cache is None:
        return _network(*_convert(read, directory, precision), precision, facts)
    try:
        cache = placement.cache.expanduser()
        cache.mkdir(parents=True, exist_ok=True)
        entry = cache / _key(_family(read), directory, precision, cache)
    except (OSError, RuntimeError) as error:
        log.warning("converted networks are not kept: %s", error)
        return _network(*_convert(read, directory, precision), precision, facts)
    if entry.exists():
        try:
            return _network(*_read(entry), precision, facts)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if is_out_of_memory(error):
                # A conversion takes more memory still.
                raise
            log.warning("%s is converted again: %s cannot be used: %s", directory.name, entry, error)
            shutil.rmtree(entry, ignore_errors=True)
    try:
        _fill(entry, read, directory, precision)
    except OSError as error:
        log.warning("converted networks are not kept: %s", error)
        return _network(*_convert(read, directory, precision), precision, facts)
    return _network(*_read(entry), precision, facts)


def prepared(graphs: Graphs[Any], placement: Placement) -> backend.OpenVinoNetwork:
    """Return networks that were built without a conversion, so quickly that there is nothing to keep.

    Raises:
        ValueError: CPUs do not have the number format.
    """
    from models.backends.conversion import finish

    precision = backend.precision_of(placement)
    encoder, decoder = finish(graphs.encoder, graphs.decoder, precision)
    return backend.OpenVinoNetwork(encoder, decoder, precision, None, graphs.rules, graphs.facts)


def _family(read: CheckpointReader[Any]) -> str:
    return read.__module__.rpartition(".")[2]


def _fill(entry: Path, read: CheckpointReader[Any], directory: Path, precision: str) -> None:
    """Convert a checkpoint and write the entry, in a process of its own unless this one has imported torch already.

    Raises:
        OSError: the entry cannot be written.
        ModelUnavailable: the checkpoint cannot be read or converted; the process logs why.
        MemoryError: the memory does not suffice, or the process was killed.
    """
    if "torch" in sys.modules:
        _write(entry, directory, precision, *_convert(read, directory, precision))
        return
    program = _PROGRAM.format(path=sys.path)
    with _converting:
        status = subprocess.run(
            [sys.executable, "-c", program, entry, read.__module__, read.__name__, directory, precision],
            stdout=subprocess.DEVNULL,
        ).returncode
    if status == _NOT_WRITTEN:
        raise OSError(f"{entry} could not be written")
    if status == _NO_MEMORY or status < 0:
        raise MemoryError("the process that converts the model ran out of memory, or was killed")
    if status:
        raise ModelUnavailable("its weights could not be read or converted")


def main(entry: str, module: str, function: str, directory: str, precision: str) -> None:
    """Convert a checkpoint and write the entry. Errors go to the log, and the exit status tells `_fill` their kind."""
    # Control-C reaches the whole process group, and the service first finishes its work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        read = getattr(importlib.import_module(module), function)
        _write(Path(entry), Path(directory), precision, *_convert(read, Path(directory), precision))
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(_NOT_WRITTEN)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(error, file=sys.stderr)
        sys.exit(_NO_MEMORY)


def _network(
    encoder: ov.Model, decoder: ov.Model, about: dict[str, Any], precision: str, facts: type[Any]
) -> backend.OpenVinoNetwork:
    tokens = Tokens(*about["tokenizer"]) if about["tokenizer"] else None
    restored = (_restored(Rules, about["rules"]), _restored(facts, about["facts"]))
    return backend.OpenVinoNetwork(encoder, decoder, precision, tokens, *restored)


def _restored(dataclass: type[Any], fields: dict[str, Any]) -> Any:
    """Make a dataclass from its fields in JSON, which has lists in place of tuples."""
    return dataclass(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def _convert(read: CheckpointReader[Any], directory: Path, precision: str) -> tuple[ov.Model, ov.Model, dict[str, Any]]:
    import torch

    from models.backends.conversion import convert

    with _converting:
        try:
            checkpoint = read(directory, torch.float32)
        except OSError as error:
            # An OSError of this module means that the cache cannot be written.
            raise ValueError(f"{directory} cannot be read") from error
        about = {
            "tokenizer": checkpoint.tokens and [checkpoint.tokens.serialised, checkpoint.tokens.clean_up],
            "rules": asdict(checkpoint.rules),
            "facts": asdict(checkpoint.facts),
        }
        return *convert(checkpoint, precision), about


def _write(
    entry: Path, directory: Path, precision: str, encoder: ov.Model, decoder: ov.Model, about: dict[str, Any]
) -> None:
    _remove_abandoned(entry.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=entry.parent))
    try:
        for name, network in ((_ENCODER, encoder), (_DECODER, decoder)):
            _save(network, unfinished / name)
        about["sizes"] = {path.name: path.stat().st_size for path in unfinished.iterdir()}
        about["made_from"] = _made_from(directory, precision)
        (unfinished / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        unfinished.rename(entry)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        # Another process may have written the same entry first.
        if not (isinstance(error, OSError) and entry.exists()):
            raise
    _remove_replaced(entry, about["made_from"])


def _save(network: ov.Model, path: Path) -> None:
    try:
        ov.save_model(network, path, compress_to_fp16=False)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        # OpenVINO raises a RuntimeError when the disk is full.
        raise OSError(f"{path} could not be written: {error}") from error


def _made_from(directory: Path, precision: str) -> list[str]:
    """Return the checkpoint and number format of an entry. In the hub's cache, all revisions of a repository are one
    checkpoint."""
    path = directory.resolve()
    return [str(path.parents[1] if path.parent.name == "snapshots" else path), precision]


def _remove_replaced(entry: Path, made_from: list[str]) -> None:
    """Remove other entries of the same checkpoint: of older weights, or of another version of the program. A process
    that has their files open keeps them."""
    for other in entry.parent.glob(f"{entry.name.rpartition('-')[0]}-*"):
        # An entry that cannot be read is left to those that use it.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            about = json.loads((other / _ABOUT).read_text(encoding="utf-8"))
            # The first versions of the program did not write what an entry is made from.
            if other != entry and about.get("made_from", made_from) == made_from:
                shutil.rmtree(other, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """Remove what killed processes left unfinished, which may be as large as whole networks."""
    for left in cache.glob(f"{_UNFINISHED}*"):
        # Another process may rename it at the same time.
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _read(entry: Path) -> tuple[ov.Model, ov.Model, dict[str, Any]]:
    about = json.loads((entry / _ABOUT).read_text(encoding="utf-8"))
    for name, size in about["sizes"].items():
        if (entry / name).stat().st_size != size:
            raise ValueError(f"the size of {name} is not the one that was written")
    return backend.CORE.read_model(entry / _ENCODER), backend.CORE.read_model(entry / _DECODER), about


def _key(family: str, directory: Path, precision: str, cache: Path) -> str:
    """Return the name of the entry for a checkpoint, for this program and these libraries."""
    files = [path for path in sorted(directory.iterdir()) if path.is_file() and path.suffix not in _NOT_WEIGHTS]
    with _hashing:
        hashes = _hashes(files, cache / _HASHES)
    parts = [str(FORMAT), *(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)]
    parts += [precision, str(backend.computed_in(precision))]
    parts += [f"{path.name} {digest}" for path, digest in zip(files, hashes, strict=True)]
    return f"{family}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _hashes(files: list[Path], known_path: Path) -> list[str]:
    """Return the hash of each file. A file with the path, size and time of a known hash is not read again."""
    try:
        known = json.loads(known_path.read_text(encoding="utf-8"))
        assert isinstance(known, dict)
    except (OSError, ValueError, AssertionError):
        known = {}
    hashes = []
    for path in files:
        real = path.resolve()
        status = real.stat()
        version = [status.st_size, status.st_mtime_ns]
        *known_version, digest = known.get(str(real)) or [None]
        if known_version != version:
            with real.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            known[str(real)] = [*version, digest]
        hashes.append(str(digest))
    # Without this file, the next start hashes all files again.
    unfinished = known_path.with_name(f"{_UNFINISHED}{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        unfinished.write_text(json.dumps(known), encoding="utf-8")
        unfinished.replace(known_path)
    return hashes
