"""The engine in this process: for each model a bounded queue and one worker thread that takes jobs in batches.

A worker takes the waiting jobs, up to the model's batch size, and does not wait for more: the next batch collects while
one runs. A batch that fails is run again job by job, so that one bad job fails alone. An idle model is unloaded, and
loaded again for the next job.
"""

import copy
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence

from app import context
from app.engine.base import Ticket
from app.engine.measure import measured_batch, report_predictions, report_waits
from app.errors import RETRY_AFTER, PredictionFailed, QueueFull, QueueTimeout, ShuttingDown, Unavailable
from models.base import Job, Loaded, Prediction
from models.errors import ModelError, is_out_of_memory
from models.registry import Entry, Registry, State

log = logging.getLogger(__name__)


class LocalTicket(Ticket):
    """A job in a worker's queue. All its state is guarded by the worker's condition."""

    def __init__(self, worker: "Worker", job: Job, timeout: float) -> None:
        self.job: Job | None = job
        self.context = context.current()
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.finished: float | None = None
        self.outcome: Prediction | Exception | None = None
        self._worker = worker
        self._timeout = timeout

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        with self._worker.changed:
            while self.finished is None:
                now = time.monotonic()
                deadline = self._deadline()
                if now >= deadline:
                    self._worker.drop(self, self._too_late())
                elif now >= end:
                    return False
                else:
                    self._worker.changed.wait(min(deadline, end) - now)
        return True

    def cancel(self) -> None:
        with self._worker.changed:
            self._worker.drop(self, Unavailable("the request was cancelled"))

    @property
    def position(self) -> int:
        return self._worker.position(self)

    def _deadline(self) -> float:
        """Return the time by which the prediction must begin."""
        if self.started is not None or self._worker.loading:
            return math.inf
        return max(self.submitted, self._worker.entry.loaded_at) + self._timeout

    def _too_late(self) -> QueueTimeout:
        return QueueTimeout(
            f"{self._worker.name} stayed busy for {self._timeout:g} seconds: try again later", RETRY_AFTER
        )


