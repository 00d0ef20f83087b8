"""A run: inputs are started ahead, bounded, and their results written in the order of the inputs."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty, Queue
from types import FrameType

from app.cli.exits import Exit
from app.cli.formats import Result
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.outputs import ItemFailed, Need, Output
from app.cli.progress import Progress
from app.cli.tasks import Task
from app.cli.work import Outcome, State, Work

_AHEAD = 8
"""The run starts at most this many inputs ahead, as a multiple of those in work."""
_TICK = 0.2
"""Seconds between two looks at whether the run is stopped."""


class Run:
    """Takes inputs through the work to the outputs."""

    def __init__(
        self,
        work: Work,
        parallel: int,
        outputs: Sequence[Output],
        journal: Journal,
        task: Task,
        progress: Progress,
        stopped: threading.Event,
        fail_fast: bool = False,
        limit: int | None = None,
    ) -> None:
        self._work = work
        self._parallel = parallel
        self._outputs = outputs
        self._journal = journal
        self._task = task
        self._progress = progress
        self._stopped = stopped
        self._fail_fast = fail_fast
        self._limit = limit
        self._executor = ThreadPoolExecutor(parallel, thread_name_prefix="item")
        self.failures: list[str] = []
        """The paths of the inputs that failed."""
        self._elsewhere: list[Item] = []

    def take(self, items: Iterable[Item | None]) -> None:
        """Take inputs until they end, or the run is stopped or has reached its limit. None stands for none just now.

        Raises:
            CommandError: nothing can be written, or answered, any more.
            ReaderGone: whoever read stdout has closed it.
        """
        self._take(items)
        # By now, the other process has mostly finished these inputs or has died.
        again, self._elsewhere = self._elsewhere, []
        if again and not self._ended():
            self._progress.passed_over -= len(again)
            self._take(again)

    @property
    def left_elsewhere(self) -> int:
        """How many inputs another process has in hand."""
        return len(self._elsewhere)

    def close(self) -> None:
        """Start nothing more. What is in work ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _take(self, items: Iterable[Item | None]) -> None:
        window: deque[Future[Outcome]] = deque()
        for item in items:
            if item is not None:
                window.append(self._executor.submit(self._work, item))
            while window and (window[0].done() or len(window) >= self._room()):
                self._settle_first(window)
                if self._ended():
                    return
            if self._ended():
                return
            self._progress.show()
        while window and not self._ended():
            self._settle_first(window)

    def take_done(self, outcomes: Iterable[Outcome]) -> None:
        """Take the outcomes of work that others do, until they end, or the run is stopped or has reached its limit.

        Raises:
            CommandError, ReaderGone: as `take` does.
        """
        for outcome in outcomes:
            self._settle(outcome)
            self._progress.show()
            if self._ended():
                return

    def _room(self) -> int:
        """How many inputs may be in the window: with a limit, no more than may still have results."""
        most = self._parallel * _AHEAD
        return most if self._limit is None else max(1, min(most, self._limit - self._progress.done))

    def _ended(self) -> bool:
        reached = self._limit is not None and self._progress.done >= self._limit
        return reached or self._stopped.is_set() or (self._fail_fast and self._progress.failed > 0)

    def _settle_first(self, window: deque[Future[Outcome]]) -> None:
        while not wait([window[0]], _TICK).done:
            self._progress.show()
            if self._stopped.is_set():
                return
        self._settle(window.popleft().result())
        self._progress.show()

    def _settle(self, outcome: Outcome) -> None:
        """Write a result, or say a failure, and count it."""
        item, state = outcome.item, outcome.state
        if self._stopped.is_set() and state is State.FAILED:
            # It may have failed only because it was interrupted.
            return
        if state is State.ELSEWHERE:
            self._elsewhere.append(item)
            self._progress.passed_over += 1
            return
        if outcome.result is not None:
            try:
                self._deliver(outcome.result)
            except ItemFailed as failed:
                state, outcome = State.FAILED, Outcome(item, State.FAILED, reason=str(failed))
        if state in (State.FAILED, State.FAILED_BEFORE):
            self._say_failed(outcome, state)
        elif state is State.RESULT:
            self._progress.done += 1
        else:
            self._progress.passed_over += 1
        if state in (State.RESULT, State.FAILED):
            self._journal.release(item.path, self._task.name)

    def _deliver(self, result: Result) -> None:
        for output in self._outputs:
            # The same path may come twice among the inputs.
            if output.need(result.item, result.key) is Need.WANTED:
                output.put(result)
        self._journal.forget_failure(result.item.path, result.key)

    def _say_failed(self, outcome: Outcome, state: State) -> None:
        self._progress.failed += 1
        self.failures.append(outcome.item.path)
        before = " (failed before: --retry-failed tries it again)" if state is State.FAILED_BEFORE else ""
        self._progress.say(f"{outcome.item.path}: {outcome.reason}{before}")
        if outcome.lasting and outcome.key is not None:
            self._journal.remember_failure(outcome.item.path, outcome.key, outcome.reason)


def arriving(items: Iterable[Item], stopped: threading.Event) -> Iterator[Item | None]:
    """Yield inputs that come slowly, as from a pipe, and None while none comes, so that others go on meanwhile."""
    queue: Queue[Item | BaseException | None] = Queue(1_000)

    def fill() -> None:
        try:
            for item in items:
                queue.put(item)
            queue.put(None)
        except Exception as error:
            queue.put(error)

    # A daemon: it may be waiting for a pipe that never ends.
    threading.Thread(target=fill, name="inputs", daemon=True).start()
    while not stopped.is_set():
        try:
            item = queue.get(timeout=_TICK)
        except Empty:
            yield None
            continue
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return
        yield item


@contextmanager
def stopping(stopped: threading.Event) -> Iterator[None]:
    """Set `stopped` on SIGINT and SIGTERM; end the process at once on a second one."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            os._exit(Exit.INTERRUPTED)
        stopped.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
