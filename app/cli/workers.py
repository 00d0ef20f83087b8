"""The processes that share a journal: each has a number, and holds a lock for as long as it lives.

The operating system gives a lock up when its process ends, however it ends, so that what a killed process had claimed
is free at once.
"""

import fcntl
import os
import threading
from pathlib import Path

_MOST = 10_000


class Workers:
    """This process among those of a journal. For a journal in memory, or one that is only read, it has no number."""

    def __init__(self, journal: Path | None) -> None:
        """Take a number that no living process has.

        Raises:
            OSError: the file of locks, beside the journal, cannot be written.
        """
        self.number = -1
        self._file: int | None = None
        # Locks are those of a process: another thread would be granted the same.
        self._lock = threading.Lock()
        if journal is not None:
            # Of these locks all go when any descriptor of the file is closed, so there is only this one.
            self._file = os.open(f"{journal}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self.number = next(number for number in range(_MOST) if self._take(number))

    def lives(self, number: int) -> bool:
        """True when another process has that number."""
        if self._file is None:
            return False
        with self._lock:
            if not self._take(number):
                return True
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
            return False

    def close(self) -> None:
        """Give the number up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, number: int) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        return True
