"""The jobs of one request: queued, waited for in steps, and cancelled when the request ends before they do."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from app.engine.base import Engine, Ticket
from app.errors import QueueFull, ServiceError
from app.schemas import Progress, Queued
from models.base import Job, ModelError, Prediction
from models.registry import Entry, State

POLL = 0.5
"""Seconds between two steps while nothing happens: whoever waits can see then that nobody waits for it any more."""

Step = Queued | Progress
_Result = TypeVar("_Result")
Steps = Generator[Step, None, _Result]
"""How far something is, step by step, and at last its result."""


def finish(steps: Steps[_Result]) -> _Result:
    """Let the steps pass and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result


class Jobs:
    """Runs the jobs of one request."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        self._tickets: list[Ticket] = []

    @property
    def inference_seconds(self) -> float:
        """How long models worked on the request; what they did at the same time counts once."""
        return _covered((ticket.started, ticket.finished) for ticket in self._tickets)

    @property
    def queue_seconds(self) -> float:
        """How long the request did nothing but wait for models, their loading included."""
        return _covered((ticket.submitted, ticket.finished) for ticket in self._tickets) - self.inference_seconds

    def run(self, entry: Entry, job: Job) -> Steps[Prediction]:
        """Run one job.

        Raises:
            ServiceError, ModelError: as the engine's tickets do.
        """
        (outcome,) = yield from self.side_by_side([(entry, job)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def side_by_side(self, jobs: Sequence[tuple[Entry, Job]]) -> Steps[list[Prediction | Exception]]:
        """Run jobs for different models at the same time, and return what each came to.

        Raises:
            QueueFull: there is no room for one: it is worth asking for all again.
            ServiceError, ModelError: the first one is refused; of the others, that is what they came to.
        """
        tickets: list[tuple[int, Ticket]] = []
        outcomes: dict[int, Prediction | Exception] = {}
        try:
            for number, (entry, job) in enumerate(jobs):
                try:
                    tickets.append((number, (yield from self._submit(entry, job))))
                except (ServiceError, ModelError) as error:
                    if number == 0 or isinstance(error, QueueFull):
                        raise
                    outcomes[number] = error
            yield Queued(position=max(ticket.position for _, ticket in tickets))
            for number, ticket in tickets:
                try:
                    outcomes[number] = yield from _wait(jobs[number][0], ticket)
                except (ServiceError, ModelError) as error:
                    outcomes[number] = error
            return [outcomes[number] for number in range(len(jobs))]
        finally:
            _cancel(ticket for _, ticket in tickets)

    def in_turn(self, entry: Entry, jobs: Sequence[Job]) -> Steps[list[Prediction]]:
        """Run a job for each line of a page, in the batches of one model, without filling its queue alone."""
        todo = deque(jobs)
        waiting: deque[Ticket] = deque()
        predictions: list[Prediction] = []
        try:
            while todo or waiting:
                yield Progress(stage="lines", done=len(predictions), found=len(jobs))
                while todo and len(waiting) < 2 * entry.model.batch_size and not (waiting and self._full(entry)):
                    waiting.append((yield from self._submit(entry, todo.popleft())))
                # In the queue of those to cancel until it is done.
                predictions.append((yield from _wait(entry, waiting[0])))
                waiting.popleft()
            yield Progress(stage="lines", done=len(predictions), found=len(jobs))
            return predictions
        finally:
            _cancel(waiting)

    def _full(self, entry: Entry) -> bool:
        try:
            self._engine.refuse_if_full(entry.model.name)
        except QueueFull:
            return True
        return False

    def _submit(self, entry: Entry, job: Job) -> Steps[Ticket]:
        """Queue a job. A full queue refuses the first job of a request; the others wait for room, because what was
        done for the request already would be lost."""
        give_up = time.monotonic() + self._timeout
        while True:
            try:
                ticket = self._engine.submit(entry.model.name, job, self._timeout)
            except QueueFull:
                if not self._tickets or time.monotonic() > give_up:
                    raise
                yield Queued(position=None)
                time.sleep(POLL)
            else:
                self._tickets.append(ticket)
                return ticket


def _wait(entry: Entry, ticket: Ticket) -> Steps[Prediction]:
    while not ticket.wait(POLL):
        loading = entry.state is State.LOADING
        yield Progress(stage="loading", done=0, found=1) if loading else Queued(position=ticket.position)
    return ticket.result()


def _cancel(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        ticket.cancel()


def _covered(spans: Iterable[tuple[float | None, float | None]]) -> float:
    """Return how much time spans cover together; one without a beginning or an end covers none."""
    covered, reached = 0.0, 0.0
    for begun, ended in sorted((begun, ended) for begun, ended in spans if begun is not None and ended is not None):
        covered += max(ended - max(begun, reached), 0.0)
        reached = max(reached, ended)
    return covered
