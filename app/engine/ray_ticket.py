"""A job at a deployment of Ray Serve, as the service waits for it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from app import context, metrics
from app.engine.base import Ticket
from app.engine.measure import report_predictions
from app.engine.ray_replica import Outcome, pixels_of
from app.errors import RETRY_AFTER, QueueFull, QueueTimeout, Unavailable
from models.base import Job, Prediction

if TYPE_CHECKING:
    from app.engine.ray_serve import Deployed

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds for which jobs wait for a deployment that does not start: the cluster may have no room for it."""
_MOST_REPETITIONS = 10
_POLL = 0.25


class RayTicket(Ticket):
    """A job at a deployment. One thread waits for it."""

    position = None
    """Ray does not tell it."""

    def __init__(self, deployed: Deployed, job: Job, timeout: float) -> None:
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.finished: float | None = None
        self.outcome: Prediction | Exception | None = None
        self.sent = threading.Event()
        """Set when the deployment has the job, and when there is an outcome."""
        self._context = context.current()
        self._deployed = deployed
        self._arguments: tuple[Any, ...] | None = (
            None if job.image is None else pixels_of(job.image), job.text, job.options
        )  # fmt: skip
        self._timeout = timeout
        self._deadline = 0.0
        self._response: Any = None
        self._repetitions = 0

    def send(self, handle: Any) -> None:
        """Give the job to a deployment. Loading does not count, so its time to begin runs from now on."""
        with self._deployed.lock:
            # The thread that deploys may have sent it meanwhile.
            if self._arguments is None or self.sent.is_set():
                return
            self._deadline = time.time() + self._timeout
            self._response = handle.predict.remote(*self._arguments, self._deadline)
            self.sent.set()

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.finished is None:
            left = max(end - time.monotonic(), 0.0)
            if not self.sent.wait(min(left, _POLL)):
                self._give_up_deployment()
            elif self.finished is None:
                self._look(min(left, max(self._deadline - time.time(), _POLL)))
            if self.finished is None and time.monotonic() >= end:
                return False
        return True

    def cancel(self) -> None:
        response = self._response
        if self.finish(Unavailable("the request was cancelled")) and response is not None:
            response.cancel()

    def finish(self, outcome: Prediction | Exception, waited: float = 0.0, worked: float = 0.0) -> bool:
        """Set the outcome, unless there is one; return whether it was set."""
        with self._deployed.lock:
            if self.finished is not None:
                return False
            now = time.monotonic()
            self.outcome, self.finished = outcome, now
            if isinstance(outcome, Prediction):
                self.started = max(now - worked, self.submitted)
            # Free the image, which is large.
            self._arguments = self._response = None
            self._deployed.unfinished.discard(self)
        self.sent.set()
        if isinstance(outcome, Prediction):
            self._report(outcome)
        return True

    def _look(self, seconds: float) -> None:
        """Wait for what the deployment says, and take it; it may be that the replica died."""
        from ray import exceptions
        from ray.serve.exceptions import BackPressureError, RayServeException, ReplicaUnavailableError

        lost = (
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            ReplicaUnavailableError,
        )
        try:
            outcome: Outcome = self._response.result(timeout_s=seconds)
        except TimeoutError:
            self._give_up_late()
        except BackPressureError:
            self.finish(QueueFull(f"{self._deployed.name} has as many requests as may wait", RETRY_AFTER))
        except lost as error:
            self._repeat(error)
        except (RayServeException, exceptions.RayError) as error:
            log.error("%s: a job failed in the cluster", self._deployed.name, exc_info=error)
            self.finish(Unavailable(f"{self._deployed.name} cannot be reached: try again later", RETRY_AFTER))
        else:
            value = outcome.value()
            self._deployed.heard(value)
            self.finish(value, outcome.waited, outcome.worked)

    def _repeat(self, error: Exception) -> None:
        self._repetitions += 1
        log.warning("%s: a replica died (%s); its job is repeated", self._deployed.name, type(error).__name__)
        if self._repetitions > _MOST_REPETITIONS:
            self.finish(Unavailable(f"{self._deployed.name} died again and again: try again later", RETRY_AFTER))
        else:
            self.sent.clear()
            self._deployed.send(self)

    def _give_up_late(self) -> None:
        """Drop a job that no replica has taken in time. One that has it watches its time itself."""
        if time.time() < self._deadline:
            return
        try:
            self._response._to_object_ref_sync(_timeout_s=0)
        except TimeoutError:
            response = self._response
            late = f"{self._deployed.name} stayed busy for {self._timeout:g} seconds: try again later"
            if self.finish(QueueTimeout(late, RETRY_AFTER)):
                response.cancel()

    def _give_up_deployment(self) -> None:
        if time.monotonic() > self.submitted + PATIENCE:
            self.finish(Unavailable(f"the cluster has no room for {self._deployed.name}: try again later", RETRY_AFTER))

    def _report(self, prediction: Prediction) -> None:
        assert self.started is not None
        assert self.finished is not None
        name, trace = self._deployed.name, self._context.trace
        metrics.observe("queue", self.submitted, self.started, name, trace)
        metrics.observe("inference", self.started, self.finished, name, trace)
        report_predictions(name, [prediction])
