"""A process that decodes, as the service sees it: how it is started, what is asked of it, and how it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.decoding.protocol import Header, receive, send

_START_WITHIN = 30.0
"""Seconds in which it has to start, on a machine that is busy with other things too."""
_WALL = 10
"""Seconds by the clock for each of processor time, likewise."""
_SHORT, _LONG = 0.2, 0.5
"""Seconds of processor time after which a file has to stand back for others: `_SHORT`, and as many more for each
megabyte of it, but no more than `_LONG`. Files that were built to take long are mostly small."""
_GLANCE = 0.05
"""Seconds between two looks at how much it has taken."""
_LOWEST = 19
_MOMENT = 0.2
"""Seconds that a process has to end by itself when its socket is closed."""
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
"""What Python may need of the environment to start, and whether it may write. The rest, with API_KEYS in it, is kept
from a process that a hostile file may take over."""
# With the search path of the service, so that the same code runs wherever it was started.
_START = """
import sys
sys.path[:] = {path!r}
from app.decoding.worker import main
main({seconds!r}, {memory!r})
"""


class Process:
    """Takes one file at a time."""

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
            self._socket.settimeout(_START_WITHIN)
            with contextlib.suppress(OSError, EOFError, ValueError):
                receive(self._socket, self._memory)
                self._started = True
        return self._started and self._popen.poll() is None

    def ask(self, header: Header, data: bytes, step_aside: Callable[[], None]) -> tuple[Header, bytearray]:
        """Send a file and return what comes back. When that takes long, the process gets the lowest priority, which it
        cannot give back (`slowed`), and `step_aside` is called.

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
        # However nice, it would still finish its turn of some milliseconds while a thread that has just woken up waits;
        # those of inference on several cores wake up often.
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


def why(status: int) -> str:
    """Return what a process that ended with this status says of the file."""
    if status in (-signal.SIGPROF, -signal.SIGKILL):
        return "the file takes too long to decode, or too much memory: save it anew, or smaller"
    return "the file is broken: its decoder fails"
