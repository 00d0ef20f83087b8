"""What the service needs of a store."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Stores images as the bytes that were uploaded."""

    def keep(self, data: bytes, sha256: str, format: str) -> AbstractContextManager[str]:
        """Write an image, and keep it if the block succeeds. Equal images are one file. The block gets the name that
        the image has after it. While the block runs, the image is not removed to free space.

        Raises:
            StorageFull: there is no space for it.
            StorageFailed: it cannot be written.
        """

    def find(self, name: str) -> Path:
        """Return the file of a name that `keep` gave.

        Raises:
            NotFound: there is none.
        """

    def delete(self, name: str) -> None:
        """Remove an image.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be removed.
        """

    def tidy(self) -> None:
        """Remove the images that are too old, and the oldest ones beyond the limit of size."""
