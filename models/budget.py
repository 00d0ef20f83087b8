"""Which models are in memory, and room for another: what was not used longest, and is not in use, leaves first."""

import ctypes
import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.backends.threads import TURN
from models.base import Loaded, ModelUnavailable, NoRoom

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds to wait until enough of the models at work pause."""
_RETRY_AFTER = 5.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""As malloc.h of glibc has them."""
_KEPT = 8 * 2**20
"""Bytes: larger blocks are not kept for later, nor more at the end of an arena. What networks need again and again is
mostly smaller."""
_ARENAS = 8
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.onnx")


class Place:
    """Where one model is kept while it is loaded. All its state is guarded by its memory's condition."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loaded: Loaded | None = None
        self.loaded_at = 0.0
        """When it was loaded last, in seconds of the monotonic clock."""
        self.used_at = 0.0
        self.users = 0
        self.size = 0


class Memory:
    """The places of all models. `limit`, in bytes, holds for the weights of those that are loaded, counted as they are
    on disk: in a smaller number format they take less than that. None is no limit."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._places: list[Place] = []
        self._changed = threading.Condition()
        self._waiting = 0

    def place(self, name: str) -> Place:
        """Return a new place."""
        self._places.append(Place(name))
        return self._places[-1]

    @contextmanager
    def using(self, place: Place) -> Iterator[None]:
        """Let nothing take the place's model out of memory meanwhile."""
        with self._changed:
            # A model that is never idle would otherwise keep out one that waits for room.
            self._changed.wait_for(lambda: not self._waiting, PATIENCE)
            place.users += 1
        try:
            yield
        finally:
            with self._changed:
                place.users -= 1
                place.used_at = time.monotonic()
                self._changed.notify_all()

    def make_room(self, place: Place, directory: Path) -> None:
        """Take room for the weights in `directory`, which others have to leave for that.

        Raises:
            ModelUnavailable: they are larger than the limit.
            NoRoom: the others are at work.
        """
        size = weights_size(directory)
        if self._limit is not None and size > self._limit:
            raise ModelUnavailable(
                f"its weights take {size / 1e6:,.0f} MB, more than MAX_MODEL_MEMORY_MB allows: raise it, or use a "
                "smaller model"
            )
        with self._changed:
            self._waiting += 1
            try:
                if not self._changed.wait_for(lambda: self._makes_room(size), PATIENCE):
                    raise NoRoom(f"{place.name}: the memory for models is taken by others at work", _RETRY_AFTER)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            place.size = size

    def fill(self, place: Place, loaded: Loaded) -> None:
        """Put a model into its place."""
        with self._changed:
            place.loaded = loaded
            place.loaded_at = place.used_at = time.monotonic()

    def free(self, place: Place) -> None:
        """Give up the room of a model that could not be loaded."""
        with self._changed:
            place.size = 0
            self._changed.notify_all()

    def unload(self, place: Place, idle: float = 0.0) -> bool:
        """Take a model out of memory if nobody has used it for `idle` seconds, and say whether that was done."""
        with self._changed:
            if place.loaded is None or place.users or time.monotonic() - place.used_at < idle:
                return False
            self._unload(place)
            return True

    def _makes_room(self, size: int) -> bool:
        """Unload idle models until `size` bytes are free, if that is enough, and say whether it is."""
        if self._limit is None:
            return True
        lacking = sum(place.size for place in self._places) + size - self._limit
        idle = [place for place in self._places if place.loaded is not None and not place.users]
        if sum(place.size for place in idle) < lacking:
            return False
        for place in sorted(idle, key=lambda place: place.used_at):
            if lacking > 0:
                lacking -= place.size
                self._unload(place)
        return True

    def _unload(self, place: Place) -> None:
        log.info("%s: unloaded", place.name)
        place.loaded, place.size = None, 0
        _give_back()
        self._changed.notify_all()


def weights_size(directory: Path) -> int:
    """Return the bytes of the weights in a directory, of the kind that is loaded from it."""
    for pattern in _WEIGHTS:
        if files := list(directory.glob(pattern)):
            return sum(file.stat().st_size for file in files)
    return 0


def give_back_at_once() -> None:
    """Have glibc return large blocks to the operating system as soon as they are freed. By itself it keeps blocks of up
    to 32 MB once one of their size was freed, in each of its arenas, of which there are eight for every core."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, _ARENAS)


def _give_back() -> None:
    """Return what is not used any more to the operating system."""
    # Networks refer to themselves in circles.
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        # Not while a step is recorded as a CUDA graph.
        with TURN:
            torch.cuda.empty_cache()
    if sys.platform == "linux":
        # glibc keeps what was freed for later; musl has no such function, and does not.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
