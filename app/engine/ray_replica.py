"""A replica: one model with the local engine and its batches, in a process of a Ray cluster.

What travels between the front door and replicas are dataclasses of plain values. Images travel as arrays of their
pixels, which Ray keeps in shared memory: pickled PIL objects would be copied several times.
"""

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.engine.local import LocalEngine
from app.errors import RETRY_AFTER, QueueTimeout, ServiceError
from models.backends import threads
from models.base import Job, Model, Options, Placement, Prediction
from models.errors import ModelError
from models.registry import Registry

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
BATCHES_AT_ONCE = 2
"""How many batches a replica takes: one is at work while the next collects."""
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: a prediction, with its crops apart, or an error; and for how many seconds it
    waited, and the model worked on it."""

    prediction: Prediction | None
    crops: tuple[Pixels, ...] | None
    error: Exception | None
    waited: float = 0.0
    worked: float = 0.0

    def value(self) -> Prediction | Exception:
        """Return the prediction or the error."""
        if self.prediction is None:
            return self.error or RuntimeError("neither a prediction nor an error")
        crops = None if self.crops is None else tuple(map(Image.fromarray, self.crops))
        return replace(self.prediction, crops=crops)


def max_ongoing(model: Model) -> int:
    """Return how many jobs a replica of a model holds at once."""
    return model.batch_size * BATCHES_AT_ONCE


def pixels_of(image: Image.Image) -> Pixels:
    """Return the pixels of an RGB image, height x width x 3."""
    return np.asarray(image.convert("RGB"))


class Replica:
    """Runs the jobs of one model. Ray Serve makes the object, and calls `predict` several times at once."""

    def __init__(self, model: Model, placement: Placement, cpus: float) -> None:
        threads.limit(cpus)
        registry = Registry([model], placement)
        self._name = model.name
        self._engine = LocalEngine(registry, sys.maxsize)
        self._threads = ThreadPoolExecutor(max_ongoing(model), thread_name_prefix="job")
        try:
            # Now, so that no job is sent to a replica that still loads.
            registry.entry(model.name).load()
        except ModelError as error:
            # Its jobs get the error, and later ones another attempt.
            log.warning("%s", error)

    async def predict(self, pixels: Pixels | None, text: str | None, options: Options, deadline: float) -> Outcome:
        """Run a job, whose prediction must begin before `deadline`, in seconds of the wall clock."""
        gone = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._run, pixels, text, options, deadline, gone
        )
        try:
            return await work
        finally:
            # Cancelled: a job that still waits is dropped.
            gone.set()

    def _run(
        self, pixels: Pixels | None, text: str | None, options: Options, deadline: float, gone: threading.Event
    ) -> Outcome:
        image = None if pixels is None else Image.fromarray(pixels)
        left = deadline - time.time()
        try:
            if left <= 0:
                raise QueueTimeout(f"{self._name} stayed busy: try again later", RETRY_AFTER)
            ticket = self._engine.submit(self._name, Job(image, text, options), left)
            while not ticket.wait(_POLL):
                if gone.is_set():
                    ticket.cancel()
            prediction = ticket.result()
        except (ServiceError, ModelError) as error:
            # A value, so that it comes as it is and not wrapped in Ray's own errors.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            return Outcome(None, None, error)
        started, finished = ticket.started or ticket.submitted, ticket.finished or ticket.submitted
        crops = None if prediction.crops is None else tuple(map(pixels_of, prediction.crops))
        return Outcome(replace(prediction, crops=None), crops, None, started - ticket.submitted, finished - started)

    def check_health(self) -> None:
        """Tell Ray that the process answers: that is all there is to tell."""


def deployment_of(
    model: Model, placement: Placement, cpus: float, gpus: float, replicas: tuple[int, int], queue: int
) -> Any:
    """Return the application of a model for Ray Serve: replicas between two numbers, by how many jobs wait."""
    from ray import serve

    least, most = replicas
    scaling: dict[str, Any] = {"num_replicas": most}
    if least < most:
        scaling = {
            "autoscaling_config": {
                "min_replicas": least,
                "max_replicas": most,
                "initial_replicas": max(least, 1),
                # More than a batch for each replica is a queue.
                "target_ongoing_requests": model.batch_size,
            }
        }
    return serve.deployment(
        name=model.name,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        max_ongoing_requests=max_ongoing(model),
        max_queued_requests=queue,
        # A replica that was killed is missed soon.
        health_check_period_s=2,
        logging_config={"enable_access_log": False},
        **scaling,
    )(Replica).bind(model, placement, cpus)
