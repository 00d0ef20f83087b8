"""What the service needs of an engine."""

import threading
from abc import abstractmethod
from typing import Protocol

from models.base import Job, Prediction


class Ticket(Protocol):
    """A job that an engine has accepted."""

    submitted: float
    """When the job was queued, in seconds of the monotonic clock."""
    started: float | None
    """When its prediction began; None while it waits."""
    finished: float | None
    """When the outcome was known."""
    outcome: Prediction | Exception | None
    """The prediction, or what came instead of it; None until then."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the outcome. Return whether it is known."""

    def result(self) -> Prediction:
        """Wait for the prediction and return it.

        Raises:
            QueueTimeout: the prediction did not begin in time.
            PredictionFailed: the model raised.
            Unavailable: the engine was closed, or the job cancelled.
            models.errors.ModelError: the model cannot be loaded, or cannot do the job.
        """
        while not self.wait(threading.TIMEOUT_MAX / 2):
            continue
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    @abstractmethod
    def cancel(self) -> None:
        """Drop the job if it is still waiting."""

    @property
    def position(self) -> int | None:
        """The position of the job in the queue, counted from 1; 0 once it runs; None if the engine cannot tell."""


class Engine(Protocol):
    """Runs jobs on models."""

    def submit(self, model: str, job: Job, timeout: float) -> Ticket:
        """Queue a job, or refuse it at once. `timeout` limits the wait for a busy model, in seconds. Loading the model
        and the prediction itself do not count.

        Raises:
            QueueFull: the queue of the model is full.
            Unavailable: the engine is closed.
        """

    def refuse_if_full(self, model: str) -> None:
        """Raise what `submit` would raise now, for callers that would have to do work to make a job.

        Raises:
            QueueFull: the queue of the model is full.
            Unavailable: the engine is closed.
        """

    def load(self, model: str, until_loaded: bool = False) -> None:
        """Start downloading and loading a model, without waiting for it.

        `until_loaded` repeats failed attempts; on a Ray cluster, only the next job or `load` does.
        """

    def unload(self, model: str) -> bool:
        """Take a model out of memory or stop its download; return False if it is at work, and stays."""

    def queued(self, model: str) -> int:
        """Return how many jobs wait for a model."""

    def ready(self) -> bool:
        """Return whether the engine accepts jobs."""

    def close(self) -> None:
        """Refuse new jobs, and end waiting ones with Unavailable."""
