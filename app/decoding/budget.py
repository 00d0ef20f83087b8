"""Room for decoded images, which are large, and wait for models: a limit on the memory that all of them take."""

import threading
import weakref

from PIL import Image


class Room:
    """Counts the bytes of decoded images in memory. An image counts until nothing refers to it any more."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._taken = 0
        # Reentrant: an image may be collected in a thread that is just in here.
        self._changed = threading.Condition(threading.RLock())

    def wait(self, seconds: float) -> bool:
        """Wait for so many seconds until there is some room, and say whether there is. None of it is reserved, for how
        large the image will be nobody knows yet: each one who waited may go over the limit with his."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken < self._limit, seconds)

    def take(self, image: Image.Image, size: int) -> None:
        """Count an image of so many bytes."""
        self._change(size)
        weakref.finalize(image, self._change, -size).atexit = False

    def _change(self, size: int) -> None:
        with self._changed:
            self._taken += size
            self._changed.notify_all()
