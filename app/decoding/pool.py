"""The service's side of the cage: which process takes which file, and how many at once."""

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.decoding.budget import Room
from app.decoding.process import Process, why
from app.errors import InvalidImage, ServiceError, Unavailable, UnsupportedMedia

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds to wait for a process that is free."""
_ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in (InvalidImage, UnsupportedMedia)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in a file: facts by their names, and an RGB image where the task makes one."""

    facts: dict[str, Any]
    image: Image.Image | None


class Cage:
    """Processes that decode. They start when they are needed; one that had to be ended is replaced at the next need."""

    def __init__(self, processes: int, seconds: float, memory: int, room: float = math.inf) -> None:
        """Args:
        processes: how many images are decoded at once; as many pages of PDFs besides, so that images need not wait for
            those; and as many of either again that take long.
        seconds: of processor time, for each file.
        memory: bytes, for each process.
        room: bytes of decoded images in the service, wherever they are by now, at which further files wait.
        """
        images, pdfs, self._slow = (threading.BoundedSemaphore(processes) for _ in range(3))
        self._places = {"image": images, "pdf": pdfs, "pdf_page": pdfs}
        self._room = Room(room)
        self._seconds = seconds
        self._memory = memory
        # The one used last is used next: few are busy where few are needed.
        self._idle: list[Process] = []

    def run(self, task: str, data: bytes, **arguments: Any) -> Decoded:
        """Do one of the TASKS of `app.decoding.worker` with a file.

        Raises:
            InvalidImage: broken, over the limits, or more than a process can take.
            UnsupportedMedia: nothing that is decoded here.
            Unavailable: no process or no room for images became free in time, no process starts, or the machine is too
                busy.
        """
        with self._place(task) as step_aside:
            if not self._room.wait(_PATIENCE):
                raise Unavailable("the images that wait for models take all the room: try again later", _PATIENCE)
            process = self._process()
            try:
                header, pixels = process.ask({"task": task, "arguments": arguments}, data, step_aside)
            except TimeoutError as error:
                process.end()
                raise Unavailable("the machine is too busy to decode this: try again later", _PATIENCE) from error
            except (OSError, EOFError, ValueError) as error:
                raise InvalidImage(why(process.end())) from error
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
            raise Unavailable("too many files wait to be decoded: try again later", _PATIENCE)

        def step_aside() -> None:
            nonlocal held
            if self._slow.acquire(blocking=False):
                held.release()
                held = self._slow

        try:
            yield step_aside
        finally:
            held.release()

    def _process(self) -> Process:
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

    def _started(self) -> Process:
        try:
            return Process(self._seconds, self._memory)
        except OSError as error:
            log.error("a process that decodes cannot be started: %s", error)
            raise Unavailable(f"what decodes does not start ({error.strerror}): try again later", _PATIENCE) from error
