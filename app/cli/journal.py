"""The journal: what was said of which content, and which results have been delivered where. SQLite, so that a process
may be killed at any moment, and several may share one journal.

A content and an identity (the model with its weights, and the options) find an answer. Paths, sizes and times only save
reading a file again: one that was renamed has the same content, and so the same answer.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli.exits import NoOutput
from app.cli.workers import Workers

SUFFIX = ".journal"
IN_DIRECTORY = f".i2t{SUFFIX}"
"""The name of a journal that belongs to a directory; that of a file has the file's name and the suffix."""
_FORMAT = 1
_PATIENCE = 60.0
"""Seconds that a process waits for others to write."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS files(path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, content TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_content ON files(content);
CREATE TABLE IF NOT EXISTS rewritten(content TEXT PRIMARY KEY, original TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers(id INTEGER PRIMARY KEY, key TEXT UNIQUE, content TEXT, answer TEXT, at REAL);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, tags, tokenize="unicode61 remove_diacritics 2");
CREATE TABLE IF NOT EXISTS failures(path BLOB, key TEXT, reason TEXT, PRIMARY KEY(path, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outputs(name BLOB PRIMARY KEY, length INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries(
    output BLOB, path BLOB, key TEXT, upto INTEGER, target BLOB, digest TEXT, PRIMARY KEY(output, path, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_target ON deliveries(target);
CREATE TABLE IF NOT EXISTS claims(path BLOB, task TEXT, worker INTEGER, PRIMARY KEY(path, task)) WITHOUT ROWID;
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class Journal:
    """A journal in a file, or in memory for a run that nobody resumes. Threads may share it."""

    def __init__(self, path: Path | None, reading: bool = False) -> None:
        """Open a journal, or begin one.

        Args:
            path: of the file; None for one in memory.
            reading: whether it is only looked into. Nothing is written then, as another process may be at work with it.

        Raises:
            NoOutput: the file cannot be written or read, or is no journal of this version.
        """
        self.path = path
        self._reading = reading
        self.broken_off = False
        """True where a process was killed, or is still at work."""
        self._lock = threading.RLock()
        try:
            if path is not None and not reading:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connected(path, reading)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise NoOutput(f"{path} is a journal of another version of i2t: name another with --journal")
            if reading and version == 0:
                # Another process has only begun the file, or none is there: one in memory is as empty.
                self._connection.close()
                self._connection = _connected(None)
            if not reading or version == 0:
                # With NORMAL a power cut may lose the last results, which are then computed again, and never the
                # journal.
                for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
                    self._connection.execute(f"PRAGMA {pragma}")
                self._connection.executescript(_SCHEMA)
            self._workers = Workers(None if reading else path)
            self.broken_off = self._row("SELECT 1 FROM claims") is not None
        except (sqlite3.Error, OSError) as error:
            raise NoOutput(f"the journal {path} cannot be {'read' if reading else 'written'} ({error})") from error

    def begin(self) -> None:
        """Forget the claims of a process that was killed and had the number of this one."""
        if not self._reading:
            self._write("DELETE FROM claims WHERE worker = ?", self._workers.number)

    def close(self) -> None:
        """Give up what this process has claimed, and close the file."""
        with self._lock:
            try:
                if not self._reading:
                    self._connection.execute("DELETE FROM claims WHERE worker = ?", (self._workers.number,))
                self._connection.close()
            except sqlite3.Error as error:
                raise _unwritable(self.path, error) from error
            finally:
                self._workers.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let what is written in the block be written as a whole, while no other process writes.

        Raises:
            NoOutput: the journal cannot be written. Nothing of the block is in it then.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise _unwritable(self.path, error) from error

    # Contents

    def content_of(self, path: str, size: int, mtime: int) -> str | None:
        """Return the content of a file that has the size and the time that it had when it was read, or None."""
        row = self._row("SELECT size, mtime, content FROM files WHERE path = ?", _place(path))
        return row[2] if row and row[:2] == (size, mtime) else None

    def remember_file(self, path: str, size: int, mtime: int, content: str) -> None:
        """Remember which content a path has."""
        self._write("REPLACE INTO files VALUES(?, ?, ?, ?)", _place(path), size, mtime, content)

    def original_of(self, content: str) -> str:
        """Return the content that a file had before this program wrote metadata into it."""
        row = self._row("SELECT original FROM rewritten WHERE content = ?", content)
        return row[0] if row else content

    def remember_rewritten(self, content: str, original: str) -> None:
        """Remember that a content is another one with metadata."""
        self._write("REPLACE INTO rewritten VALUES(?, ?)", content, original)

    # Answers and failures

    def answer(self, key: str) -> str | None:
        """Return what was remembered for a key."""
        row = self._row("SELECT answer FROM answers WHERE key = ?", key)
        return row[0] if row else None

    def remember_answer(self, key: str, content: str, answer: str, text: str, tags: str) -> None:
        """Remember an answer; its text and tags are what `search` looks in."""
        with self.writing():
            added = self._connection.execute(
                "INSERT OR IGNORE INTO answers(key, content, answer, at) VALUES(?, ?, ?, ?)",
                (key, content, answer, time.time()),
            )
            if added.rowcount:
                self._connection.execute(
                    "INSERT INTO words(rowid, text, tags) VALUES(?, ?, ?)", (added.lastrowid, text, tags)
                )

    def failure(self, path: str, key: str) -> str | None:
        """Return why a file failed, if it did."""
        row = self._row("SELECT reason FROM failures WHERE path = ? AND key = ?", _place(path), key)
        return row[0] if row else None

    def remember_failure(self, path: str, key: str, reason: str) -> None:
        """Remember that a file fails, so that it is not tried again."""
        self._write("REPLACE INTO failures VALUES(?, ?, ?)", _place(path), key, reason)

    def forget_failure(self, path: str, key: str) -> None:
        """Forget a failure of a file that has gone well."""
        if self.failure(path, key) is not None:
            self._write("DELETE FROM failures WHERE path = ? AND key = ?", _place(path), key)

    def search(self, words: str) -> Iterator[tuple[str, str, str]]:
        """Yield path, text and tags of the answers in which words occur, the best first; as FTS5 has its queries.

        Raises:
            sqlite3.Error: the query is not one.
        """
        found = self._connection.execute(
            "SELECT files.path, words.text, words.tags FROM words JOIN answers ON answers.id = words.rowid "
            "JOIN files ON files.content = answers.content WHERE words MATCH ? ORDER BY rank, files.path",
            (words,),
        )
        for path, text, tags in found:
            yield os.fsdecode(path), text, tags

    # Claims

    def claim(self, path: str, task: str) -> bool:
        """Claim a path for this process; False where another process that lives has it."""
        mine = self._workers.number
        with self.writing():
            row = self._row("SELECT worker FROM claims WHERE path = ? AND task = ?", _place(path), task)
            if row and row[0] != mine and self._workers.lives(row[0]):
                return False
            self._connection.execute("REPLACE INTO claims VALUES(?, ?, ?)", (_place(path), task, mine))
        return True

    def release(self, path: str, task: str) -> None:
        """Give up a claim."""
        self._write("DELETE FROM claims WHERE path = ? AND task = ?", _place(path), task)

    # Deliveries

    def delivery(self, output: str, path: str, key: str) -> tuple[str | None, str | None] | None:
        """Return the target and the digest of what an output has of a path, or None."""
        row = self._row(
            "SELECT target, digest FROM deliveries WHERE output = ? AND path = ? AND key = ?",
            *(_bytes(output), _place(path), key),
        )
        return None if row is None else (row[0] and os.fsdecode(row[0]), row[1])

    def remember_line(self, output: str, path: str, key: str, upto: int) -> None:
        """Remember that a file of lines holds that of a path, and reaches so far with it. Within `writing`."""
        self._connection.execute(
            "REPLACE INTO deliveries(output, path, key, upto) VALUES(?, ?, ?, ?)",
            (_bytes(output), _place(path), key, upto),
        )
        self.set_length(output, upto)

    def remember_target(self, output: str, path: str, key: str, target: str, digest: str) -> None:
        """Remember that a file of its own was written for a path."""
        with self.writing():
            self._connection.execute(
                "DELETE FROM deliveries WHERE output = ? AND path = ?", (_bytes(output), _place(path))
            )
            self._connection.execute(
                "INSERT INTO deliveries(output, path, key, target, digest) VALUES(?, ?, ?, ?, ?)",
                (_bytes(output), _place(path), key, _bytes(target), digest),
            )

    def writer_of(self, target: str) -> tuple[str, str] | None:
        """Return the path whose result a file holds, and the digest of what was written; None for another's file."""
        row = self._row("SELECT path, digest FROM deliveries WHERE target = ?", _bytes(target))
        return (os.fsdecode(row[0]), row[1]) if row else None

    def is_result(self, path: str) -> bool:
        """Return whether a file was written as the result of another one."""
        known = self.writer_of(os.path.abspath(path))
        return known is not None and known[0] != os.path.abspath(path)

    def length(self, output: str) -> int | None:
        """Return how far a file of lines was written; None for one that is not known."""
        row = self._row("SELECT length FROM outputs WHERE name = ?", _bytes(output))
        return row[0] if row else None

    def set_length(self, output: str, length: int) -> None:
        """Set how far a file of lines is written."""
        self._connection.execute("REPLACE INTO outputs VALUES(?, ?)", (_bytes(output), length))

    def forget_lines(self, output: str, beyond: int) -> int:
        """Forget the lines of a file that lie beyond so many bytes, and return how far the others reach."""
        name = _bytes(output)
        self._connection.execute("DELETE FROM deliveries WHERE output = ? AND upto > ?", (name, beyond))
        row = self._row("SELECT max(upto) FROM deliveries WHERE output = ?", name)
        return row[0] or 0 if row else 0

    def _row(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        with self._lock:
            try:
                row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
            except sqlite3.Error as error:
                raise _unwritable(self.path, error) from error
            return row

    def _write(self, statement: str, *values: Any) -> None:
        with self.writing():
            self._connection.execute(statement, values)


def _connected(path: Path | None, reading: bool = False) -> sqlite3.Connection:
    """Connect to a file, or to memory."""
    # Not `mode=ro`, which leaves the files of the write-ahead log behind in the directory.
    name = f"{path.absolute().as_uri()}?mode=rw" if path and reading else path or ":memory:"
    connection = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=reading)
    if path and reading:
        connection.execute("PRAGMA query_only = TRUE")
    return connection


def _bytes(path: str) -> bytes:
    """A path may have bytes that are no text in any encoding."""
    return os.fsencode(path)


def _place(path: str) -> bytes:
    """Return the name of an input that is the same from every directory."""
    return _bytes(path if path == "-" or "://" in path else os.path.abspath(path))


def _unwritable(path: Path | None, error: sqlite3.Error) -> NoOutput:
    return NoOutput(
        f"the journal {path or 'in memory'} cannot be written ({error}): the same command goes on from here"
    )
