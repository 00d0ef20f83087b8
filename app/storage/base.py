"""What the service needs of a store."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Keeps images as the bytes that came."""

    def keep(self, data: bytes, sha256: str, format: str) -> AbstractContextManager[str]:
        """Write an image, and keep it if the block ends well; the same image twice is one file. The block is given the
        name that the image has from its end on, and for as long as it runs the image is not removed to make room.

        Raises:
            StorageFull: there is no room for it.
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
        """Remove what is too old, and the oldest of what is too much."""
