"""Models that do nothing but what a test needs."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.registry import Registry

Result = TypeVar("Result")
Predict = Callable[[Sequence[Job]], list[Prediction]]


def echo(jobs: Sequence[Job]) -> list[Prediction]:
    return [Prediction(str(job.text)) for job in jobs]


class Fake(Model):
    """A model of a directory that is always there; `behave` says what loading and predicting do."""

    task = Task.TAG
    accepts = ("text",)
    batch_size = 4

    def behave(self, predict: Predict = echo, load: Callable[[], None] = lambda: None) -> "Fake":
        object.__setattr__(self, "loads", 0)
        object.__setattr__(self, "batches", [])
        object.__setattr__(self, "_predict", predict)
        object.__setattr__(self, "_load", load)
        return self

    def load(self, directory: Path, placement: Placement) -> Loaded:
        object.__setattr__(self, "loads", self.loads + 1)  # type: ignore[attr-defined]
        self._load()  # type: ignore[attr-defined]
        return FakeLoaded(self)


class FakeLoaded(Loaded):
    device = "cpu"
    precision = "float32"

    def __init__(self, model: Fake) -> None:
        self._model = model

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        self._model.batches.append([job.text for job in jobs])  # type: ignore[attr-defined]
        return self._model._predict(jobs)  # type: ignore[attr-defined, no-any-return]


def registry_of(*models: Model) -> Registry:
    return Registry(models, Placement())


def fake(name: str = "fake", **behaviour: Callable[..., object]) -> Fake:
    return Fake(name, Source(directory=Path(__file__).parent)).behave(**behaviour)  # type: ignore[arg-type]


class Gate:
    """A predict that waits until it is opened, and tells when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self, jobs: Sequence[Job]) -> list[Prediction]:
        self.begun.set()
        assert self.open.wait(30)
        return echo(jobs)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def run_async(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a thread of its own: in this one, the browser of other tests may have a running event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
