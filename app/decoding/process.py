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
"""Seconds that a worker may take to start, also on a busy machine."""
_WALL_SECONDS = 10
"""Seconds of wall-clock time that a worker may take for each second of processor time, also on a busy machine."""
_END_SECONDS = 1.0
"""Seconds that a worker has to end by itself once its connection is closed."""
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
"""The environment variables of a worker: those that Python may need to start, and whether it may write bytecode. The
others, such as API_KEYS, must not reach a process that a hostile file may take over."""
# The worker gets the module search path of the service, so that it runs the same code.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from app.decoding.worker import main
main({seconds!r}, {memory!r})
"""


class WorkerProcess:
    """A worker. It handles one request at a time.

    Attributes:
        file: the file that it has open, as any object that identifies it to the owner; None for none.
    """

    def __init__(self, seconds: float, memory: int) -> None:
        """Start a worker without waiting for it.

        Args:
            seconds: of processor time, for each request.
            memory: bytes of address space.

        Raises:
            OSError: the process cannot be started.
        """
        self.file: object | None = None
        self._is_started = False
        self._wall_seconds = seconds * _WALL_SECONDS
        self._memory = memory
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as on_failure:
            on_failure.enter_context(ours)
            # `Connection` has no timeout within a message, so the socket gets one.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(self._wall_seconds) + 1, 0))
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(path=sys.path, seconds=seconds, memory=memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # NumPy would start a thread for each core, whose stacks count as memory.
                env={"OPENBLAS_NUM_THREADS": "1"}
                | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                # Ctrl-C goes to the service's process group. The service still needs workers to finish its requests.
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
            OSError, EOFError, ValueError: no valid answer comes.
        """
        send(self._connection, header, data)
        if not self._connection.poll(self._wall_seconds):
            raise TimeoutError
        return receive(self._connection, self._memory)

    def close_file(self) -> None:
        """Tell the worker to close its file, without waiting for it."""
        self.file = None
        # If the worker has ended, the next request notices.
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
    """Return the error of a request whose worker ended with this exit status."""
    if status == -signal.SIGPROF:
        return InvalidImage("the file takes too long to decode: save it again, or make it smaller")
    if status == -signal.SIGKILL:
        # The worker's own limits do not send SIGKILL. A system or a container that runs out of memory does.
        return Unavailable("the system ran out of memory while decoding: try again later", RETRY_AFTER)
    return InvalidImage("the file is broken: its decoder fails")
