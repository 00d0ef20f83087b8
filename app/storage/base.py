"""What the service needs of a store."""

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{2,4}")


def name_of(sha256: str, format: str) -> str:
    """Return the name of an image: the hash of its bytes, and an extension for its format by Pillow's name."""
    return f"{sha256}.{_EXTENSIONS.get(format, format.lower())}"


def is_name(name: str) -> bool:
    """Return whether `name_of` may have made a name. None of these leads out of a directory."""
    return _NAME.fullmatch(name) is not None


class Store(Protocol):
    """Stores images as the bytes that were uploaded."""

    def keep(self, data: bytes, sha256: str, format: str) -> AbstractContextManager[str]:
        """Keep an image if the block succeeds: a store on disk writes it before the block, one on a network after it.
        Equal images are one file. The block gets the name that the image has after it. While the block runs, the image
        is not removed to free space.

        Raises:
            StorageFull: there is no space for it.
            StorageFailed: it cannot be written.
        """

    def find(self, name: str) -> Path | BinaryIO:
        """Return the file of a name that `keep` gave, or what to read of it, which the caller closes.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be read.
        """

    def delete(self, name: str) -> None:
        """Remove an image.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be removed.
        """

    def tidy(self) -> None:
        """Remove the images that are too old, and the oldest ones beyond the limit of size."""
