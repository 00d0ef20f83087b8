"""Where results go: tables that grow row by row, and files of their own for each input.

An output says of an input whether it still wants a result, and takes results one after the other, in one thread.
"""

import contextlib
import errno
import hashlib
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol, Self

from app.cli import atomic
from app.cli.exits import NoOutput, ReaderGone
from app.cli.formats import Result, Table
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.tasks import Task

IfExists = Literal["skip", "overwrite", "fail"]
Write = Callable[[Task, Result], bytes]
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class ItemFailed(Exception):
    """One input has no result; the message says why. `lasting` failures come again for the same content."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Return an error in the work on one input as its failure: one bad file does not stop the others, whatever it
        has found wrong with this program."""
        if isinstance(error, cls):
            return error
        if isinstance(error, OSError):
            return cls(error.strerror or str(error))
        return cls(f"an error of i2t: {type(error).__name__}: {error}")


class Need(Enum):
    """What an output has of an input."""

    WANTED = "wanted"
    DELIVERED = "delivered"
    EXISTS = "exists"
    """Something that this program has not written, and that stays."""


class Output(Protocol):
    """A place for results."""

    def need(self, item: Item, key: str | None) -> Need:
        """Say whether a result is wanted; the key is None while the content of the input is not known.

        Raises:
            ItemFailed: there can be none for this input.
        """

    def put(self, result: Result) -> None:
        """Write a result.

        Raises:
            NoOutput: nothing can be written any more.
            ItemFailed: this one cannot be written.
        """

    def finish(self) -> None:
        """Write what stands after the last result."""


class Stdout:
    """Results on stdout, flushed one by one. A journal remembers which have been written."""

    def __init__(self, journal: Journal, task: Task, table: Table) -> None:
        self._journal = journal
        self._task = task
        self._table = table
        self._begun = False

    def need(self, item: Item, key: str | None) -> Need:
        known = key is not None and self._journal.delivery("-", item.path, key) is not None
        return Need.DELIVERED if known else Need.WANTED

    def put(self, result: Result) -> None:
        lead = self._table.between if self._begun else self._table.head
        self._begun = True
        self._write(lead + self._table.row(self._task, result))
        with self._journal.writing():
            self._journal.remember_line("-", result.item.path, result.key, 0)

    def finish(self) -> None:
        if self._table.foot:
            self._write((b"" if self._begun else self._table.head) + self._table.foot)

    def _write(self, data: bytes) -> None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise NoOutput(f"stdout cannot be written ({error.strerror})") from error


class Rows:
    """A file with a row for each input, which many runs and several processes may write.

    The journal knows how long the file is. A row is written and its length remembered in one transaction: what lies
    beyond it was begun by a process that was killed, and is cut off by the next writer.
    """

    def __init__(self, path: Path, journal: Journal, task: Task, table: Table, if_exists: IfExists) -> None:
        """Open the file, and bring it and the journal together.

        Raises:
            NoOutput: it cannot be written, or is something else than the journal knows.
        """
        self._name = str(path.absolute())
        self._path = path
        self._journal = journal
        self._task = task
        self._table = table
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            with journal.writing():
                self._reconcile(if_exists)
        except OSError as error:
            raise self._failed(error) from error

    def need(self, item: Item, key: str | None) -> Need:
        known = key is not None and self._journal.delivery(self._name, item.path, key) is not None
        return Need.DELIVERED if known else Need.WANTED

    def put(self, result: Result) -> None:
        row = self._table.row(self._task, result)
        try:
            with self._journal.writing():
                end = self._cut()
                row = (self._table.between if end > len(self._table.head) else b"") + row
                if not end:
                    row = self._table.head + row
                self._append(row, end)
                self._journal.remember_line(self._name, result.item.path, result.key, end + len(row))
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        try:
            with self._journal.writing():
                end = self._cut()
                self._append((b"" if end else self._table.head) + self._table.foot, end)
                # The foot of a file without rows stands behind a head that does not count either.
                os.fsync(self._file)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(self._file)

    def _reconcile(self, if_exists: IfExists) -> None:
        size, known = os.fstat(self._file).st_size, self._journal.length(self._name)
        if if_exists == "overwrite":
            self._journal.forget_lines(self._name, -1)
            self._journal.set_length(self._name, 0)
            os.ftruncate(self._file, 0)
            return
        begins = self._table.head or self._table.first_byte
        if size and os.pread(self._file, len(begins), 0) != begins[:size]:
            raise NoOutput(
                f"{self._path} exists, and is not in this format: name another file, or say --if-exists overwrite"
            )
        if known is None and size and if_exists == "fail":
            raise NoOutput(f"{self._path} exists: name another file, or say --if-exists overwrite")
        if known is None:
            # The rows of others stay; that of a table with a foot follows before the foot.
            foot = self._table.foot
            if size and os.pread(self._file, len(foot) or 1, size - (len(foot) or 1)) != (foot or b"\n"):
                raise NoOutput(f"{self._path} exists, and no row can follow in it: --if-exists overwrite begins anew")
            self._journal.set_length(self._name, max(0, size - len(foot)))
        elif size < known:
            # Rows are gone: the file was removed, or a power cut took them. They are written again.
            reach = self._journal.forget_lines(self._name, size)
            self._journal.set_length(self._name, reach)
            os.ftruncate(self._file, reach)
        elif self._journal.broken_off:
            # Half a row, of a process that was killed.
            os.ftruncate(self._file, known)
        elif os.pread(self._file, size - known, known) not in (
            b"",
            self._table.foot,
            self._table.head + self._table.foot,
        ):
            raise NoOutput(f"{self._path} was changed by others: --if-exists overwrite begins anew")

    def _cut(self) -> int:
        """Cut off what does not count, and return how long the file is then."""
        length = self._journal.length(self._name) or 0
        if os.fstat(self._file).st_size > length:
            os.ftruncate(self._file, length)
        return length

    def _append(self, data: bytes, end: int) -> None:
        while data:
            written = os.pwrite(self._file, data, end)
            data, end = data[written:], end + written

    def _failed(self, error: OSError) -> NoOutput:
        return NoOutput(f"{self._path} cannot be written ({error.strerror}): the same command goes on from here")