class Worker:
    """The queue of one model, and the thread that runs its jobs. The thread starts with the first job."""

    def __init__(self, entry: Entry, queue_size: int, idle_limit: float) -> None:
        self.name = entry.model.name
        self.entry = entry
        self.changed = threading.Condition()
        self._idle_limit = idle_limit
        self._queue: deque[LocalTicket] = deque()
        self._queue_size = queue_size
        self._asked_to_load = False
        self._wanted = False
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def loading(self) -> bool:
        """True while jobs wait because the model is not in memory."""
        return self.entry.loaded is None and not self._closed

    def submit(self, job: Job, timeout: float) -> LocalTicket:
        self.refuse_if_full()
        if (loaded := self.entry.loaded) is not None:
            # Prepare in the caller's thread, so that several images are scaled in parallel while the worker predicts.
            job = self._prepared(loaded, job)
        with self.changed:
            self.refuse_if_full()
            ticket = LocalTicket(self, job, timeout)
            self._queue.append(ticket)
            self._wake()
        return ticket

    def _prepared(self, loaded: Loaded, job: Job) -> Job:
        try:
            return loaded.prepare(job)
        except ModelError:
            raise
        except BaseException as error:
            log.error("%s: preparing a job failed", self.name, exc_info=error)
            raise self._failed(error) from error

    def load(self, until_loaded: bool) -> None:
        with self.changed:
            self._asked_to_load = True
            self._wanted = self._wanted or until_loaded
            self._wake()

    def unload(self) -> bool:
        with self.changed:
            if self._queue or self.entry.state is State.LOADING:
                return False
            self._wanted = self._asked_to_load = False
        return self.entry.stop_download() or self.entry.loaded is None or self.entry.unload()

    def queued(self) -> int:
        with self.changed:
            return len(self._queue)

    def refuse_if_full(self) -> None:
        with self.changed:
            if self._closed:
                raise ShuttingDown()
            if len(self._queue) >= self._queue_size:
                raise QueueFull(f"{len(self._queue)} requests wait for {self.name} already", RETRY_AFTER)

    def close(self) -> None:
        with self.changed:
            self._closed = True
            while self._queue:
                self._finish(self._queue.popleft(), ShuttingDown())
            self.changed.notify_all()

    def drop(self, ticket: LocalTicket, reason: Exception) -> None:
        """Take a ticket out of the queue if it is still there. The caller holds the condition."""
        if ticket in self._queue:
            self._queue.remove(ticket)
            self._finish(ticket, reason)

    def position(self, ticket: LocalTicket) -> int:
        with self.changed:
            return self._queue.index(ticket) + 1 if ticket in self._queue else 0

    def _wake(self) -> None:
        # In a forked process, the thread is not alive.
        if self._thread is None or not self._thread.is_alive():
            # A daemon: a prediction that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name=f"model-{self.name}", daemon=True)
            self._thread.start()
        self.changed.notify_all()

    def _work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._queue or self._asked_to_load or self._closed, self._patience())
                if self._closed:
                    return
                asked = self._queue or self._asked_to_load or self._wanted
            if asked:
                self._run_batch()
            else:
                self.entry.unload(self._idle_limit)

    def _patience(self) -> float | None:
        """Return how many seconds to wait for a job: until a failed preload can be tried again, or until a loaded model
        has been idle for its limit; else None, without limit."""
        if self._wanted:
            return max(self.entry.retry_in, 0.1)
        if self.entry.loaded is None or math.isinf(self._idle_limit):
            return None
        return max(self.entry.used_at + self._idle_limit - time.monotonic(), 0.1)

    def _run_batch(self) -> None:
        """Run a batch of waiting jobs. If the model cannot be loaded, end all waiting jobs with the error."""
        self._asked_to_load = False
        try:
            with self.entry.in_use() as loaded:
                self._wanted = False
                with self.changed:
                    # The model is loaded, so deadlines count from now on: wake the waiting threads.
                    self.changed.notify_all()
                batch = self._take()
                for ticket, outcome in zip(batch, self._predict(loaded, batch), strict=True):
                    self._finish(ticket, outcome)
        except ModelError as error:
            with self.changed:
                while self._queue:
                    # Each ticket gets a copy: one error raised in several threads would collect their tracebacks.
                    self._finish(self._queue.popleft(), copy.copy(error))

    def _take(self) -> list[LocalTicket]:
        with self.changed:
            size = min(len(self._queue), self.entry.model.batch_size)
            batch = [self._queue.popleft() for _ in range(size)]
            started = time.monotonic()
            for ticket in batch:
                ticket.started = started
            self.changed.notify_all()
        report_waits(self.name, self.entry.loaded_at, [(each.context, each.submitted, started) for each in batch])
        return batch

    def _predict(self, loaded: Loaded, batch: Sequence[LocalTicket]) -> list[Prediction | Exception]:
        if not batch:
            return []
        log.debug("%s: batch of %d", self.name, len(batch))
        try:
            with measured_batch(self.name, [ticket.context for ticket in batch]):
                predictions = loaded.predict([ticket.job for ticket in batch if ticket.job])
            if len(predictions) != len(batch):
                raise RuntimeError(f"{len(predictions)} predictions for {len(batch)} jobs")
            report_predictions(self.name, predictions)
            return list(predictions)
        except ModelError as error:
            if error.__cause__ is not None:
                log.warning("%s: %s (%s)", self.name, error, error.__cause__)
            failure: Exception = error
        except BaseException as error:
            # BaseException, because panics of Rust libraries are no Exceptions, and the worker must continue.
            log.error("%s: a batch of %d failed", self.name, len(batch), exc_info=error)
            failure = self._failed(error)
        if len(batch) == 1:
            return [failure]
        return [outcome for ticket in batch for outcome in self._predict(loaded, [ticket])]

    def _failed(self, error: BaseException) -> Exception:
        if is_out_of_memory(error):
            return Unavailable(f"{self.name} ran out of memory: send less at once, or try again later", RETRY_AFTER)
        return PredictionFailed(f"{self.name} failed; the service's log has the reason")

    def _finish(self, ticket: LocalTicket, outcome: Prediction | Exception) -> None:
        with self.changed:
            ticket.outcome = outcome
            # Free the image, which is large.
            ticket.job = None
            ticket.finished = time.monotonic()
            self.changed.notify_all()


class LocalEngine:
    """An engine of worker threads, one for each model of a registry. A model that was idle for `idle_limit` seconds is
    taken out of memory."""

    def __init__(self, registry: Registry, queue_size: int, idle_limit: float = math.inf) -> None:
        self._workers = {entry.model.name: Worker(entry, queue_size, idle_limit) for entry in registry}
        self._closed = False

    def submit(self, model: str, job: Job, timeout: float) -> LocalTicket:
        return self._workers[model].submit(job, timeout)

    def refuse_if_full(self, model: str) -> None:
        self._workers[model].refuse_if_full()

    def load(self, model: str, until_loaded: bool = False) -> None:
        self._workers[model].load(until_loaded)

    def unload(self, model: str) -> bool:
        return self._workers[model].unload()

    def queued(self, model: str) -> int:
        return self._workers[model].queued()

    def ready(self) -> bool:
        return not self._closed

    def close(self) -> None:
        self._closed = True
        for worker in self._workers.values():
            worker.close()
