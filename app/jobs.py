"""The jobs of one request: queues them, waits for them, and cancels them with the request."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.engine.base import Engine, Ticket
from app.errors import ClientGone, QueueFull, ServiceError
from app.types import IsCancelled, Progress, ReportProgress, Timings
from models.base import Job, Prediction
from models.errors import ModelError
from models.registry import Entry, State

POLL = 0.25
"""Seconds between two checks whether the request is cancelled."""


class JobRunner:
    """Runs the jobs of one request, one after the other or several at once."""

    def __init__(
        self,
        engine: Engine,
        timeout: float,
        progress: ReportProgress,
        cancelled: IsCancelled,
        may_download: frozenset[str] | None = None,
    ) -> None:
        """Args:
        engine: runs the jobs.
        timeout: seconds that a job may wait for a busy model.
        progress: is called with the progress of the request.
        cancelled: returns whether the request is cancelled.
        may_download: the models that may be downloaded for the request; None for any.
        """
        self.progress = progress
        self.may_download = may_download
        self._engine = engine
        self._timeout = timeout
        self._cancelled = cancelled
        self._has_submitted = False
        # Not the tickets themselves, which hold what models said: the lines cut out of a page, for one.
        self._waits: list[_Wait] = []

    def timings(self, decode: int = 0) -> Timings:
        """Return how long the request waited for models, and how long they worked on it.

        Time in which several models run at once counts once. `decode` is copied to the result.
        """
        inference = _covered((wait.started, wait.finished) for wait in self._waits)
        waited = _covered((wait.submitted, wait.finished) for wait in self._waits) - inference
        load = _covered(
            (wait.submitted, min(wait.loaded_at, wait.started or wait.submitted))
            for wait in self._waits
            if wait.loaded_at > wait.submitted
        )
        load, inference, waited = (round(seconds * 1000) for seconds in (load, inference, waited))
        return Timings(decode=decode, load=load, queue=max(waited - load, 0), inference=inference)

    def timed_apart(self) -> "JobRunner":
        """Return a new object for jobs of the same request whose times are counted separately."""
        apart = JobRunner(self._engine, self._timeout, self.progress, self._cancelled, self.may_download)
        apart._has_submitted = self._has_submitted
        return apart

    def stop_if_cancelled(self) -> None:
        """Raise ClientGone when the request is cancelled."""
        if self._cancelled():
            raise ClientGone("the request was cancelled: no client waits for its answer")

    def run(self, entry: Entry, job: Job) -> Prediction:
        """Run one job.

        Raises:
            ServiceError, ModelError: as the engine's tickets do.
        """
        (outcome,) = self.run_together([(entry, job)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def run_together(self, jobs: Sequence[tuple[Entry, Job]]) -> list[Prediction | Exception]:
        """Run jobs for different models at the same time; return the prediction or the error of each.

        Raises:
            QueueFull: the queue of one model is full. The client can repeat the whole request.
            ServiceError, ModelError: the first job is refused. If another one is refused, the error is its outcome.
        """
        outcomes: list[Prediction | Exception | None] = [None] * len(jobs)
        tickets: dict[int, Ticket] = {}
        try:
            for number, (entry, job) in enumerate(jobs):
                try:
                    tickets[number] = self._submit(entry, job)
                except (ServiceError, ModelError) as error:
                    if number == 0 or isinstance(error, QueueFull):
                        raise
                    outcomes[number] = error
            self.progress(Progress("queued", position=_last([ticket.position for ticket in tickets.values()])))
            for number, ticket in tickets.items():
                try:
                    outcomes[number] = self._wait(jobs[number][0], ticket)
                except ClientGone:
                    raise
                except (ServiceError, ModelError) as error:
                    outcomes[number] = error
        finally:
            _cancel(tickets.values())
        return [outcome for outcome in outcomes if outcome is not None]

    def run_lines(self, entry: Entry, jobs: Sequence[Job]) -> list[Prediction]:
        """Run a job for each line of a page. At most two batches of them wait at once, so that other requests get
        their turn."""
        todo = deque(jobs)
        waiting: deque[Ticket] = deque()
        predictions: list[Prediction] = []
        try:
            while todo or waiting:
                self.progress(Progress("lines", len(predictions), len(jobs)))
                while todo and len(waiting) < 2 * entry.model.batch_size and not (waiting and self._is_full(entry)):
                    waiting.append(self._submit(entry, todo.popleft()))
                # The ticket stays in `waiting` until it has its result, so that it is cancelled with the others.
                predictions.append(self._wait(entry, waiting[0]))
                waiting.popleft()
            self.progress(Progress("lines", len(predictions), len(jobs)))
        finally:
            _cancel(waiting)
        return predictions

    def _is_full(self, entry: Entry) -> bool:
        try:
            self._engine.refuse_if_full(entry.model.name)
        except QueueFull:
            return True
        return False

    def _submit(self, entry: Entry, job: Job) -> Ticket:
        """Queue a job. A full queue refuses the first job of a request; later ones wait until they fit in, because the
        work done for the request so far would be lost."""
        give_up = time.monotonic() + self._timeout
        while True:
            self.stop_if_cancelled()
            try:
                ticket = self._engine.submit(entry.model.name, job, self._timeout)
            except QueueFull:
                if not self._has_submitted or time.monotonic() > give_up:
                    raise
                self.progress(Progress("queued"))
                time.sleep(POLL)
            else:
                self._has_submitted = True
                return ticket

    def _wait(self, entry: Entry, ticket: Ticket) -> Prediction:
        while not ticket.wait(POLL):
            self.stop_if_cancelled()
            loading = entry.state is State.LOADING
            self.progress(Progress("loading", 0, 1) if loading else Progress("queued", position=ticket.position))
        self._waits.append(_Wait(ticket.submitted, ticket.started, ticket.finished, entry.loaded_at))
        return ticket.result()


@dataclass(frozen=True, slots=True)
class _Wait:
    """When a job was queued, begun and finished, and when its model was loaded: seconds of the monotonic clock."""

    submitted: float
    started: float | None
    finished: float | None
    loaded_at: float


def _last(positions: Sequence[int | None]) -> int | None:
    """Return the last of several positions; None if one of them is not known."""
    known = [position for position in positions if position is not None]
    return max(known) if len(known) == len(positions) else None


def _cancel(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        ticket.cancel()


def _covered(spans: Iterable[tuple[float | None, float | None]]) -> float:
    """Return the length of the union of time spans. A span without a beginning or an end counts as empty."""
    covered, reached = 0.0, 0.0
    for begun, ended in sorted((begun, ended) for begun, ended in spans if begun is not None and ended is not None):
        covered += max(ended - max(begun, reached), 0.0)
        reached = max(reached, ended)
    return covered
