"""A limit on the memory that decoded images take in the service, where they wait for models."""

import threading
from collections.abc import Callable
from functools import partial

_BYTES_PER_PIXEL = 4
"""Pillow holds an RGB image in four bytes a pixel, one of them unused."""


class Budget:
    """Counts the bytes of decoded images."""

    def __init__(self, max_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        # Reentrant: the garbage collector may finalise an image in a thread that runs one of these methods.
        self._changed = threading.Condition(threading.RLock())

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` until decoded images take less than the limit. Return whether they do.

        Nothing is reserved, because the size of an image is not known before it is decoded: each caller may exceed the
        limit by one image.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._taken < self._max_bytes, seconds)

    def count(self, size: tuple[int, int]) -> Callable[[], None]:
        """Count an RGB image of `size`. Return a function that stops counting it."""
        taken = size[0] * size[1] * _BYTES_PER_PIXEL
        self._change(taken)
        return partial(self._change, -taken)

    def _change(self, size: int) -> None:
        with self._changed:
            self._taken += size
            self._changed.notify_all()
