"""A Redis server that several copies of the service share, and what happens while it does not answer.

Redis makes the copies work as one, but no answer depends on it: what cannot be asked of it is taken to be absent, and
the copy goes on alone. Requests do not wait for a server that has just failed.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds to wait for an answer of Redis."""
PAUSE = 5.0
"""Seconds after a failure in which Redis is not asked."""
ALIVE_FOR = 15.0
"""Seconds after which a copy that says nothing more counts as ended."""
_PREFIX = "i2t:"

Asked = TypeVar("Asked")


class SharedState:
    """A connection to a Redis server.

    Attributes:
        copy: the name of this process among the copies; another one after each start.
    """

    def __init__(self, url: str) -> None:
        from redis import Redis, RedisError

        self.url = url
        self.copy = uuid.uuid4().hex
        self._failures: tuple[type[Exception], ...] = (RedisError, OSError)
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, health_check_interval=30
        )
        self._paused_until = 0.0
        self._silent = False
        self._beating = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, call: Callable[[Redis], Asked], otherwise: Asked) -> Asked:
        """Return what `call` returns of the server, or `otherwise` while the server does not answer."""
        if time.monotonic() < self._paused_until:
            return otherwise
        try:
            answer = call(self._redis)
        except self._failures as error:
            if not self._silent:
                # Its message may hold the address with its password.
                log.warning("Redis does not answer (%s): this copy goes on alone", type(error).__name__)
            self._silent = True
            self._paused_until = time.monotonic() + PAUSE
            return otherwise
        if self._silent:
            log.info("Redis answers again")
            self._silent = False
        return answer

    def script(self, text: str) -> Callable[[list[str], list[Any]], Any]:
        """Return a function that runs a Lua script on the server, given its keys and its arguments; it raises as
        redis-py does."""
        script = self._redis.register_script(text)
        return lambda keys, values: script(keys=keys, args=values)

    def key(self, *parts: str) -> str:
        """Return a key of the server for something of this service."""
        return _PREFIX + ":".join(parts)

    def live(self) -> None:
        """Let the other copies know from now on that this one lives."""
        with self._beating:
            if self._thread is None or not self._thread.is_alive():
                self._beat()
                self._thread = threading.Thread(target=self._beat_regularly, name="shared", daemon=True)
                self._thread.start()

    def lives(self, copy: str) -> bool:
        """Return whether a copy has said a moment ago that it lives; True while Redis does not answer."""
        return self.ask(lambda redis: bool(redis.exists(self.key("copy", copy))), True)

    def _beat(self) -> None:
        self.ask(lambda redis: redis.set(self.key("copy", self.copy), "1", px=round(ALIVE_FOR * 1000)), None)

    def _beat_regularly(self) -> None:
        while True:
            time.sleep(ALIVE_FOR / 3)
            self._beat()
