"""Images in a directory of this machine, each under the SHA-256 of its bytes."""

import contextlib
import errno
import logging
import os
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.errors import NotFound, StorageFailed, StorageFull

log = logging.getLogger(__name__)

_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{2,4}")
_PARTIAL = ".partial-"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Kept(NamedTuple):
    """The size of an image in bytes, and when it came, in seconds of the clock on the wall."""

    size: int
    came: float


class LocalStore:
    """A directory of images. A file appears under its name only when it is whole.

    Args:
        directory: where they are.
        max_bytes: how much they may take in all: the oldest go first; 0 for any amount.
        max_age: after how many seconds an image is removed; 0 for never.
    """

    def __init__(self, directory: Path, max_bytes: int = 0, max_age: float = 0) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        """What is there, the oldest first; files that others add are counted from the next start on."""
        self._total = 0
        self._in_use: Counter[str] = Counter()

    def open(self) -> None:
        """Make the directory, remove what a killed process left half-written, and say so if it cannot be written."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for leftover in self._directory.glob(f"{_PARTIAL}*"):
                leftover.unlink()
            probe = self._directory / f"{_PARTIAL}probe"
            probe.touch()
            probe.unlink()
            found = ((path.name, path.stat()) for path in self._directory.iterdir() if _NAME.fullmatch(path.name))
            kept = [(name, _Kept(stat.st_size, stat.st_mtime)) for name, stat in found]
            for name, image in sorted(kept, key=lambda item: item[1].came):
                self._note(name, image)
        except OSError as error:
            log.warning("IMAGES_DIR %s cannot be written (%s): uploads will get 507", self._directory, error.strerror)
        self.tidy()

    @contextlib.contextmanager
    def keep(self, data: bytes, sha256: str, format: str) -> Iterator[str]:
        name = f"{sha256}.{_EXTENSIONS.get(format, format.lower())}"
        target = self._directory / name
        partial = self._directory / f"{_PARTIAL}{uuid.uuid4().hex}"
        with self._using(name, len(data)):
            self.tidy()
            try:
                with _as_storage_error(name):
                    if is_new := not target.exists():
                        partial.write_bytes(data)
                    else:
                        # For the next start: its age begins again.
                        target.touch()
                yield name
                with _as_storage_error(name):
                    if is_new:
                        partial.replace(target)
            finally:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)

    def find(self, name: str) -> Path:
        # The pattern also keeps a name from leading out of the directory.
        if _NAME.fullmatch(name):
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
            for name in self._to_go():
                try:
                    (self._directory / name).unlink(missing_ok=True)
                except OSError as error:
                    log.warning("cannot remove %s: %s", name, error)
                else:
                    self._forget(name)

    def _to_go(self) -> list[str]:
        """Return what is too old, and as many of the oldest as are too much, but none in use."""
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
        """Count an image as kept, and as in use; not so any more at the end if it is not there."""
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
                    # Of a directory that is not one, too.
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
