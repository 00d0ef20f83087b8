"""A cache of results in memory, for images that are sent again."""

import dataclasses
import sys
import threading
from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

from cachetools import LRUCache

from app.metrics import CACHE_LOOKUPS


class Cache(Protocol):
    """Results by all that they depend on. `ResultCache` is one in memory, `app.shared.cache` one of several copies."""

    def get(self, key: Hashable) -> Any:
        """Return the result of a key, or None."""

    def put(self, key: Hashable, value: Any, started: float) -> None:
        """Store a result, unless the stored one was begun later. `started` is when its computation began, in seconds of
        the monotonic clock."""


class _Item(NamedTuple):
    value: Any
    started: float
    size: int


class ResultCache:
    """A cache of at most `limit` bytes, keys included, which drops the least recently used results first. With a limit
    of 0 it stores nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: LRUCache[Hashable, _Item] = LRUCache(limit, getsizeof=lambda item: item.size)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return the result of a key, or None."""
        with self._lock:
            item = self._items.get(key)
        CACHE_LOOKUPS.labels("miss" if item is None else "hit").inc()
        return None if item is None else item.value

    def put(self, key: Hashable, value: Any, started: float) -> None:
        """Store a result, unless it is larger than the limit, or the stored one was begun later.

        Args:
            key: all that the result depends on.
            value: the result.
            started: when its computation began, in seconds of the monotonic clock.
        """
        # Where nothing is cached, nothing is measured, either.
        if not self._limit or (size := size_of(key) + size_of(value)) > self._limit:
            return
        with self._lock:
            stored = self._items.get(key)
            if stored is None or stored.started <= started:
                self._items[key] = _Item(value, started, size)


def size_of(value: Any) -> int:
    """Return the bytes that a value takes in memory, including its parts."""
    parts: Any = ()
    if dataclasses.is_dataclass(value):
        parts = (getattr(value, field.name) for field in dataclasses.fields(value))
    elif isinstance(value, tuple | list):
        parts = value
    return sys.getsizeof(value) + sum(map(size_of, parts))
