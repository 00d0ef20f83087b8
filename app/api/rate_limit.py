"""Rate limits: how many requests a client may send in a period, and have in work at once."""

import time
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, current_app, g
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded

from app.api.auth import Keys, is_open
from app.api.problems import response_to
from app.errors import RateLimited
from app.shared.counts import Counts
from app.shared.state import PATIENCE, SharedState

_RETRY_AT_ONCE_AFTER = 2.0
_AT_ONCE = "requests of clients in work"


def register(app: Flask, keys: Keys, rate: str, at_once: int, state: SharedState | None = None) -> None:
    """Limit what each client asks for, but for what is open to all.

    Args:
        app: the application.
        keys: tell whose request the current one is, and what that client's own limits are.
        rate: the limits of others in flask-limiter's words, such as `300/minute`; empty for none.
        at_once: how many requests of one client may be in work at once; 0 for any number.
        state: what several copies share, for limits over all of them; None for this copy alone.
    """

    def rate_of_client() -> str:
        key = keys.holder()
        return rate if key is None or key.rate is None else key.rate

    # Counted first, so that a request that is refused because of others at once is none of those of the period.
    counted = app.extensions[_AT_ONCE] = _AtOnce(keys, at_once, state)
    app.before_request(counted.begin)
    app.teardown_request(counted.end)
    # Fixed windows: of the strategies, this one forgets clients that come no more.
    limiter = Limiter(
        keys.client,
        app=app,
        # Where nobody has a limit, no request pays for looking.
        enabled=bool(rate) or keys.have_rates,
        application_limits=[ApplicationLimit(rate_of_client, exempt_when=is_open)],
        strategy="fixed-window",
        storage_uri=state.url if state else "memory://",
        storage_options=dict.fromkeys(("socket_timeout", "socket_connect_timeout"), round(PATIENCE)) if state else {},
        # While Redis does not answer, this copy counts alone.
        in_memory_fallback_enabled=state is not None,
        key_prefix="i2t",
    )
    app.register_error_handler(RateLimitExceeded, lambda error: _too_often(limiter, error))


def count_left() -> Callable[[], None]:
    """Count work that the current request leaves behind, until the function that is returned is called.

    Raises:
        RateLimited: the client has left as much as it may have at once.
    """
    counted: _AtOnce = current_app.extensions[_AT_ONCE]
    return counted.count_left()


def _too_often(limiter: Limiter, error: RateLimitExceeded) -> Response:
    limit = limiter.current_limit
    wait = limit.reset_at - time.time() if limit else 0.0
    reason = f"a client may send {error.description} (RATE_LIMIT, or its line in API_KEYS_FILE): try again later"
    return response_to(RateLimited(reason, wait))


class _AtOnce:
    """Counts the requests of each client that are in work."""

    def __init__(self, keys: Keys, most: int, state: SharedState | None) -> None:
        self._keys = keys
        self._most = most
        self._in_work = Counts("requests", state)
        self._left = Counts("documents", state)
        """Counted separately, so that a client with many documents can still poll."""

    def begin(self) -> None:
        most = self._most_of_client()
        if is_open() or not most:
            return
        g.counted = self._count(self._in_work, most)

    def end(self, _: BaseException | None) -> None:
        if (client := g.pop("counted", None)) is not None:
            self._in_work.end(client)

    def count_left(self) -> Callable[[], None]:
        """Count one more operation that goes on without its request; return what ends it."""
        if not (most := self._most_of_client()):
            return lambda: None
        return partial(self._left.end, self._count(self._left, most))

    def _most_of_client(self) -> int:
        key = self._keys.holder()
        return self._most if key is None or key.at_once is None else key.at_once

    def _count(self, counts: Counts, most: int) -> str:
        client = self._keys.client()
        if not counts.begin(client, most):
            raise RateLimited(
                f"{most} {counts.kind} of this client are in work already (CLIENT_REQUESTS, or its line in "
                "API_KEYS_FILE): wait for one to end",
                _RETRY_AT_ONCE_AFTER,
            )
        return client
