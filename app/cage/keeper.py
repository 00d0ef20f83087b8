"""The service's side of the cage: starts processes, hands them files, and ends them when they take too long."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.cage.wire import Header, receive, send
from app.errors import InvalidImage, ServiceError, Unavailable, UnsupportedMedia

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds to wait for a process that is free."""
_WALL = 5
"""Seconds by the clock for each of processor time, on a machine that is busy with other things too."""
_LONG = 1.0
"""Seconds after which a file has to stand back for others."""
_NICE = 5
_MOMENT = 0.2
"""Seconds that a process has to end by itself when its socket is closed."""
_ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in (InvalidImage, UnsupportedMedia)}
# With the search path of the service, so that the same code runs wherever it was started; and without the threads that
# NumPy starts for matrices, one for each core, for their stacks count as memory.
_START = """
import os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path[:] = {path!r}
from app.cage.inmate import main
main({seconds!r}, {memory!r})
"""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in a file: facts by their names, and an RGB image where the task makes one."""

    facts: dict[str, Any]
    image: Image.Image | None


class Cage:
    """Processes that decode. They start when they are needed; one that had to be ended is replaced at the next need."""

    def __init__(self, processes: int, seconds: float, memory: int) -> None:
        """Take so many images at once, and as many pages of PDFs, for which images need not wait; each for so many
        seconds of processor time, in so many bytes of memory."""
        self._free_for = {kind: threading.BoundedSemaphore(processes) for kind in ("image", "pdf", "pdf_page")}
        self._free_for["pdf_page"] = self._free_for["pdf"]
        self._seconds = seconds
        self._memory = memory
        # The one used last is used next: few are busy where few are needed.
        self._idle: list[_Process] = []

    def run(self, task: str, data: bytes, **arguments: Any) -> Decoded:
        """Do one of the TASKS of `app.cage.inmate` with a file.

        Raises:
            InvalidImage: broken, over the limits, or more than a process can take.
            UnsupportedMedia: nothing that is decoded here.
            Unavailable: all processes were busy for long, or none starts.
        """
        free = self._free_for[task]
        if not free.acquire(timeout=_PATIENCE):
            raise Unavailable("other files take very long to decode: try again later", _PATIENCE)
        try:
            process = self._process()
            try:
                header, pixels = process.ask({"task": task, "arguments": arguments}, data)
            except (OSError, EOFError, ValueError) as error:
                raise InvalidImage(_why(process.end())) from error
            except BaseException:
                # Its answer may be half read: nobody else must get the rest.
                process.end()
                raise
            if process.slowed:
                process.end()
            else:
                self._idle.append(process)
        finally:
            free.release()
        if "error" in header:
            raise _ERRORS[header["error"]](header["detail"])
        image = Image.frombuffer("RGB", header["size"], pixels, "raw", "RGB", 0, 1) if pixels else None
        return Decoded(header["facts"], image)

    def warm(self) -> None:
        """Start a process, without waiting for it."""
        # If none starts, whoever needs one is told.
        with contextlib.suppress(Unavailable):
            self._idle.append(self._started())

    def close(self) -> None:
        """End the processes that have nothing to do."""
        while self._idle:
            self._idle.pop().end()

    def _process(self) -> "_Process":
        # Taken by one thread only, whatever others do meanwhile.
        with contextlib.suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.is_ready():
                    return process
                process.end()
        process = self._started()
        if not process.is_ready():
            raise Unavailable(f"what decodes does not start ({process.end()}): the service's log has more", _PATIENCE)
        return process

    def _started(self) -> "_Process":
        try:
            return _Process(self._seconds, self._memory)
        except OSError as error:
            log.error("a process that decodes cannot be started: %s", error)
            raise Unavailable(f"what decodes does not start ({error.strerror}): try again later", _PATIENCE) from error


class _Process:
    """One process, which takes one file at a time."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.slowed = False
        self._started = False
        self._seconds = seconds * _WALL
        self._memory = memory
        self._socket, its_end = socket.socketpair()
        with its_end, contextlib.ExitStack() as on_failure:
            on_failure.enter_context(self._socket)
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-c", _START.format(path=sys.path, seconds=seconds, memory=memory)],
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                # Control-C goes to the whole group of the service, which then finishes what is in work.
                start_new_session=True,
            )
            on_failure.pop_all()

    def is_ready(self) -> bool:
        """Wait until it has started, and say whether it lives."""
        if not self._started:
            self._socket.settimeout(_PATIENCE)
            with contextlib.suppress(OSError, EOFError, ValueError):
                receive(self._socket, self._memory)
                self._started = True
        return self._started and self._popen.poll() is None

    def ask(self, header: Header, data: bytes) -> tuple[Header, bytearray]:
        """Send a file and return what comes back.

        Raises:
            OSError, EOFError, ValueError: nothing sound comes, or nothing in time.
        """
        self._socket.settimeout(self._seconds)
        send(self._socket, header, data)
        self._slow_down_after(_LONG)
        return receive(self._socket, self._memory)

    def _slow_down_after(self, seconds: float) -> None:
        """Wait for the answer for so long; then let other processes go first, as from then on they do for good."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            os.setpriority(os.PRIO_PROCESS, self._popen.pid, _NICE)
            self.slowed = True
        self._socket.settimeout(self._seconds)

    def end(self) -> int:
        """End it, whatever it does, and return its exit status."""
        self._socket.close()
        try:
            return self._popen.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()


def _why(status: int) -> str:
    if status in (-signal.SIGPROF, -signal.SIGKILL):
        return "the file takes too long to decode, or too much memory: save it anew, or smaller"
    return "the file is broken: its decoder fails"
