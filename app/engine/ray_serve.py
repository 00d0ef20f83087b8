"""The engine on a Ray cluster: each model is a deployment of Ray Serve, whose replicas batch as the local engine does.

This process stays the only one that speaks HTTP, decodes and remembers. It hands jobs to handles of the deployments,
and repeats those whose replica died: a prediction depends on its job alone.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.engine.ray_replica import deployment_of, max_ongoing
from app.engine.ray_ticket import RayTicket
from app.errors import RETRY_AFTER, QueueFull, ShuttingDown
from models.base import Job, Placement, Prediction
from models.errors import ModelUnavailable
from models.registry import Entry, Registry, State

log = logging.getLogger(__name__)

_deploying = threading.Lock()
"""Ray Serve deploys one application at a time."""


@dataclass(frozen=True)
class Room:
    """What a replica of a model takes, and the least and the most replicas."""

    cpus: float = 1.0
    gpus: float = 0.0
    replicas: tuple[int, int] = (1, 1)


class Deployed:
    """A model as an application of Ray Serve. It is deployed for the first job, by this process or another."""

    def __init__(self, entry: Entry, placement: Placement, queue_size: int, room: Room, version: str) -> None:
        self.name = entry.model.name
        self.lock = threading.Lock()
        self.unfinished: set[RayTicket] = set()
        self._entry = entry
        self._queue_size = queue_size
        self._room = room
        # Front doors of one version with the same settings share a deployment; others have their own.
        described = repr((entry.model, placement, queue_size, room, version))
        self._application = f"{self.name}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
        self._make: Callable[[], Any] = lambda: deployment_of(
            entry.model, placement, room.cpus, room.gpus, room.replicas, queue_size
        )
        self._handle: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Job, timeout: float) -> RayTicket:
        self.refuse_if_full()
        ticket = RayTicket(self, job, timeout)
        with self.lock:
            self.unfinished.add(ticket)
        self.send(ticket)
        return ticket

    def send(self, ticket: RayTicket) -> None:
        """Give a job to the deployment, at once or when it is there."""
        if (handle := self._handle) is not None:
            ticket.send(handle)
        else:
            self.load()

    def refuse_if_full(self) -> None:
        if self._closed:
            raise ShuttingDown
        if self.queued() >= self._queue_size:
            raise QueueFull(f"{self._queue_size} requests wait for {self.name} already", RETRY_AFTER)

    def queued(self) -> int:
        """Return how many jobs are more than all replicas hold, as far as this process knows."""
        held = max_ongoing(self._entry.model) * self._room.replicas[1] if self._handle is not None else 0
        return max(len(self.unfinished) - held, 0)

    def heard(self, outcome: Prediction | Exception) -> None:
        """Learn from an outcome whether the model could be loaded."""
        failed = isinstance(outcome, ModelUnavailable)
        if failed or self._entry.state is State.FAILED:
            self._entry.note_elsewhere(State.FAILED if failed else State.READY, str(outcome) if failed else None)

    def load(self) -> None:
        with self.lock:
            if self._handle is not None and self._entry.state is State.FAILED:
                # The next job has the replica try again, when it is time for that.
                self._entry.note_elsewhere(State.READY)
            if self._handle is None and not self._closed and (self._thread is None or not self._thread.is_alive()):
                self._entry.note_elsewhere(State.LOADING)
                self._thread = threading.Thread(target=self._deploy, name=f"deploy-{self.name}", daemon=True)
                self._thread.start()

    def unload(self) -> bool:
        from ray import serve

        with self.lock:
            if self.unfinished or (self._thread is not None and self._thread.is_alive()):
                return False
            deployed, self._handle = self._handle is not None, None
            self._entry.note_elsewhere(None)
        if deployed:
            serve.delete(self._application)
        return True

    def close(self) -> None:
        self._closed = True
        for ticket in [*self.unfinished]:
            # What was sent may still be answered.
            if not ticket.sent.is_set():
                ticket.finish(ShuttingDown())

    def _deploy(self) -> None:
        from ray import serve
        from ray.serve.schema import ApplicationStatus

        try:
            with _deploying:
                found = serve.status().applications.get(self._application)
                if found is not None and found.status is ApplicationStatus.RUNNING:
                    handle = serve.get_app_handle(self._application)
                else:
                    handle = serve.run(self._make(), name=self._application, route_prefix=None)
        except Exception as error:
            log.error("%s: cannot be deployed", self.name, exc_info=error)
            why = "the cluster could not start it; the log says more"
            self._entry.note_elsewhere(State.FAILED, why)
            self._end_all(ModelUnavailable(f"{self.name}: {why}"))
            return
        with self.lock:
            self._handle = handle
            self._entry.note_elsewhere(State.READY)
        for ticket in [*self.unfinished]:
            if not ticket.sent.is_set():
                ticket.send(handle)

    def _end_all(self, error: Exception) -> None:
        for ticket in [*self.unfinished]:
            ticket.finish(error)


class RayEngine:
    """An engine of deployments, one for each model of a registry. This process has joined a cluster."""

    def __init__(
        self,
        registry: Registry,
        placement: Placement,
        queue_size: int,
        room_of: Callable[[str], Room],
        version: str = "",
    ) -> None:
        self._deployed = {
            entry.model.name: Deployed(entry, placement, queue_size, room_of(entry.model.name), version)
            for entry in registry
        }
        self._closed = False

    def submit(self, model: str, job: Job, timeout: float) -> RayTicket:
        return self._deployed[model].submit(job, timeout)

    def refuse_if_full(self, model: str) -> None:
        self._deployed[model].refuse_if_full()

    def load(self, model: str, until_loaded: bool = False) -> None:
        self._deployed[model].load()

    def unload(self, model: str) -> bool:
        return self._deployed[model].unload()

    def queued(self, model: str) -> int:
        return self._deployed[model].queued()

    def ready(self) -> bool:
        return not self._closed

    def close(self) -> None:
        self._closed = True
        for deployed in self._deployed.values():
            deployed.close()
