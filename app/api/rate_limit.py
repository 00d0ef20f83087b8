"""How much one client may ask for: how often, and how much at once."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response, g
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded

from app.api.problems import response_to
from app.errors import RateLimited

_RETRY_AT_ONCE_AFTER = 2.0


def register(app: Flask, client: Callable[[], str], is_open: Callable[[], bool], rate: str, at_once: int) -> None:
    """Limit what each client asks for.

    Args:
        app: the application.
        client: tells whose request the current one is.
        is_open: tells whether the current one is free of limits.
        rate: the limits in flask-limiter's words, such as `300/minute`; empty for none.
        at_once: how many requests of one client may be in work at once; 0 for any number.
    """
    if rate:
        # Fixed windows: of the strategies, this one forgets clients that come no more.
        limiter = Limiter(
            client,
            app=app,
            application_limits=[ApplicationLimit(rate, exempt_when=is_open)],
            strategy="fixed-window",
            storage_uri="memory://",
        )
        app.register_error_handler(RateLimitExceeded, lambda error: _too_often(limiter, error))
    if at_once:
        counted = _AtOnce(client, is_open, at_once)
        app.before_request(counted.begin)
        app.teardown_request(counted.end)


def _too_often(limiter: Limiter, error: RateLimitExceeded) -> Response:
    limit = limiter.current_limit
    wait = limit.reset_at - time.time() if limit else 0.0
    return response_to(RateLimited(f"a client may send {error.description} (RATE_LIMIT): try again later", wait))


class _AtOnce:
    """Counts the requests of each client that are in work."""

    def __init__(self, client: Callable[[], str], is_open: Callable[[], bool], most: int) -> None:
        self._client = client
        self._is_open = is_open
        self._most = most
        self._lock = threading.Lock()
        self._in_work: Counter[str] = Counter()

    def begin(self) -> None:
        if self._is_open():
            return
        client = self._client()
        with self._lock:
            if self._in_work[client] >= self._most:
                raise RateLimited(
                    f"{self._most} requests of this client are in work already (CLIENT_REQUESTS): wait for one to end",
                    _RETRY_AT_ONCE_AFTER,
                )
            self._in_work[client] += 1
        g.counted = client

    def end(self, _: BaseException | None) -> None:
        if (client := g.pop("counted", None)) is None:
            return
        with self._lock:
            self._in_work[client] -= 1
            # Clients that are done are forgotten.
            if not self._in_work[client]:
                del self._in_work[client]
