"""Waiting for models that are not on the machine yet."""

import threading
import time

from app import errors
from app.engine.base import Engine
from app.jobs import Steps
from app.schemas import Progress
from models.registry import Entry

_RETRY_SHUT_AFTER = 5.0
_RETRY_ABSENT_AFTER = 15.0
_GLANCE = 1.0
_POLL_DOWNLOAD = 0.5


class Waiting:
    """Who asks for a model that has to be downloaded waits for it if patient, and is refused otherwise."""

    def __init__(self, engine: Engine, patient: int) -> None:
        """Let so many patient requests wait at once: a download can take an hour."""
        self._engine = engine
        self._room = threading.BoundedSemaphore(patient)
        self._ended = False

    def end(self) -> None:
        """Refuse all that wait."""
        self._ended = True

    def available(self, entry: Entry, patient: bool) -> Steps[None]:
        """Start fetching a model that is not on the machine. The patient wait for it; others are refused, after a
        moment in which a hub that cannot be reached is mostly found out.

        Raises:
            Unavailable: it is not here yet, or the service is shutting down.
            QueueFull: enough requests wait already.
            ModelUnavailable: it failed a moment ago.
        """
        if entry.on_machine:
            return
        entry.refuse_if_failed()
        self._engine.prepare(entry.model.name)
        if patient:
            yield from self._downloaded(entry)
            return
        end = time.monotonic() + _GLANCE
        while not entry.on_machine:
            entry.refuse_if_failed()
            if entry.progress or time.monotonic() > end:
                raise errors.Unavailable(
                    f"{entry.model.name} is being downloaded and loaded ({entry.progress or 0:.0%} done): "
                    "try again later",
                    _RETRY_ABSENT_AFTER,
                )
            time.sleep(_GLANCE / 10)

    def _downloaded(self, entry: Entry) -> Steps[None]:
        if not self._room.acquire(blocking=False):
            raise errors.QueueFull("enough requests wait for downloads already", _RETRY_ABSENT_AFTER)
        try:
            while not entry.on_machine:
                entry.refuse_if_failed()
                if self._ended:
                    raise errors.Unavailable("the service is shutting down", _RETRY_SHUT_AFTER)
                yield Progress(stage="downloading", done=round((entry.progress or 0) * 100), found=100)
                time.sleep(_POLL_DOWNLOAD)
        finally:
            self._room.release()
