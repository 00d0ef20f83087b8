"""The service with models that say what they are told to, at once or when a test lets them."""

import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from waitress.server import create_server

from app import create_app
from app.config import Settings
from app.decoding.pool import DecodingPool
from app.engine.local import LocalEngine
from app.fetching.client import Fetcher
from app.operations import Operations
from app.service import Service
from app.storage.local import LocalStore
from models.base import Job, Prediction, Source, Task
from models.found import Entity, Line
from tests.fakes import Fake, registry_of

CAPTION = "a dog and a cat 🐈 on a beach"
# Spans count code points: what follows the cat would be one off in UTF-16.
ENTITIES = (
    Entity("a dog", (0, 5), ((0.05, 0.3, 0.45, 0.9),)),
    Entity("a beach", (21, 28), ((0.0, 0.6, 1.0, 1.0), (0.6, 0.05, 0.9, 0.3))),
)
LINES = (("Dear Maya,", 0.98, 0), ("Please water the tomatoes", 0.41, 0), ("Love, Tom", 0.9, 1))
TAGS = ("dog", "beach", "summer & sun")


def at_row(row: int, count: int = len(LINES)) -> tuple[tuple[float, float], ...]:
    """Return the polygon of a line of a page that so many fill."""
    top, bottom = (row + 0.1) / count, (row + 0.8) / count
    return ((0.05, top), (0.9, top), (0.9, bottom), (0.05, bottom))


def page_of_lines() -> Prediction:
    return Prediction.of_lines(
        [Line(text, sure, at_row(row), paragraph) for row, (text, sure, paragraph) in enumerate(LINES)]  # type: ignore[arg-type]
    )


class FakeCaptioner(Fake):
    task = Task.CAPTION
    accepts = ("image", "prompt")
    options = frozenset({"min_new_tokens", "max_new_tokens", "num_beams"})
    batch_size = 1


class FakeGrounded(FakeCaptioner):
    task = Task.GROUNDED_CAPTION


class FakeOfAllTrades(FakeCaptioner):
    accepts = ("image", "prompt")
    options = FakeCaptioner.options | {"detail"}
    other_tasks = (Task.GROUNDED_CAPTION, Task.DETECT)
    only_for: ClassVar[Mapping[str, frozenset[Task]]] = {"prompt": frozenset({Task.GROUNDED_CAPTION})}


class FakeOfWords(FakeCaptioner):
    accepts = ("image", "instruction")
    options = FakeCaptioner.options | {"detail", "schema", "output_language"}
    other_tasks = (Task.READ_PAGE, Task.TAG, Task.ALT_TEXT)


class FakeReader(Fake):
    task = Task.READ_PAGE
    accepts = ("image",)


class FakeSegmenter(FakeReader):
    task = Task.SEGMENT
    options = frozenset({"segment"})


class FakeLineReader(FakeReader):
    task = Task.READ_LINE
    batch_size = 1


class FakeService:
    """A server in this process, so that a test can hold its models back."""

    def __init__(self, directory: Path, pool: DecodingPool, **settings: Any) -> None:
        self.go = threading.Event()
        self.go.set()
        self.jobs: list[Job] = []
        weights = directory / "weights"
        weights.mkdir(exist_ok=True)
        source = Source(directory=weights, license="MIT")
        self.registry = registry_of(
            FakeCaptioner("blip-base", source).behave(self._when_free(Prediction(CAPTION))),
            FakeGrounded("kosmos-2", source).behave(self._when_free(Prediction(CAPTION, entities=ENTITIES))),
            FakeOfAllTrades("florence-2-large", source).behave(self._when_free(Prediction(CAPTION, entities=ENTITIES))),
            FakeOfWords("qwen3.5-0.8b", source).behave(self._when_free(Prediction(CAPTION))),
            FakeReader("rapidocr", source).behave(self._when_free(page_of_lines())),
            FakeSegmenter("rapidocr-lines", source).behave(self._cut),
            FakeLineReader("trocr-large-handwritten", source).behave(self._when_free(Prediction("a line", 0.7))),
            Fake("t5-tags", source).behave(self._when_free(Prediction("", tags=TAGS, tag_scores=(0.9, 0.8, 0.7)))),
            FakeCaptioner("nowhere", Source(hub_id="nobody/nothing", size_bytes=990_000_000)).behave(),
        )
        self.engine = LocalEngine(self.registry, 32)
        # No result is remembered, as a rule: the tests ask the same models of the same pictures.
        standard = {"images_dir": directory / "images", "max_upload_mb": 3, "log_level": "ERROR", "result_cache_mb": 0}
        self.settings = Settings(**standard | settings)
        store = LocalStore(self.settings.images_dir)
        store.open()
        listener = socket.create_server(("127.0.0.1", 0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        # It may fetch the samples from itself.
        fetcher = Fetcher(3_000_000, 5, allow_hosts=(host,))
        self.service = Service(self.settings, self.registry, self.engine, store, fetcher, pool)
        self.operations = Operations(self.settings.max_requests, share=False)
        self._server = create_server(
            create_app(self.settings, self.service, self.operations),
            sockets=[listener],
            threads=16,
            channel_request_lookahead=1,
        )
        self.url = f"http://{host}"
        threading.Thread(target=self._server.run, daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self.engine.close()
        self._server.close()

    def waiting(self) -> int:
        """Return how many jobs wait for models."""
        return sum(len(worker._queue) for worker in self.engine._workers.values())

    def _when_free(self, prediction: Prediction):  # type: ignore[no-untyped-def]
        def predict(jobs: Sequence[Job]) -> list[Prediction]:
            self.jobs.extend(jobs)
            assert self.go.wait(30)
            return [replace(prediction, text=job.options.prompt or prediction.text) for job in jobs]

        return predict

    def _cut(self, jobs: Sequence[Job]) -> list[Prediction]:
        lines = page_of_lines().lines or ()
        return [Prediction("", lines=lines, crops=tuple(job.image for _ in lines if job.image)) for job in jobs]
