"""The service's side of the cage: starts processes, hands them files, and ends them when they take too long."""

import contextlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from app.cage.wire import Header, receive, send
from app.errors import InvalidImage, ServiceError, Unavailable, UnsupportedMedia

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds to wait for a process that is free."""
_WALL = 10
"""Seconds by the clock for each of processor time, on a machine that is busy with other things too."""
_SHORT, _LONG = 0.2, 0.5
"""Seconds of processor time after which a file has to stand back for others: the first, and as many for each megabyte
of it, up to the second. What was built to take long is mostly small."""
_GLANCE = 0.05
"""Seconds between two looks at how much it has taken."""
_LOWEST = 19
_MOMENT = 0.2
"""Seconds that a process has to end by itself when its socket is closed."""
_ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in (InvalidImage, UnsupportedMedia)}
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""What Python may need of the environment to start. The rest, with API_KEYS in it, is nothing for a process that a file
may take over."""
# With the search path of the service, so that the same code runs wherever it was started.
_START = """
import sys
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

    def __init__(self, processes: int, seconds: float, memory: int, room: float = math.inf) -> None:
        """Take so many images at once, as many pages of PDFs, for which images need not wait, and as many of either
        that take long; each for so many seconds of processor time, in so many bytes of memory. What comes waits while
        earlier images, wherever they are by now, take `room` bytes."""
        images, pdfs, self._slow = (threading.BoundedSemaphore(processes) for _ in range(3))
        self._places = {"image": images, "pdf": pdfs, "pdf_page": pdfs}
        self._room = _Room(room)
        self._seconds = seconds
        self._memory = memory
        # The one used last is used next: few are busy where few are needed.
        self._idle: list[_Process] = []

    def run(self, task: str, data: bytes, **arguments: Any) -> Decoded:
        """Do one of the TASKS of `app.cage.inmate` with a file.

        Raises:
            InvalidImage: broken, over the limits, or more than a process can take.
            UnsupportedMedia: nothing that is decoded here.
            Unavailable: all processes or all the room for images were taken for long, none starts, or the machine is
                too busy.
        """
        with self._place(task) as step_aside:
            self._room.wait()
            process = self._process()
            try:
                header, pixels = process.ask({"task": task, "arguments": arguments}, data, step_aside)
            except TimeoutError as error:
                process.end()
                raise Unavailable("the machine is too busy to decode this: try again later", _PATIENCE) from error
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
            if "error" in header:
                raise _ERRORS[header["error"]](header["detail"])
            if not pixels:
                return Decoded(header["facts"], None)
            image = Image.frombuffer("RGB", header["size"], pixels, "raw", "RGB", 0, 1)
            self._room.take(image, len(pixels))
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

    @contextlib.contextmanager
    def _place(self, task: str) -> Iterator[Callable[[], None]]:
        """Hold one of the places for a task. What is yielded gives it up for one of the slow, where one is free."""
        held = self._places[task]
        if not held.acquire(timeout=_PATIENCE):
            raise Unavailable("other files take very long to decode: try again later", _PATIENCE)

        def step_aside() -> None:
            nonlocal held
            if self._slow.acquire(blocking=False):
                held.release()
                held = self._slow

        try:
            yield step_aside
        finally:
            held.release()

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
                # Without the threads that NumPy starts for matrices, one for each core: their stacks count as memory.
                env={"OPENBLAS_NUM_THREADS": "1"}
                | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                # Control-C goes to the whole group of the service, which then finishes what is in work. A session of
                # its own would do as well, but Linux may share out time by sessions first: no priority counts then.
                process_group=0,
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

    def ask(self, header: Header, data: bytes, step_aside: Callable[[], None]) -> tuple[Header, bytearray]:
        """Send a file and return what comes back. When that takes long, all else goes first, as from then on it does
        for good, and `step_aside` is called.

        Raises:
            TimeoutError: nothing comes in time.
            OSError, EOFError, ValueError: nothing sound comes.
        """
        end = time.monotonic() + self._seconds
        tired_at = self._work_done() + min(_SHORT * (1 + len(data) / 1e6), _LONG)
        self._socket.settimeout(self._seconds)
        send(self._socket, header, data)
        while not self._answers_within(_GLANCE):
            if time.monotonic() > end:
                raise TimeoutError
            if not self.slowed and self._work_done() >= tired_at:
                self._slow_down()
                step_aside()
        self._socket.settimeout(self._seconds)
        return receive(self._socket, self._memory)

    def _answers_within(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        return True

    def _work_done(self) -> float:
        """Return its seconds of processor time, or where only Linux could tell, those by the clock."""
        try:
            # As clock_getcpuclockid(3) has it.
            return time.clock_gettime(~self._popen.pid << 3 | 2)
        except OSError:
            return time.monotonic()

    def _slow_down(self) -> None:
        self.slowed = True
        # Each suppressed: it may have ended, and not every system allows this.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._popen.pid, _LOWEST)
        if sys.platform != "linux":
            return
        # However nice, it would still finish its turn of some milliseconds before one who wakes up has his, which in
        # inference on several cores is often.
        for thread in Path(f"/proc/{self._popen.pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))

    def end(self) -> int:
        """End it, whatever it does, and return its exit status."""
        self._socket.close()
        try:
            return self._popen.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()


class _Room:
    """How many bytes of decoded images are in memory, until the last who holds one lets go of it."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._taken = 0
        # Reentrant: an image may be collected in a thread that is just in here.
        self._changed = threading.Condition(threading.RLock())

    def wait(self) -> None:
        """Wait for room, of which one image may then take more than there was.

        Raises:
            Unavailable: there is none for long.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken < self._limit, _PATIENCE):
                raise Unavailable("the images that wait for models take all the room: try again later", _PATIENCE)

    def take(self, image: Image.Image, size: int) -> None:
        """Count an image of so many bytes."""
        self._change(size)
        weakref.finalize(image, self._change, -size).atexit = False

    def _change(self, size: int) -> None:
        with self._changed:
            self._taken += size
            self._changed.notify_all()


def _why(status: int) -> str:
    if status in (-signal.SIGPROF, -signal.SIGKILL):
        return "the file takes too long to decode, or too much memory: save it anew, or smaller"
    return "the file is broken: its decoder fails"
