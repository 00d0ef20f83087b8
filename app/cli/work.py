"""The work on one input: from the journal if it is there, else read, answered and rendered. Runs in many threads."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from app.cli import inputs, records
from app.cli.exits import CommandError
from app.cli.formats import RENDERED, Result
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.outputs import ItemFailed, Need, Output
from app.cli.tasks import Task, tags_of
from app.types import Answer


class Answerer(Protocol):
    """The service, in this process or elsewhere. Many threads use it at once."""

    identity: str
    """All that an answer depends on besides the content: the model with its weights, and the options."""
    parallel: int
    """How many inputs it takes at once."""
    most_bytes: int
    """The size of the largest file that it takes."""

    def answer(self, item: Item, data: bytes | None) -> Answer:
        """Answer an input: its bytes, or None for those at its URL.

        Raises:
            ItemFailed: it is refused.
        """

    def export(self, answer: Answer, format: str, item: Item, data: bytes) -> bytes:
        """Render an answer in a format of EXPORTS."""

    def close(self) -> None:
        """Let go what it holds."""


Tried = TypeVar("Tried")


class State(Enum):
    """How the work on an input has ended."""

    RESULT = "result"
    DELIVERED = "delivered before"
    EXISTS = "has a result by others"
    ELSEWHERE = "in work in another process"
    FAILED = "failed"
    FAILED_BEFORE = "failed before"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on an input has ended: the result, or the reason of a failure."""

    item: Item
    state: State
    result: Result | None = None
    reason: str = ""
    key: str | None = None
    lasting: bool = False


