"""What the service counts and times, for Prometheus, and the stages of a request, which are spans of its trace as well.

All labels have few values: routes, names of models, statuses and codes of errors; none comes from a client.
`app/api/metrics.py` shows them, together with the present state of models and queues.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram, disable_created_metrics

from app import context, tracing
from app.errors import (
    BadRequest,
    ForbiddenUrl,
    InvalidImage,
    ServiceError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
    UnusableUrl,
    UpstreamFailed,
    UpstreamTimeout,
)

# The time at which each counter was made is of no use, and doubles what is sent.
disable_created_metrics()


def _counter(name: str, documentation: str, label: str, *values: str) -> Counter:
    """Make a counter with one label. All its values are there from the start, at 0: a series that begins with its first
    event is not seen to rise."""
    counter = Counter(name, documentation, (label,))
    for value in values:
        counter.labels(value)
    return counter


def _codes(kind: type[ServiceError]) -> set[str]:
    """Return the codes of a kind of error and of all kinds of it."""
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

REQUESTS = Counter(
    "i2t_requests", "Requests answered; model is empty where none was asked.", ("route", "model", "status")
)
REQUEST_SECONDS = Histogram(
    "i2t_request_seconds", "Seconds until the whole answer was made.", ("route",), buckets=_SECONDS
)
STAGE_SECONDS = Histogram(
    "i2t_stage_seconds",
    "Seconds of a stage of requests: fetch, decode, load (waiting until a model is in memory), queue (waiting for a "
    "busy model), inference (of a batch) and export.",
    ("stage", "model"),
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram("i2t_batch_size", "Jobs in a batch.", ("model",), buckets=(1, 2, 4, 8, 16, 32))
TOKENS = Counter("i2t_tokens", "Tokens generated.", ("model",))
ERRORS = _counter("i2t_errors", "Errors that clients were told, by their code.", "code", *_codes(ServiceError))
CACHE_LOOKUPS = _counter("i2t_cache_lookups", "Results looked for in the cache.", "outcome", "hit", "miss")
DECODE_FAILURES = _counter(
    "i2t_decode_failures",
    "Files that were not decoded, by the code of the error.",
    "reason",
    *(error.code for error in (InvalidImage, UnsupportedMedia, Unavailable)),
)
DECODERS_ENDED = _counter(
    "i2t_decoders_ended",
    "Processes that ended in the middle of a file; killed is mostly for want of memory.",
    "reason",
    *("too-long", "stuck", "killed", "crashed"),
)
FETCH_REFUSALS = _counter(
    "i2t_fetch_refusals",
    "URLs that led to no image, by the code of the error.",
    "reason",
    *(error.code for error in (ForbiddenUrl, UnusableUrl, UpstreamFailed, UpstreamTimeout, BadRequest, TooLarge)),
)


def observe(
    stage: str, begun: float, ended: float, model: str = "", trace: object = None, **attributes: str | int
) -> None:
    """Count a stage that is over, and record it as a span of a request.

    Args:
        stage: its name.
        begun, ended: in seconds of the monotonic clock.
        model: at work, if one is.
        trace: of the request; None for no span.
        attributes: of the span.
    """
    STAGE_SECONDS.labels(stage, model).observe(ended - begun)
    if model:
        attributes["model"] = model
    tracing.record(trace, stage, begun, ended, **attributes)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Time a block as a stage of the request that this thread works for."""
    begun = time.monotonic()
    try:
        yield
    finally:
        observe(stage, begun, time.monotonic(), trace=context.current().trace)


@contextmanager
def counting(failures: Counter) -> Iterator[None]:
    """Count errors that leave a block, by their code."""
    try:
        yield
    except ServiceError as error:
        failures.labels(error.code).inc()
        raise
