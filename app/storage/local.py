"""Images in a directory of this machine, each under the SHA-256 of its bytes."""

import contextlib
import logging
import re
import uuid
from pathlib import Path

from app.errors import NotFound, StorageFull

log = logging.getLogger(__name__)

_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{2,4}")
_PARTIAL = ".partial-"


class LocalStore:
    """A directory of images. A file appears under its name only when it is whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> None:
        """Make the directory, remove what a killed process left half-written, and say so if it cannot be written."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for leftover in self._directory.glob(f"{_PARTIAL}*"):
                leftover.unlink()
            probe = self._directory / f"{_PARTIAL}probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            log.warning("IMAGES_DIR %s cannot be written (%s): uploads will get 507", self._directory, error.strerror)

    def put(self, data: bytes, sha256: str, format: str) -> str:
        name = f"{sha256}.{_EXTENSIONS.get(format, format.lower())}"
        target = self._directory / name
        partial = self._directory / f"{_PARTIAL}{uuid.uuid4().hex}"
        try:
            if target.exists():
                return name
            partial.write_bytes(data)
            partial.replace(target)
        except OSError as error:
            log.error("cannot save %s: %s", name, error)
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StorageFull(
                f"the image could not be saved ({error.strerror}): see IMAGES_DIR, or set SAVE_UPLOADS=false"
            ) from error
        return name

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
            raise StorageFull(f"the image could not be removed ({error.strerror})") from error
