"""The jobs of one request: queued, waited for in steps, and cancelled when the request ends before they do."""

from collections import deque
from collections.abc import Generator, Sequence
from typing import TypeVar

from app.engine.base import Engine, Ticket
from app.errors import QueueFull
from app.schemas import Progress, Queued
from models.base import Job, Prediction
from models.registry import Entry, State

_POLL = 0.5
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
    """Runs the jobs of one request, and counts the seconds that they waited and ran."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self.queue_seconds = 0.0
        self.inference_seconds = 0.0
        self._engine = engine
        self._timeout = timeout

    def run(self, entry: Entry, job: Job) -> Steps[Prediction]:
        """Run one job."""
        (prediction,) = yield from self.side_by_side([(entry, job)])
        return prediction

    def side_by_side(self, jobs: Sequence[tuple[Entry, Job]]) -> Steps[list[Prediction]]:
        """Run jobs for different models at the same time."""
        tickets: list[Ticket] = []
        try:
            for entry, job in jobs:
                tickets.append(self._engine.submit(entry.model.name, job, self._timeout))
            yield Queued(position=max(ticket.position for ticket in tickets))
            predictions = []
            for (entry, _), ticket in zip(jobs, tickets, strict=True):
                predictions.append((yield from _wait(entry, ticket)))
            return predictions
        finally:
            self._end(tickets)

    def in_turn(self, entry: Entry, jobs: Sequence[Job], stage: str) -> Steps[list[Prediction]]:
        """Run many jobs for one model, in its batches, without filling its queue alone."""
        todo = deque(jobs)
        waiting: deque[Ticket] = deque()
        tickets: list[Ticket] = []
        predictions: list[Prediction] = []
        try:
            while todo or waiting:
                while todo and len(waiting) < 2 * entry.model.batch_size:
                    try:
                        ticket = self._engine.submit(entry.model.name, todo[0], self._timeout)
                    except QueueFull:
                        if not waiting:
                            raise
                        break
                    todo.popleft()
                    waiting.append(ticket)
                    tickets.append(ticket)
                predictions.append((yield from _wait(entry, waiting.popleft())))
                yield Progress(stage=stage, done=len(predictions), found=len(jobs))
            return predictions
        finally:
            self._end(tickets)

    def _end(self, tickets: Sequence[Ticket]) -> None:
        """Cancel what still waits, and count what ran: jobs that share batches took the time from first to last."""
        for ticket in tickets:
            ticket.cancel()
        begun = [ticket.started for ticket in tickets if ticket.started is not None]
        ended = [ticket.finished for ticket in tickets if ticket.finished is not None]
        if begun and ended:
            self.queue_seconds += min(begun) - min(ticket.submitted for ticket in tickets)
            self.inference_seconds += max(ended) - min(begun)


def _wait(entry: Entry, ticket: Ticket) -> Steps[Prediction]:
    while not ticket.wait(_POLL):
        loading = entry.state is State.LOADING
        yield Progress(stage="loading", done=0, found=1) if loading else Queued(position=ticket.position)
    return ticket.result()
