"""What the service needs of a store."""

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Keeps images as the bytes that came."""

    def put(self, data: bytes, sha256: str, format: str) -> str:
        """Keep an image and return its name; the same image twice is one file.

        Raises:
            StorageFull: it cannot be written.
        """

    def find(self, name: str) -> Path:
        """Return the file of a name that `put` gave.

        Raises:
            NotFound: there is none.
        """

    def delete(self, name: str) -> None:
        """Remove an image.

        Raises:
            NotFound: there is none.
            StorageFull: it cannot be removed.
        """
