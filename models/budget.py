"""The memory budget of models. If another model needs memory, idle models are unloaded, the least recently used
first."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import weights
from models.backends import allocator
from models.base import Loaded
from models.errors import BudgetExhausted, ModelUnavailable

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds to wait until enough of the models at work become idle."""
_RETRY_AFTER = 5.0


class Share:
    """The share of one model in a budget, and the model while it is loaded. The budget's condition guards its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loaded: Loaded | None = None
        self.loaded_at = 0.0
        """When the model was loaded last, in seconds of the monotonic clock."""
        self.used_at = 0.0
        """When the model was used last, in seconds of the monotonic clock."""
        self.users = 0
        self.size = 0
        self.displaced = False
        """Whether the model is to leave memory as soon as nobody uses it."""


class MemoryBudget:
    """The shares of all models.

    limit: in bytes, None for none. It holds for the sizes of the weights on disk; in a smaller number format they take
        less memory.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._shares: list[Share] = []
        self._changed = threading.Condition()

    def add(self, name: str) -> Share:
        """Return the share of another model."""
        self._shares.append(Share(name))
        return self._shares[-1]

    @contextmanager
    def in_use(self, share: Share) -> Iterator[None]:
        """Keep the model in memory while the block runs."""
        with self._changed:
            # Otherwise a model that is never idle would keep out the one that waits for its memory.
            self._changed.wait_for(lambda: not share.displaced, PATIENCE)
            share.users += 1
        try:
            yield
        finally:
            with self._changed:
                share.users -= 1
                share.used_at = time.monotonic()
                self._changed.notify_all()

    def reserve(self, share: Share, directory: Path) -> None:
        """Reserve memory for the weights in `directory`, and unload other models for that.

        Raises:
            ModelUnavailable: the weights are larger than the limit.
            BudgetExhausted: the other models stay at work.
        """
        size = weights.size(directory)
        if self._limit is not None and size > self._limit:
            raise ModelUnavailable(
                f"its weights take {size / 1e6:,.0f} MB, more than MAX_MODEL_MEMORY_MB allows: raise it, or use a "
                "smaller model"
            )
        displaced: list[Share] = []
        with self._changed:
            try:
                if not self._changed.wait_for(lambda: self._unload_for(size, displaced), PATIENCE):
                    raise BudgetExhausted(
                        f"{share.name}: models in use fill the memory budget (MAX_MODEL_MEMORY_MB)", _RETRY_AFTER
                    )
            finally:
                for other in displaced:
                    other.displaced = False
                self._changed.notify_all()
            share.size = size

    def set_loaded(self, share: Share, loaded: Loaded) -> None:
        """Store a loaded model in its share."""
        with self._changed:
            share.loaded = loaded
            share.loaded_at = share.used_at = time.monotonic()

    def release(self, share: Share) -> None:
        """Release the memory reserved for a model that could not be loaded."""
        with self._changed:
            share.size = 0
            self._changed.notify_all()

    def unload(self, share: Share, idle: float = 0.0) -> bool:
        """Unload a model that nobody has used for `idle` seconds. Return whether it was unloaded."""
        with self._changed:
            if share.loaded is None or share.users or time.monotonic() - share.used_at < idle:
                return False
            self._unload(share)
            return True

    def _unload_for(self, size: int, displaced: list[Share]) -> bool:
        """Unload idle models until `size` bytes are free. If all of them are not enough, unload none, and return False.

        Then some of the models at work are displaced, the least recently used first: they take no further users, and
        all others go on.

        Args:
            size: the bytes.
            displaced: the models displaced for them so far; more are added.
        """
        if self._limit is None:
            return True
        lacking = sum(share.size for share in self._shares) + size - self._limit
        candidates = [
            share
            for share in sorted(self._shares, key=lambda share: share.used_at)
            if share.loaded is not None and (share in displaced or not share.displaced)
        ]
        idle = [share for share in candidates if not share.users]
        if sum(share.size for share in idle) >= lacking:
            # Who wants a displaced one waits already.
            for share in sorted(idle, key=lambda share: share not in displaced):
                if lacking > 0:
                    lacking -= share.size
                    self._unload(share)
            return True
        leaving = sum(share.size for share in {*idle, *displaced})
        for share in candidates:
            if leaving < lacking and share.users and share not in displaced:
                leaving += share.size
                share.displaced = True
                displaced.append(share)
        return False

    def _unload(self, share: Share) -> None:
        log.info("%s: unloaded", share.name)
        share.loaded, share.size = None, 0
        allocator.release()
        self._changed.notify_all()
