"""Makes models available: a request for one that is not on the machine starts the download, and waits or is refused."""

import threading
import time

from app import errors
from app.engine.base import Engine
from app.jobs import POLL, JobRunner
from app.types import Progress
from models.registry import Entry, State

_RETRY_AFTER = 15.0
_FIRST_LOOK = 1.0
"""Seconds for which a request that does not wait gives the download to start or to fail. An unreachable hub mostly
fails within them, so that the client gets the reason."""


def refuse_download(entry: Entry, may_download: frozenset[str] | None) -> None:
    """Refuse to start the download of a model that is not among those that may be downloaded.

    Raises:
        DownloadForbidden: it would start now.
    """
    name = entry.model.name
    if may_download is None or name in may_download or entry.has_weights or entry.state is State.DOWNLOADING:
        return
    raise errors.DownloadForbidden(
        f"{name} is not on this machine, and you may not have it downloaded: whoever runs the service can, by "
        "MODELS_ALLOWED, or from the machine itself"
    )


class Availability:
    """Ensures that a model is on the machine before a request continues."""

    def __init__(self, engine: Engine, max_waiting: int) -> None:
        """Let at most `max_waiting` requests wait for downloads at once: a download can take an hour."""
        self._engine = engine
        self._waiting = threading.BoundedSemaphore(max_waiting)
        self._closed = False

    def close(self) -> None:
        """Refuse the requests that wait."""
        self._closed = True

    def require(self, entry: Entry, runner: JobRunner, wait: bool) -> None:
        """Return at once when the model is on the machine; otherwise start its download, and wait for it if `wait`.

        Raises:
            DownloadForbidden: the request may not have it downloaded.
            Unavailable: the model is not on the machine yet, or the service is shutting down.
            QueueFull: `max_waiting` requests wait for downloads already.
            ModelUnavailable: the model failed to load, and it is too early for another attempt.
        """
        if entry.on_machine:
            return
        refuse_download(entry, runner.may_download)
        entry.refuse_if_failed()
        self._engine.load(entry.model.name)
        if wait:
            self._wait(entry, runner)
        else:
            self._refuse(entry)

    def _wait(self, entry: Entry, runner: JobRunner) -> None:
        if not self._waiting.acquire(blocking=False):
            raise errors.QueueFull("too many requests wait for downloads already", _RETRY_AFTER)
        began = False
        try:
            while not entry.on_machine:
                entry.refuse_if_failed()
                runner.stop_if_cancelled()
                if self._closed:
                    raise errors.ShuttingDown
                began = began or entry.state is State.DOWNLOADING
                if began and entry.state is State.ABSENT:
                    raise errors.Unavailable(f"the download of {entry.model.name} was stopped", _RETRY_AFTER)
                runner.progress(Progress("downloading", round((entry.progress or 0) * 100), 100))
                time.sleep(POLL)
        finally:
            self._waiting.release()

    def _refuse(self, entry: Entry) -> None:
        end = time.monotonic() + _FIRST_LOOK
        while not entry.on_machine:
            entry.refuse_if_failed()
            if entry.progress or time.monotonic() > end:
                raise errors.Unavailable(
                    f"{entry.model.name} is being downloaded and loaded ({entry.progress or 0:.0%} done): "
                    "try again later",
                    _RETRY_AFTER,
                )
            time.sleep(_FIRST_LOOK / 10)
