"""The pool of workers: which of them decodes which file, and how many decode at once."""

import contextlib
import logging
import math
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from app import metrics
from app.decoding.budget import Budget
from app.decoding.process import RETRY_AFTER, WorkerProcess, error_of, why_ended
from app.decoding.protocol import Header
from app.errors import InvalidImage, ServiceError, Unavailable, UnsupportedMedia

log = logging.getLogger(__name__)

Kind = Literal["image", "pdf"]

_PATIENCE = 30.0
"""Seconds that a request waits for a worker, or for memory."""
_ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in (InvalidImage, UnsupportedMedia)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The answer of a worker: facts by name, and the page as an RGB image, or a file, if one was requested."""

    facts: dict[str, Any]
    image: Image.Image | None
    file: bytes = b""


class DecodingPool:
    """A pool of worker processes that decode. Workers start on demand, and one that was ended is replaced.

    A worker keeps its file open for the next page, so that a file is sent once. It is not reserved for the file: when
    all workers have files open, the least recently used one takes the next file, and the file that it had open is sent
    again with its next request.
    """

    def __init__(self, size: int, seconds: float, memory: int, max_decoded_bytes: float = math.inf) -> None:
        """Args:
        size: the most images decoded at once, and separately the most PDFs, so that images do not wait for PDFs.
            There are at most three times as many workers.
        seconds: of processor time, for opening a file with its first page and for each further page.
        memory: bytes of address space of each worker.
        max_decoded_bytes: the most bytes of decoded images in the service. Beyond it, decoding waits.
        """
        self._turns = {"image": threading.BoundedSemaphore(size), "pdf": threading.BoundedSemaphore(size)}
        self._max_workers = 3 * size
        self._seconds = seconds
        self._memory = memory
        self._budget = Budget(max_decoded_bytes)
        self._lock = threading.Lock()
        self._running = 0
        self._idle: list[WorkerProcess] = []
        """The most recently used worker is last, and is used next, so that no more workers are active than needed."""

    def open(self, kind: Kind, data: bytes) -> "OpenFile":
        """Return a file whose pages can be requested. The first request sends it to a worker."""
        return OpenFile(self, kind, data)

    def warm(self) -> None:
        """Start a worker, without waiting for it."""
        # If the start fails, the first request that needs a worker reports it.
        with contextlib.suppress(Unavailable):
            self._give_back(self._start())

    def close(self) -> None:
        """End the idle workers."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            self._end(worker)

    def ask(self, file: "OpenFile", page: dict[str, Any] | None) -> Decoded:
        """As `OpenFile.ask`."""
        with metrics.timed("decode"), metrics.counting(metrics.DECODE_FAILURES):
            return self._ask(file, page)

    def _ask(self, file: "OpenFile", page: dict[str, Any] | None) -> Decoded:
        with self._turn(file.kind):
            if not self._budget.wait(_PATIENCE):
                raise Unavailable("images that wait for models fill the memory budget: try again later", RETRY_AFTER)
            worker = self._worker_for(file)
            try:
                is_new = worker.file is not file
                request = {"open": file.kind if is_new else None, "page": page}
                answer, pixels = worker.ask(request, file.data if is_new else b"")
                worker.file = file if answer["is_open"] else None
                result = _result(answer, pixels)
            except TimeoutError as error:
                self._end(worker)
                metrics.DECODERS_ENDED.labels("stuck").inc()
                raise Unavailable("the machine is too busy to decode this: try again later", RETRY_AFTER) from error
            except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
                # The worker has ended, or violates the protocol.
                status = self._end(worker)
                metrics.DECODERS_ENDED.labels(why_ended(status)).inc()
                raise error_of(status) from error
            except BaseException:
                # The answer may be half read, so the worker cannot take another request.
                self._end(worker)
                raise
            self._give_back(worker)
        if isinstance(result, ServiceError):
            raise result
        if result.image is not None:
            # The image counts in the budget until it is finalised.
            weakref.finalize(result.image, self._budget.count(result.image.size)).atexit = False
        return result

    def close_file(self, file: "OpenFile") -> None:
        """Have the worker that has a file open close it."""
        with self._lock:
            for worker in self._idle:
                if worker.file is file:
                    worker.close_file()

    @contextlib.contextmanager
    def _turn(self, kind: Kind) -> Iterator[None]:
        if not self._turns[kind].acquire(timeout=_PATIENCE):
            raise Unavailable("too many files wait to be decoded: try again later", RETRY_AFTER)
        try:
            yield
        finally:
            self._turns[kind].release()

    def _worker_for(self, file: "OpenFile") -> WorkerProcess:
        """Return a worker that is not in use: the one that has the file open, if there is one."""
        while (worker := self._take_idle(file)) is not None:
            if worker.is_ready():
                return worker
            self._end(worker)
        worker = self._start()
        if not worker.is_ready():
            raise Unavailable(f"no worker starts ({self._end(worker)}): the service's log has more", RETRY_AFTER)
        return worker

    def _take_idle(self, file: "OpenFile") -> WorkerProcess | None:
        with self._lock:
            for wanted in (file, None):
                for worker in reversed(self._idle):
                    if worker.file is wanted:
                        self._idle.remove(worker)
                        return worker
            return self._idle.pop(0) if self._idle and self._running >= self._max_workers else None

    def _give_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            if isinstance(worker.file, OpenFile) and worker.file.is_closed:
                worker.close_file()
            self._idle.append(worker)

    def _start(self) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._seconds, self._memory)
        except OSError as error:
            log.error("a worker that decodes cannot be started: %s", error)
            raise Unavailable(f"no worker starts ({error.strerror}): try again later", RETRY_AFTER) from error
        with self._lock:
            self._running += 1
        return worker

    def _end(self, worker: WorkerProcess) -> int | None:
        with self._lock:
            self._running -= 1
        return worker.end()


class OpenFile:
    """A file of a pool. Threads may share it: pages that are requested at the same time go to different workers."""

    def __init__(self, pool: DecodingPool, kind: Kind, data: bytes) -> None:
        self.kind = kind
        self.data = data
        self.is_closed = False
        self._pool = pool

    def ask(self, page: dict[str, Any] | None = None) -> Decoded:
        """Decode a page.

        Args:
            page: the arguments of `images.decode` or `pdf.render`, those of `pdf.text` with `text`, or those of
                `pdf_layers.lay_over`, the layers as base64; None for facts about all pages alone.

        Raises:
            InvalidImage: broken, over the limits, or more than a worker can take.
            UnsupportedMedia: the format is not supported.
            Unavailable: no turn or memory became free in time, no worker starts, or the machine is too busy or short of
                memory.
        """
        return self._pool.ask(self, page)

    def close(self) -> None:
        """Close the file in its worker. Pages can still be requested; each request then sends the file again."""
        self.is_closed = True
        self._pool.close_file(self)


def _result(answer: Header, pixels: bytes) -> Decoded | ServiceError:
    """Return the result or the error in an answer.

    Raises:
        LookupError, TypeError, ValueError: the answer violates the protocol.
    """
    if "error" in answer:
        return _ERRORS[answer["error"]](answer["detail"])
    if answer["size"] is None:
        return Decoded(answer["facts"], None, pixels)
    width, height = answer["size"]
    if len(pixels) != 3 * width * height:
        # Pillow would allocate the image before it finds out.
        raise ValueError("the pixels do not have the size that the header says")
    return Decoded(answer["facts"], Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1))
