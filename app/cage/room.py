"""Room for decoded images, which are large and wait for models: as much as they take is all that there is."""

import threading
import weakref

from PIL import Image


class Room:
    """How many bytes of decoded images are in memory, until the last who holds one lets go of it."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._taken = 0
        # Reentrant: an image may be collected in a thread that is just in here.
        self._changed = threading.Condition(threading.RLock())

    def wait(self, seconds: float) -> bool:
        """Wait for room, of which one image may then take more than there was, and say whether there is any."""
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
