"""Results that are asked for twice: shared while they are being made, and remembered for later.

A result in the making is one generator of steps, which all who wait for it drive by turns. Whoever leaves, leaves it to
the others; when the last one does, it is closed, and what is still to do is cancelled.
"""

import dataclasses
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from app.jobs import POLL, Step, Steps
from app.schemas import Queued

_Result = TypeVar("_Result")


class Results:
    """What was found out lately, in at most `limit` bytes, questions included; what was not asked for longest goes
    first. A limit of 0 turns remembering and sharing off."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._in_the_making: dict[Hashable, _Making[Any]] = {}
        self._lock = threading.Lock()

    def of(
        self,
        question: Hashable,
        make: Callable[[], Steps[_Result]],
        lasting: Callable[[_Result], _Result | None],
        fresh: bool = False,
    ) -> Steps[tuple[_Result, bool]]:
        """Return the result of a question, and whether it was known already.

        Args:
            question: all that the result depends on.
            make: begins to make it.
            lasting: what of a result is remembered; None for nothing.
            fresh: whether to make it anew, whatever is known; the others will get the new one from then on.
        """
        if not self._limit:
            return (yield from make()), False
        with self._lock:
            known = None if fresh else self._recall(question)
            making = self._join(question, make, fresh) if known is None else None
        if making is None:
            yield Queued(position=0)
            return known, True  # type: ignore[return-value]
        try:
            result: _Result = yield from making.follow()
            self._remember(question, lasting(result), making)
        finally:
            self._leave(question, making)
        return result, False

    def _recall(self, question: Hashable) -> Any:
        """Return what is known, or None. The caller holds the lock."""
        if question not in self._known:
            return None
        self._known.move_to_end(question)
        return self._known[question][0]

    def _join(self, question: Hashable, make: Callable[[], Steps[_Result]], fresh: bool) -> "_Making[_Result]":
        """Return what is in the making, or begin it. The caller holds the lock, and leaves when it is done."""
        making = self._in_the_making.get(question)
        # What failed is told to those who waited for it, and not to who comes after.
        if making is None or making.failed or fresh:
            making = self._in_the_making[question] = _Making(make())
        making.followers += 1
        return making

    def _leave(self, question: Hashable, making: "_Making[Any]") -> None:
        with self._lock:
            making.followers -= 1
            last = not making.followers
            if last and self._in_the_making.get(question) is making:
                del self._in_the_making[question]
        if last:
            making.close()

    def _remember(self, question: Hashable, result: Any, making: "_Making[Any]") -> None:
        size = _size_of(question) + _size_of(result)
        if result is None or size > self._limit:
            return
        with self._lock:
            if self._in_the_making.get(question) is not making:
                # It has been asked for anew since.
                return
            _, replaced = self._known.pop(question, (None, 0))
            self._known[question] = result, size
            self._size += size - replaced
            while self._size > self._limit:
                _, (_, forgotten) = self._known.popitem(last=False)
                self._size -= forgotten


class _Making(Generic[_Result]):
    """A result in the making and how many wait for it. `followers` is guarded by the lock of Results."""

    def __init__(self, steps: Steps[_Result]) -> None:
        self.followers = 0
        self._steps = steps
        self._turn = threading.Lock()
        # Until the first one is known: it waits like any other.
        self._step: Step = Queued(position=None)
        self._ended = False
        self._result: _Result | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def follow(self) -> Steps[_Result]:
        """Yield the steps, whoever drives them, and return or raise what they come to."""
        while True:
            if self._turn.acquire(timeout=POLL):
                try:
                    self._drive()
                finally:
                    self._turn.release()
            # This first: who drives sets it last.
            if self._ended:
                if self._error is not None:
                    raise self._error
                return self._result  # type: ignore[return-value]
            yield self._step

    def close(self) -> None:
        """Cancel what is still to do. Nobody may follow any more."""
        self._steps.close()

    def _drive(self) -> None:
        """Take one step, unless there is none left. The caller has the turn."""
        if self._ended:
            return
        try:
            self._step = next(self._steps)
        except StopIteration as end:
            self._result, self._ended = end.value, True
        except BaseException as error:
            # Not only an Exception: the others would take a generator that broke for one that came to nothing.
            self._error, self._ended = error, True


def _size_of(value: Any) -> int:
    """Return the bytes of a question or a result in memory, with all that it is made of."""
    parts: Any = ()
    if dataclasses.is_dataclass(value):
        parts = (getattr(value, field.name) for field in dataclasses.fields(value))
    elif isinstance(value, BaseModel):
        parts = dict(value).values()
    elif isinstance(value, tuple | list):
        parts = value
    return sys.getsizeof(value) + sum(map(_size_of, parts))
