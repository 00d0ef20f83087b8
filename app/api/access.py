"""Every request has an id, and when it is answered, a line in the log, its metrics and a span."""

import logging
import re
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote

from flask import Flask, Response, g, request

from app import context, tracing
from app.context import Context
from app.metrics import REQUEST_SECONDS, REQUESTS

log = logging.getLogger(__name__)

_ID = re.compile(r"[\w.-]{1,64}")
_WATCHERS = ("/healthz", "/readyz", "/metrics")
"""What is asked every few seconds: successes are in the log at DEBUG alone."""


def register(app: Flask) -> None:
    """Follow the application's requests. Call this before other functions are registered that run before a request."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(lambda _: context.enter(None))


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
    g.started = time.monotonic()
    context.enter(Context(g.request_id, trace=tracing.begin(_route(), request.headers)))


def _route() -> str:
    """Return the route without what varies, such as `GET /images/<name>`."""
    return f"{request.method} {request.url_rule.rule}" if request.url_rule else "other"


def _finish(response: Response) -> Response:
    # A request that Flask refuses before it begins, by its host, has neither.
    request_id, started = g.get("request_id", "-"), g.get("started", time.monotonic())
    response.headers["X-Request-ID"] = request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    # Quoted again: a line break in it would begin a line of its own. Without the query, which may hold a prompt.
    path = quote(request.path)
    answered = _Answered(request_id, request.method, path, _route(), response.status_code, started, context.current())
    if response.is_streamed:
        response.call_on_close(answered.report)
    else:
        answered.report()
    return response


@dataclass(frozen=True, slots=True)
class _Answered:
    """A request and how it was answered."""

    request_id: str
    method: str
    path: str
    route: str
    status: int
    started: float
    context: Context

    def report(self) -> None:
        """Tell the log, the metrics and the trace. Called once the whole answer is made, of a stream at its end."""
        seconds = time.monotonic() - self.started
        model = (self.context.shares or self.context).model
        REQUESTS.labels(self.route, model, str(self.status)).inc()
        REQUEST_SECONDS.labels(self.route).observe(seconds)
        tracing.end(
            self.context.trace,
            failed=self.status >= 500,
            request_id=self.request_id,
            model=model,
            **{"http.response.status_code": self.status},
        )
        fields = {
            "request_id": self.request_id,
            "key": self.context.key,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "milliseconds": round(seconds * 1000),
            "model": model,
        }
        log.log(
            logging.DEBUG if self.path in _WATCHERS and self.status < 400 else logging.INFO,
            "%s %s %d %.0f ms %s %s",
            self.method,
            self.path,
            self.status,
            seconds * 1000,
            self.request_id,
            self.context.key or "-",
            extra={"fields": fields},
        )
