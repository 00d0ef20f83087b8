"""How much one client may ask for: how often, and how much at once."""

import threading
import time
from collections import Counter

from flask import Flask, Response, g
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded

from app.api.auth import Keys, is_open
from app.api.problems import response_to
from app.errors import RateLimited

_RETRY_AT_ONCE_AFTER = 2.0


def register(app: Flask, keys: Keys, rate: str, at_once: int) -> None:
    """Limit what each client asks for, but for what is open to all.

    Args:
        app: the application.
        keys: tell whose request the current one is, and what that client's own limits are.
        rate: the limits of others in flask-limiter's words, such as `300/minute`; empty for none.
        at_once: how many requests of one client may be in work at once; 0 for any number.
    """

    def rate_of_client() -> str:
        key = keys.holder()
        return rate if key is None or key.rate is None else key.rate

    # Fixed windows: of the strategies, this one forgets clients that come no more.
    limiter = Limiter(
        keys.client,
        app=app,
        application_limits=[ApplicationLimit(rate_of_client, exempt_when=is_open)],
        strategy="fixed-window",
        storage_uri="memory://",
    )
    app.register_error_handler(RateLimitExceeded, lambda error: _too_often(limiter, error))
    counted = _AtOnce(keys, at_once)
    app.before_request(counted.begin)
    app.teardown_request(counted.end)


def _too_often(limiter: Limiter, error: RateLimitExceeded) -> Response:
    limit = limiter.current_limit
    wait = limit.reset_at - time.time() if limit else 0.0
    return response_to(RateLimited(f"a client may send {error.description} (RATE_LIMIT): try again later", wait))


class _AtOnce:
    """Counts the requests of each client that are in work."""

    def __init__(self, keys: Keys, most: int) -> None:
        self._keys = keys
        self._most = most
        self._lock = threading.Lock()
        self._in_work: Counter[str] = Counter()

    def begin(self) -> None:
        key = self._keys.holder()
        most = self._most if key is None or key.at_once is None else key.at_once
        if is_open() or not most:
            return
        client = self._keys.client()
        with self._lock:
            if self._in_work[client] >= most:
                raise RateLimited(
                    f"{most} requests of this client are in work already (CLIENT_REQUESTS): wait for one to end",
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
