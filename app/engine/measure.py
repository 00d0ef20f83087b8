"""What engines report of their work: how long jobs wait, the batches, and the tokens."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app import metrics, tracing
from app.context import Context
from models.base import Prediction

Wait = tuple[Context, float, float]
"""The request of a job, when the job was queued, and when its batch began, in seconds of the monotonic clock."""


def report_waits(model: str, loaded_at: float, waits: Sequence[Wait]) -> None:
    """Report how long the jobs of a batch waited: until the model was in memory, and then for its turn.

    Args:
        model: the name.
        loaded_at: when the model was loaded, in seconds of the monotonic clock.
        waits: of each job. A request with several jobs in the batch gets one span for all.
    """
    seen: set[Context] = set()
    for context, submitted, started in waits:
        trace = None if context in seen else context.trace
        seen.add(context)
        ready = min(max(loaded_at, submitted), started)
        if ready > submitted:
            metrics.observe("load", submitted, ready, model, trace)
        metrics.observe("queue", ready, started, model, trace)


@contextmanager
def measured_batch(model: str, contexts: Sequence[Context]) -> Iterator[None]:
    """Measure the block that predicts a batch, given the request of each job: each request gets a span of it."""
    begun = time.monotonic()
    try:
        yield
    finally:
        ended, size = time.monotonic(), len(contexts)
        metrics.BATCH_SIZE.labels(model).observe(size)
        metrics.STAGE_SECONDS.labels("inference", model).observe(ended - begun)
        for context in dict.fromkeys(contexts):
            tracing.record(context.trace, "inference", begun, ended, model=model, batch_size=size)


def report_predictions(model: str, predictions: Sequence[Prediction]) -> None:
    """Report the tokens of a batch."""
    metrics.TOKENS.labels(model).inc(sum(prediction.tokens for prediction in predictions))