class Work:
    """Does the work on one input after the other; each call in a thread of its own."""

    def __init__(
        self,
        answerer: Answerer,
        journal: Journal,
        outputs: Sequence[Output],
        task: Task,
        formats: Sequence[str] = (),
        retry_failed: bool = False,
        has_caption: Callable[[Task, str], bool] | None = None,
    ) -> None:
        """Args:
        answerer: answers what the journal does not know.
        journal: knows the rest.
        outputs: what results are for.
        task: the command.
        formats: those of RENDERED that the outputs need.
        retry_failed: whether to try what failed before.
        has_caption: says whether a file has metadata already, and is to be left out.
        """
        self._answerer = answerer
        self._journal = journal
        self._outputs = outputs
        self._task = task
        self._formats = formats
        self._retry_failed = retry_failed
        self._has_caption = has_caption
        self._in_hand: dict[str, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    def __call__(self, item: Item) -> Outcome:
        return self._tried(item, self._do)

    def early(self, item: Item) -> Outcome | None:
        """Return the outcome of an input that needs no work here: it is done, in work elsewhere, or no input. None for
        one that is claimed now, and to be worked on."""
        return self._tried(item, self._early)

    def remember(self, item: Item, read: str, size_and_time: tuple[int, int] | None) -> tuple[str, str]:
        """Remember the content of an input that others read, and of a file its size and time, by which it is known
        again. Return the content that it had before metadata was written into it, and the key of its answer."""
        content = self._journal.original_of(read)
        if size_and_time is not None:
            self._journal.remember_file(item.path, *size_and_time, content)
        return content, key_of(content, self._answerer)

    def done(self, item: Item, content: str, key: str, answer: Answer, rendered: Mapping[str, bytes]) -> Outcome:
        """Return the outcome of an input that others answered, and remember the answer."""
        self._remember(key, content, answer)
        return Outcome(item, State.RESULT, Result(item, key, answer, rendered), key=key)

    def _tried(self, item: Item, do: Callable[[Item], Tried]) -> Outcome | Tried:
        try:
            return do(item)
        except CommandError:
            raise
        except Exception as error:
            failed = ItemFailed.of(error)
            return Outcome(item, State.FAILED, reason=str(failed), lasting=failed.lasting)

    def _early(self, item: Item) -> Outcome | None:
        if item.error is not None:
            raise ItemFailed(item.error)
        content = self._known_content(item)
        if (early := self._without_work(item, content and key_of(content, self._answerer))) is not None:
            return early
        if self._has_caption is not None and item.is_file and self._has_caption(self._task, item.path):
            return Outcome(item, State.EXISTS)
        if not self._journal.claim(item.path, self._task.name):
            return Outcome(item, State.ELSEWHERE)
        return None

    def _do(self, item: Item) -> Outcome:
        if (outcome := self._early(item)) is not None:
            return outcome
        content, data = self._known_content(item), None
        if content is None:
            content, data = self._read(item)
        key = key_of(content, self._answerer)
        # Another process may have been here before the claim.
        if (early := self._without_work(item, key)) is not None:
            self._journal.release(item.path, self._task.name)
            return early
        try:
            return Outcome(item, State.RESULT, self._result(item, key, content, data), key=key)
        except ItemFailed as failed:
            return Outcome(item, State.FAILED, reason=str(failed), key=key, lasting=failed.lasting)

    def _without_work(self, item: Item, key: str | None) -> Outcome | None:
        """Return the outcome of an input for which no output wants a result, or that failed before."""
        needs = {output.need(item, key) for output in self._outputs}
        if needs and Need.WANTED not in needs:
            return Outcome(item, State.DELIVERED if Need.DELIVERED in needs else State.EXISTS, key=key)
        if key is not None and not self._retry_failed and (reason := self._journal.failure(item.path, key)):
            return Outcome(item, State.FAILED_BEFORE, reason=reason, key=key)
        return None

    def _result(self, item: Item, key: str, content: str, data: bytes | None) -> Result:
        with self._alone(key):
            known = self._journal.answer(key)
            if known is not None:
                answer = records.unpacked(known)
            else:
                if data is None and not item.is_url:
                    data = inputs.read(item.path, self._answerer.most_bytes)
                answer = self._answerer.answer(item, data)
                self._remember(key, content, answer)
            if item.is_url:
                self._journal.remember_file(item.path, 0, 0, content)
        return Result(item, key, answer, self._rendered(item, answer, data))

    def _remember(self, key: str, content: str, answer: Answer) -> None:
        if answer.complete:
            tags = " ".join(tags_of(answer))
            self._journal.remember_answer(key, content, records.packed(answer), answer.text, tags)

    def _rendered(self, item: Item, answer: Answer, data: bytes | None) -> dict[str, bytes]:
        if self._formats and data is None:
            if item.is_url:
                raise ItemFailed("of a URL there is only text, JSON and tables: save the file first")
            data = inputs.read(item.path, self._answerer.most_bytes)
        return {name: self._answerer.export(answer, RENDERED[name], item, data or b"") for name in self._formats}

    def _known_content(self, item: Item) -> str | None:
        """Return the content of an input without reading it, or None."""
        if item.is_url or item.is_object:
            return f"url:{item.path}{item.stamp}"
        if not item.is_file:
            return None
        there = os.stat(item.path)
        return self._journal.content_of(item.path, there.st_size, there.st_mtime_ns)

    def _read(self, item: Item) -> tuple[str, bytes]:
        before = os.stat(item.path) if item.is_file else None
        data = inputs.read(item.path, self._answerer.most_bytes)
        content = self._journal.original_of(hashlib.sha256(data).hexdigest())
        if before is not None and stat.S_ISREG(before.st_mode):
            self._journal.remember_file(item.path, before.st_size, before.st_mtime_ns, content)
        return content, data

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Let one thread at a time work for a key: a picture that comes twice is answered once."""
        with self._guard:
            lock, waiting = self._in_hand.get(key, (threading.Lock(), 0))
            self._in_hand[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._in_hand.pop(key)
                if waiting > 1:
                    self._in_hand[key] = lock, waiting - 1


def key_of(content: str, answerer: Answerer) -> str:
    """Return under what the journal has the answer for a content."""
    return hashlib.sha256(f"{content}\n{answerer.identity}".encode()).hexdigest()
