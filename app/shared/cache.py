"""Results in Redis: what one copy computed, another answers with."""

import hashlib
import logging
import time
from collections.abc import Hashable

from app.metrics import CACHE_LOOKUPS
from app.shared import wire
from app.shared.state import SharedState
from app.types import Answer, Tags

log = logging.getLogger(__name__)

KEEP_SECONDS = 7 * 86_400
"""Seconds for which a result that nobody asks for is kept, where Redis has the memory."""
MAX_BYTES = 8_000_000
"""The largest result that is stored."""

# A hash of the result and of when its computation began.
_PUT = """
local begun = redis.call('HGET', KEYS[1], 'begun')
if begun and tonumber(begun) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'begun', ARGV[1], 'result', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class RedisCache:
    """Results that all copies remember. Copies of another version have their own."""

    def __init__(self, state: SharedState, version: str) -> None:
        self._state = state
        self._version = f"{version}-{wire.FORMAT}"
        self._put = state.script(_PUT)

    def get(self, key: Hashable) -> Answer | Tags | None:
        """Return the result of a key, or None."""
        name = self._name(key)
        stored = self._state.ask(lambda redis: redis.hget(name, "result"), None)
        result = None
        if isinstance(stored, bytes):
            self._state.ask(lambda redis: redis.expire(name, KEEP_SECONDS), False)
            try:
                result = wire.load(stored)
            except ValueError:
                log.warning("a result in Redis cannot be read, and is computed again")
        CACHE_LOOKUPS.labels("miss" if result is None else "hit").inc()
        return result

    def put(self, key: Hashable, value: Answer | Tags, started: float) -> None:
        """Store a result, unless it is very large, or the stored one was begun later.

        Args:
            key: all that the result depends on.
            value: the result.
            started: when its computation began, in seconds of the monotonic clock.
        """
        data = wire.dump(value)
        if len(data) > MAX_BYTES:
            return
        # Other machines have other monotonic clocks.
        begun = time.time() - (time.monotonic() - started)
        self._state.ask(lambda _: self._put([self._name(key)], [begun, data, KEEP_SECONDS]), 0)

    def _name(self, key: Hashable) -> str:
        # Keys are made of dataclasses, tuples, texts and numbers, whose `repr` is the same in each process.
        return self._state.key("result", self._version, hashlib.sha256(repr(key).encode()).hexdigest())
