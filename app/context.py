"""The request that a thread works for: what the log, the metrics and the traces say of it.

A front door enters the context of its request, and an operation takes it along into its own thread. Flask's context is
not for that: it would keep the body of the request in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Context:
    """A request in work.

    Attributes:
        request_id: under which the log has more.
        key: the name of the client's key; empty without one.
        model: the name of the model, or of the pipeline, that answers; empty until it is chosen.
        trace: OpenTelemetry's context, with the span of the request in it; None where there are no traces.
        shares: the request whose operation this one waits for, where it did not start one of its own.
    """

    request_id: str = ""
    key: str = ""
    model: str = ""
    trace: Any = None
    shares: "Context | None" = None


_current: ContextVar[Context | None] = ContextVar("request", default=None)


def current() -> Context:
    """Return the context of the request that this thread works for; an empty one if it works for none."""
    return _current.get() or Context()


def enter(context: Context | None) -> None:
    """Let this thread work for a request until further notice, or with None for no request."""
    _current.set(context)


@contextmanager
def working_for(context: Context) -> Iterator[None]:
    """Let this thread work for a request while the block runs."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
