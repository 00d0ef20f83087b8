"""The service's side of a worker: how it is started, what is asked of it, and how it ends."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from multiprocessing.connection import Connection

from app.decoding.protocol import Header, receive, send
from app.errors import InvalidImage, ServiceError, Unavailable

RETRY_AFTER = 30.0
_START_SECONDS = 30.0
"""Seconds that a worker may take to start, on a machine that is busy with other things too."""
_WALL_SECONDS = 10
"""Seconds by the clock that a worker may take for each second of processor time, likewise."""
_END_SECONDS = 1.0
"""Seconds that a worker has to end by itself once its connection is closed."""
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
"""What Python may need of the environment to start, and whether it may write. The rest, with API_KEYS in it, is kept
from a process that a hostile file may take over."""
# With the search path of the service, so that the same code runs wherever the service was started.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from app.decoding.worker import main
main({seconds!r}, {memory!r})
"""


class WorkerProcess:
    """A worker. It handles one request at a time.

    Attributes:
        file: what it has open: any object by which its owner knows the file; None for nothing.
    """

    def __init__(self, seconds: float, memory: int) -> None:
        """Start a worker without waiting for it.

        Args:
            seconds: of processor time, for each request.
            memory: bytes of address space.

        Raises:
            OSError: the system starts no process.
        """
        self.file: object | None = None
        self._is_started = False
        self._wall_seconds = seconds * _WALL_SECONDS
        self._memory = memory
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as on_failure:
            on_failure.enter_context(ours)
            # `Connection` waits for ever inside a message; the kernel does not.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(self._wall_seconds) + 1, 0))
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(path=sys.path, seconds=seconds, memory=memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # NumPy would start a thread for each core, whose stacks count as memory.
                env={"OPENBLAS_NUM_THREADS": "1"}
                | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                # Control-C goes to the whole process group of the service, which then finishes the requests in work.
                process_group=0,
            )
            on_failure.pop_all()
        self._connection = Connection(ours.detach())

    def is_ready(self) -> bool:
        """Wait until the worker has started, and return whether it runs."""
        if not self._is_started:
            with contextlib.suppress(OSError, EOFError, ValueError):
                if self._connection.poll(_START_SECONDS):
                    receive(self._connection, self._memory)
                    self._is_started = True
        return self._is_started and self._popen.poll() is None

    def ask(self, header: Header, data: bytes = b"") -> tuple[Header, bytes]:
        """Send a request with the bytes of a file, and return the answer with its pixels.

        Raises:
            TimeoutError: no answer comes in time.
            OSError, EOFError, ValueError: no sound answer comes.
        """
        send(self._connection, header, data)
        if not self._connection.poll(self._wall_seconds):
            raise TimeoutError
        return receive(self._connection, self._memory)

    def close_file(self) -> None:
        """Have the worker close its file, without waiting for it."""
        self.file = None
        # A worker that has ended is found out when it is needed.
        with contextlib.suppress(OSError):
            send(self._connection, {"close": True})

    def end(self) -> int | None:
        """End the worker, whatever it does; return its exit status, or None if it had to be killed."""
        self._connection.close()
        try:
            return self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            return None


def why_ended(status: int | None) -> str:
    """Return in a word why a worker ended in the middle of a request, by its exit status."""
    return {-signal.SIGPROF: "too-long", -signal.SIGKILL: "killed"}.get(status or 0, "crashed")


def error_of(status: int | None) -> ServiceError:
    """Return what the end of a worker in the middle of a request means for that request."""
    if status == -signal.SIGPROF:
        return InvalidImage("the file takes too long to decode: save it anew, or smaller")
    if status == -signal.SIGKILL:
        # The limits of a worker never end it so, but a system or container that is short of memory does.
        return Unavailable("the system ended what decodes this, for want of memory: try again later", RETRY_AFTER)
    return InvalidImage("the file is broken: its decoder fails")
