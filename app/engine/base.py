"""What the service needs of an engine."""

from typing import Protocol

from models.base import Job, Prediction


class Ticket(Protocol):
    """A job that an engine has taken on."""

    submitted: float
    """When the job was queued, in seconds of the monotonic clock."""
    started: float | None
    """When its prediction began; None while it waits."""
    finished: float | None
    """When the outcome was known."""

    def wait(self, seconds: float) -> bool:
        """Wait for the outcome, at most so many seconds, and say whether it is known."""

    def result(self) -> Prediction:
        """Wait for the prediction and return it.

        Raises:
            QueueTimeout: the prediction did not begin in time.
            PredictionFailed: the model raised.
            Unavailable: the engine was closed, or the job cancelled.
            models.base.ModelError: the model cannot be had, or not take the job.
        """

    def cancel(self) -> None:
        """Drop the job if it is still waiting."""

    @property
    def position(self) -> int:
        """How many jobs are before this one, itself included; 0 once it runs."""


class Engine(Protocol):
    """Runs jobs on models."""

    def submit(self, model: str, job: Job, timeout: float) -> Ticket:
        """Queue a job at once, or refuse it. `timeout` limits, in seconds, the wait for a busy model; neither the time
        that the model takes to load counts, nor the prediction itself once it has begun.

        Raises:
            QueueFull: as many jobs as may wait for the model do.
            Unavailable: the engine is closed.
        """

    def refuse_if_full(self, model: str) -> None:
        """Refuse what `submit` would refuse now, before work is put into making a job.

        Raises:
            QueueFull: as many jobs as may wait for the model do.
            Unavailable: the engine is closed.
        """

    def prepare(self, model: str, until_loaded: bool = False) -> None:
        """Start downloading and loading a model, without waiting for it; once, or until it succeeds."""

    def unload(self, model: str) -> bool:
        """Take a model out of memory or stop its download; return False if it is at work, and stays."""

    def queued(self, model: str) -> int:
        """Return how many jobs wait for a model."""

    def ready(self) -> bool:
        """True while jobs are taken on."""

    def close(self) -> None:
        """Take no more jobs, and answer those that wait with Unavailable."""
