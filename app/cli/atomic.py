"""Files that are whole or not there: written beside their place, flushed to the disk, and renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty temporary file in the directory of `target`, which takes its place if the block ends well.

    The temporary file begins with a dot, so that no walk takes it for an input, and ends like `target`.

    Raises:
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".i2t-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp lets nobody else read it.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
        _sync_directory(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write(target: Path, data: bytes) -> None:
    """Write a file, and the directories that it is in.

    Raises:
        OSError: it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    # There is no other way to read it; setting it for a moment is seen by all threads, so it is done once.
    global _MASK
    if _MASK is None:
        _MASK = os.umask(0o022)
        os.umask(_MASK)
    return _MASK


_MASK: int | None = None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
