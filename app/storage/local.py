"""Images in a directory of this machine, each under the SHA-256 of its bytes."""

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from app.errors import NotFound, StorageFailed, StorageFull
from app.storage.base import is_name, name_of

log = logging.getLogger(__name__)

_PARTIAL = ".partial-"
_PAUSE = 0.001
_ABANDONED_AFTER = 86_400.0
"""Seconds after which a partial file counts as abandoned, on file systems without locks."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Kept(NamedTuple):
    """The size of an image in bytes, and when it was stored, in seconds of wall-clock time."""

    size: int
    came: float


class LocalStore:
    """A directory of images. A file appears under its name only when it is whole.

    Args:
        directory: where they are.
        max_bytes: the limit of their total size, beyond which the oldest are removed; 0 for none.
        max_age: after how many seconds an image is removed; 0 for never.
    """

    def __init__(self, directory: Path, max_bytes: int = 0, max_age: float = 0) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        """The stored images, the oldest first. Files that other programs add count from the next start on."""
        self._total = 0
        self._in_use: Counter[str] = Counter()

    def open(self) -> None:
        """Make the directory, remove partial files of killed processes, and warn if the directory is not writable."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for leftover in self._directory.glob(f"{_PARTIAL}*"):
                _sweep(leftover)
            probe = self._directory / f"{_PARTIAL}{uuid.uuid4().hex}"
            probe.touch()
            # Another copy of the service that starts now may have removed it.
            probe.unlink(missing_ok=True)
            for name, image in sorted(self._found(), key=lambda item: item[1].came):
                self._note(name, image)
        except OSError as error:
            log.warning("IMAGES_DIR %s cannot be written (%s): uploads will get 507", self._directory, error.strerror)
        self.tidy()

    @contextlib.contextmanager
    def keep(self, data: bytes, sha256: str, format: str) -> Iterator[str]:
        name = name_of(sha256, format)
        target = self._directory / name
        partial = self._directory / f"{_PARTIAL}{uuid.uuid4().hex}"
        with self._using(name, len(data)), contextlib.ExitStack() as partial_file:
            if 0 < self._max_bytes < self._total:
                self.tidy()
            with _as_storage_error(name):
                if is_new := not _renewed(target):
                    partial_file.enter_context(_written(partial, data))
            yield name
            with _as_storage_error(name):
                if is_new:
                    partial.replace(target)

    def find(self, name: str) -> Path:
        if is_name(name):
            path = self._directory / name
            with contextlib.suppress(OSError):
                if path.is_file():
                    return path
        raise NotFound(f"there is no image {name!r}")

    def delete(self, name: str) -> None:
        try:
            self.find(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageFailed(f"the image could not be removed ({error.strerror})") from error
        with self._lock:
            self._forget(name)

    def tidy(self) -> None:
        with self._lock:
            names = self._to_go()
        for name in names:
            # The lock is held for one file at a time, so that requests do not wait for thousands. A lock is not fair:
            # without a pause, its next holder would be this thread again.
            time.sleep(_PAUSE)
            with self._lock:
                if name in self._in_use:
                    continue
                try:
                    (self._directory / name).unlink(missing_ok=True)
                except OSError as error:
                    log.warning("cannot remove %s: %s", name, error)
                else:
                    self._forget(name)

    def _found(self) -> Iterator[tuple[str, _Kept]]:
        """Yield the names of the images that are there, with what is noted of each."""
        for path in self._directory.iterdir():
            if is_name(path.name):
                # Another copy of the service may remove it meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    stat = path.stat()
                    yield path.name, _Kept(stat.st_size, stat.st_mtime)

    def _to_go(self) -> list[str]:
        """Return the images to remove: those too old, and the oldest beyond the limit of size, except those in use."""
        too_much = self._total - self._max_bytes if self._max_bytes else 0
        oldest = time.time() - self._max_age if self._max_age else 0.0
        names = []
        for name, image in self._kept.items():
            if too_much <= 0 and image.came >= oldest:
                break
            if name not in self._in_use:
                names.append(name)
                too_much -= image.size
        return names

    @contextlib.contextmanager
    def _using(self, name: str, size: int) -> Iterator[None]:
        """Count an image as stored and in use during the block. Afterwards, forget it if it has no file."""
        if 0 < self._max_bytes < size:
            raise StorageFull("the image is larger than all that may be kept: see MAX_STORE_MB")
        with self._lock:
            self._in_use[name] += 1
            self._note(name, _Kept(size, time.time()))
        try:
            yield
        finally:
            with self._lock:
                self._in_use[name] -= 1
                if not self._in_use[name]:
                    del self._in_use[name]
                    # This is False as well if the directory itself is missing or not a directory.
                    if not os.path.exists(self._directory / name):
                        self._forget(name)

    def _note(self, name: str, image: _Kept) -> None:
        """Put an image at the end, as the youngest."""
        self._forget(name)
        self._kept[name] = image
        self._total += image.size

    def _forget(self, name: str) -> None:
        if (image := self._kept.pop(name, None)) is not None:
            self._total -= image.size


def _renewed(path: Path) -> bool:
    """Set the time of a file to now. Return whether the file exists; `Path.touch` would create it."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _written(path: Path, data: bytes) -> Iterator[None]:
    """Write a partial file. It is locked while the block runs, and removed at its end unless it was renamed.

    The lock ends with the process. By it, another instance on the same directory distinguishes a file in work from that
    of a killed process.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, path)
        file = _locked(path)
        while not path.exists():
            # Another instance removed the file before it was locked.
            file.close()
            file = _locked(path)
        stack.enter_context(file)
        file.write(data)
        file.flush()
        yield


def _locked(path: Path) -> BinaryIO:
    file = path.open("wb")
    # Some network file systems have no locks. There, `_sweep` decides by the age of the file.
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _sweep(partial: Path) -> None:
    """Remove a partial file that no living process is writing."""
    with contextlib.suppress(FileNotFoundError), partial.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if time.time() - os.fstat(file.fileno()).st_mtime < _ABANDONED_AFTER:
                return
        partial.unlink()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_storage_error(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("cannot save %s: %s", name, error)
        kind = StorageFull if error.errno in _NO_ROOM else StorageFailed
        raise kind(
            f"the image could not be saved ({error.strerror}): see IMAGES_DIR, or set SAVE_UPLOADS=false"
        ) from error
