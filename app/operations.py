"""Operations: each request in work is one. It runs in a thread of its own, and can be watched, shared and cancelled."""

import copy
import logging
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from app import context
from app.cache import size_of
from app.errors import RETRY_AFTER, NotFound, QueueFull, ServiceError, ShuttingDown
from app.shared.operations import FoundOperation, SharedOperations
from app.shared.state import SharedState
from app.types import IsCancelled, Progress, ReportProgress, Stage

log = logging.getLogger(__name__)

HEARTBEAT = 0.5  # seconds until the latest progress is repeated, so that a subscriber can look for its client
KEEP_SECONDS = 600.0  # for which a finished operation can be found by its id
MAX_KEPT_BYTES = 200_000_000  # of finished operations; the oldest go first
_BYTES_BESIDES = 10_000  # the result
_GONE = "there is no such operation: it ended over ten minutes ago, or the service was restarted; send it again"
_EXCHANGE_EVERY = 0.5  # seconds, with other copies

Result = TypeVar("Result")
Work = Callable[[ReportProgress, IsCancelled], Result]


class Operation(Generic[Result]):
    """A request in work: a future with progress.

    Every subscriber calls `leave` once. When the last subscriber leaves before the operation is done, the operation is
    cancelled: the `cancelled` function of its work returns True from then on, and the work ends at its next check.
    """

    def __init__(self, operations: "Operations", key: Hashable, work: Work[Result], detached: bool) -> None:
        self.id = uuid.uuid4().hex
        self.key = key
        self.detached = detached
        self.context = context.current()
        self.created = self.updated_at = datetime.now(UTC)  # the second is when it reported progress last
        self.subscribers = 0  # guarded by the lock of `operations`
        self._operations = operations
        self._work = work
        self._taken = threading.Lock()  # held from when the work is begun, or given up
        self._condition = threading.Condition()
        self._progress: list[Progress] = []
        self.done = False  # whether there is a result or an error
        self._cancelled = False
        self._exchanged = 0.0
        self._result: Result | None = None
        self._error: BaseException | None = None

    @cached_property
    def size(self) -> int:
        """How many bytes the operation takes with its result, about. It is asked for once there is one."""
        return _BYTES_BESIDES + size_of(self._result)

    @property
    def failed(self) -> bool:
        """True once there is an error."""
        return self._error is not None

    def stages(self) -> dict[Stage, Progress]:
        """Return the latest progress of each stage."""
        return {progress.stage: progress for progress in [*self._progress]}

    def outcome(self) -> Result | BaseException | None:
        """Return the result or the error; None while there is neither."""
        return self._result if self._error is None else self._error

    def latest(self, stage: Stage) -> Progress | None:
        """Return the latest progress of a stage; None if there is none."""
        return self.stages().get(stage)

    @property
    def begun(self) -> bool:
        """True once the work has reported progress, which it does only for a request that it accepts."""
        return bool(self._progress)

    def wait(self, seconds: float | None, or_begun: bool = False) -> bool:
        """Wait until the operation is done, or `or_begun`; at most `seconds`, if given. Return whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: self.done or (or_begun and self.begun), seconds)

    def result(self) -> Result:
        """Wait until the operation is done, then return its result or raise its error."""
        self.wait(None)
        if self._error is not None:
            # Each subscriber raises a copy: one error raised in several threads would collect their tracebacks.
            raise copy.copy(self._error) if isinstance(self._error, ServiceError) else self._error
        return self._result  # type: ignore[return-value]

    def events(self) -> Iterator[Progress]:
        """Yield all progress until the operation is done. While there is none, repeat the latest."""
        seen, done = 0, False
        while not done:
            with self._condition:
                if len(self._progress) == seen and not self.done:
                    self._condition.wait(HEARTBEAT)
                fresh, seen = self._progress[seen:], len(self._progress)
                latest, done = self._progress[-1:], self.done
            yield from fresh or ([] if done else latest)

    def leave(self) -> None:
        """Stop waiting for the operation."""
        self._operations._leave(self)

    def cancel(self) -> None:
        """Make the `cancelled` function of the work return True."""
        self._cancelled = True

    def run(self) -> None:
        """Run the work. The executor calls this once, or once `submit` has given the work up."""
        if not self._taken.acquire(blocking=False):
            return
        work = self._work
        del self._work
        try:
            with context.working_for(self.context):
                result: Any = work(self._report, self._is_cancelled)
            error = None
        except BaseException as raised:
            # BaseException, because panics of Rust libraries are no Exceptions, and subscribers wait for an outcome.
            result, error = None, raised
        # Free the request and its image, which the work holds.
        del work
        self._end(result, error)
        if self.detached:
            self.leave()

    def _end(self, result: Result | None, error: BaseException | None) -> None:
        self._result, self._error, self.updated_at = result, error, datetime.now(UTC)
        self._operations._ended(self)
        with self._condition:
            self.done = True
            self._condition.notify_all()

    def _report(self, progress: Progress) -> None:
        with self._condition:
            # Store equal progress once: `events` repeats it.
            if self._progress[-1:] != [progress]:
                self.updated_at = datetime.now(UTC)
                self._progress.append(progress)
                self._condition.notify_all()
        self._exchange()

    def _is_cancelled(self) -> bool:
        self._exchange()
        return self._cancelled

    def _exchange(self) -> None:
        if time.monotonic() >= self._exchanged + _EXCHANGE_EVERY:
            self._exchanged = time.monotonic()
            self._operations._exchange(self)


class Operations:
    """Starts operations, shares them between equal requests, and finds them by id."""

    def __init__(self, max_requests: int, share: bool = True, state: SharedState | None = None) -> None:
        """Args:
        max_requests: the most subscribers of all operations together. Each holds a thread of the server.
        share: whether a request with the key of a running operation subscribes to that one.
        state: what other copies share, so that kept operations are found there; None for this copy alone.
        """
        self.state = state
        self._shared = SharedOperations(state, KEEP_SECONDS) if state else None
        self._max_requests = max_requests
        self._share = share
        self._executor = ThreadPoolExecutor(max_requests, thread_name_prefix="operation")
        self._running: dict[Hashable, Operation[Any]] = {}
        self._by_id: dict[str, Operation[Any]] = {}
        self._kept: TTLCache[str, Operation[Any]] = TTLCache(MAX_KEPT_BYTES, KEEP_SECONDS, getsizeof=lambda it: it.size)
        self.draining = False  # True when new requests are refused
        self._lock = threading.Lock()
        self.in_work = 0  # the number of subscribers of all operations

    def submit(
        self,
        work: Work[Result],
        key: Hashable = None,
        fresh: bool = False,
        keep: bool = False,
        detached: bool = False,
    ) -> Operation[Result]:
        """Subscribe to the running operation of `key`, or start one.

        The caller must call `leave` of what is returned, unless the operation is detached.

        Args:
            work: blocking code, which gets a progress callback and a function that says whether it is cancelled.
            key: equal for requests that have the same result. An operation with the key None is not shared.
            fresh: whether to start a new operation even if one is running. Later requests share the new one.
            keep: whether the operation can be found by its id while it runs and for some minutes afterwards.
            detached: whether it runs without subscribers and without a key, for clients that fetch its result later.

        Raises:
            QueueFull, ShuttingDown: `max_requests` requests are in work; the service is shutting down.
        """
        with self._lock:
            if self.draining:
                raise ShuttingDown
            if self.in_work >= self._max_requests:
                raise QueueFull(f"{self.in_work} requests are in work already", RETRY_AFTER)
            operation = None if fresh or key is None else self._running.get(key)
            starts = operation is None
            if operation is None:
                operation = Operation(self, key, work, detached)
                if self._share and key is not None:
                    self._running[key] = operation
            if keep:
                self._by_id[operation.id] = operation
            operation.subscribers += 1
            self.in_work += 1
        if starts:
            try:
                self._exchange(operation)
                self._executor.submit(operation.run)
            except BaseException as error:
                # The machine has no thread left, for one. Requests that share the operation by now get the error too,
                # unless one of the executor's other threads has begun it.
                if operation._taken.acquire(blocking=False):
                    del operation._work
                    operation._end(None, error)
                    operation.leave()
                    raise
        else:
            context.current().shares = operation.context
        return operation

    def find(self, operation_id: str) -> FoundOperation[Any]:
        """Return an operation that runs, or ended some minutes ago, here or at another copy.

        Raises:
            NotFound: there is none.
            Unavailable: the other copies cannot be asked.
        """
        with self._lock:
            operation: FoundOperation[Any] | None = self._by_id.get(operation_id) or self._kept.get(operation_id)
        if self._shared is not None:
            operation = self._shared.find(operation_id, operation)
        if operation is None:
            raise NotFound(_GONE)
        return operation

    def forget(self, operation: FoundOperation[Any]) -> None:
        """Cancel an operation, and remove it from those that `find` returns."""
        if isinstance(operation, Operation):
            operation.cancel()
        with self._lock:
            self._by_id.pop(operation.id, None)
            self._kept.pop(operation.id, None)
        if self._shared is not None:
            self._shared.forget(operation.id)

    def drain(self) -> None:
        """Refuse new requests. Those in work continue."""
        self.draining = True

    def _leave(self, operation: Operation[Any]) -> None:
        with self._lock:
            operation.subscribers -= 1
            self.in_work -= 1
            if not operation.subscribers and not operation.done:
                operation.cancel()
                if self._running.get(operation.key) is operation:
                    del self._running[operation.key]

    def _exchange(self, operation: Operation[Any]) -> None:
        """Tell other copies how far a kept operation is, and cancel it if one of them has forgotten it."""
        if self._shared and operation.id in self._by_id and not self._shared.exchange(operation):
            self.forget(operation)

    def _ended(self, operation: Operation[Any]) -> None:
        """Stop sharing an operation that has ended, so that later requests do not get its error. Keep it for `find`, if
        it can be found by its id."""
        try:
            # Before its client hears of the end: it may ask another copy for the result at once.
            self._exchange(operation)
        except Exception:
            # Whatever is wrong with other copies, subscribers here get their outcome.
            log.exception("operation %s could not be shared", operation.id)
        with self._lock:
            if self._running.get(operation.key) is operation:
                del self._running[operation.key]
        # Measured without the lock, since a long document takes a while. One that is larger than the limit is not kept.
        fits = operation.id in self._by_id and operation.size <= MAX_KEPT_BYTES
        with self._lock:
            if self._by_id.pop(operation.id, None) is not None and fits:
                self._kept[operation.id] = operation