class Files:
    """A file of its own for each input."""

    def __init__(
        self,
        name: str,
        target: Callable[[Item], Path],
        write: Write,
        journal: Journal,
        task: Task,
        if_exists: IfExists,
    ) -> None:
        """Args:
        name: of this output in the journal.
        target: returns the file for an input; raises ItemFailed where it can have none.
        write: returns what is in it.
        journal: knows which files are this program's.
        task: whose results are written.
        if_exists: what to do with files of others. Its own are replaced when they hold an older result, unless
            somebody has changed them.
        """
        self._name = name
        self._target = target
        self._write = write
        self._journal = journal
        self._task = task
        self._if_exists = if_exists

    def need(self, item: Item, key: str | None) -> Need:
        target = self._target(item)
        if item.is_file and os.path.abspath(item.path) == os.path.abspath(target):
            raise ItemFailed("the result would take the place of the input itself: name another --output")
        if not os.path.lexists(target):
            return Need.WANTED
        with contextlib.suppress(OSError):
            if item.is_file and os.path.samefile(item.path, target):
                raise ItemFailed(f"{target} is the input itself: name another --output")
        if key is not None and self._journal.delivery(self._name, item.path, key) is not None:
            return Need.DELIVERED
        if self._if_exists == "overwrite" or self._is_own(target, item):
            return Need.WANTED
        if self._if_exists == "fail":
            raise ItemFailed(f"{target} exists: see --if-exists")
        return Need.EXISTS

    def put(self, result: Result) -> None:
        target = self._target(result.item)
        data = self._write(self._task, result)
        try:
            atomic.write(target, data)
        except OSError as error:
            raise unwritten(target, error) from error
        digest = hashlib.sha256(data).hexdigest()
        self._journal.remember_target(self._name, result.item.path, result.key, str(target.absolute()), digest)

    def finish(self) -> None:
        """There is nothing after the last."""

    def _is_own(self, target: Path, item: Item) -> bool:
        """True where the file is as this program has written it.

        Raises:
            ItemFailed: it holds the result of another input.
        """
        known = self._journal.writer_of(str(target.absolute()))
        if known is None:
            return False
        path, digest = known
        if path != os.path.abspath(item.path) and os.path.lexists(path):
            raise ItemFailed(f"{target} has the result of {path}: let --output have {{name}} or {{rel}} in it")
        with contextlib.suppress(OSError):
            return hashlib.sha256(target.read_bytes()).hexdigest() == digest
        return False


def unwritten(target: Path, error: OSError) -> NoOutput | ItemFailed:
    """Return the error of a file that cannot be written: of a full or broken disk the whole command ends."""
    reason = f"{target} cannot be written ({error.strerror or error})"
    if error.errno in _FULL:
        return NoOutput(f"{reason}: the same command goes on from here")
    return ItemFailed(reason)
