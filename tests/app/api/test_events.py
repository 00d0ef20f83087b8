"""Server-Sent Events: how far a request is, and what becomes of it when nobody listens any more."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from PIL import Image
from werkzeug.test import TestResponse

from app import create_app
from app.config import Settings
from app.decoding.pool import DecodingPool
from app.engine.local import LocalEngine
from app.fetching.client import Fetcher
from app.operations import Operations
from app.service import Service
from models.base import Job, Prediction, Source, Task
from models.found import WHOLE_IMAGE, Line
from tests import drawn
from tests.app.api.test_native import SMALL, assert_problem
from tests.conftest import encoded
from tests.fakes import Fake, Gate, Predict, registry_of, wait_until
from tests.hub import Hub
from tests.server import Server

EVENTS = {"Accept": "text/event-stream"}
FIVE = encoded(drawn.page(drawn.numbered(5), (620, 300)))
Event = tuple[str, dict[str, Any]]


def parsed(chunks: Iterator[bytes]) -> Iterator[Event]:
    """Parse a stream as it comes; each event is two lines and an empty one."""
    text = ""
    for chunk in chunks:
        text += chunk.decode()
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            name, data = block.split("\n")
            assert name.startswith("event: ")
            assert data.startswith("data: ")
            yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    assert text == "", "nothing is left half"


def events(server: Server, image: bytes, **options: Any) -> list[Event]:
    """Post an image and return all events."""
    response = server.post("/generate-text", params=options, data=image, headers=EVENTS, stream=True)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    found = list(parsed(response.iter_content(None)))
    assert [name for name, _ in found].count("result") + [name for name, _ in found].count("error") == 1
    assert found[-1][0] in ("result", "error")
    return found


# Against the real server


def test_a_page_counts_its_lines(server: Server) -> None:
    options = {"model": "trocr-large-handwritten", "max_new_tokens": 4}
    plain = server.generate(FIVE, **options).json()
    found = events(server, FIVE, **options)
    assert found[0][0] == "queued"
    for name, data in found[:-1]:
        assert name in ("queued", "progress")
        assert set(data) == ({"position"} if name == "queued" else {"stage", "done", "found"})
    lines = [data for name, data in found if name == "progress" and data["stage"] == "lines"]
    assert [(data["done"], data["found"]) for data in lines] == [(number, 5) for number in range(6)]
    _, result = found[-1]
    changing = {"id", "timings_ms"}
    assert {key: result[key] for key in result.keys() - changing} == {
        key: plain[key] for key in plain.keys() - changing
    }
    assert len(result["lines"]) == 5


def test_a_document_counts_its_pages(server: Server) -> None:
    document = drawn.tiff([drawn.page(drawn.numbered(2), (420, 160))] * 3)
    found = events(server, document, model="rapidocr")
    pages = [data for name, data in found if name == "progress" and data["stage"] == "pages"]
    assert [(data["done"], data["found"]) for data in pages] == [(1, 3), (2, 3), (3, 3)]
    assert len(found[-1][1]["pages"]) == 3


@pytest.mark.parametrize("model", ["blip-base", "alt-text", "rapidocr"])
def test_every_kind_of_model_has_events(server: Server, model: str) -> None:
    found = events(server, SMALL, model=model)
    assert found[0][0] == "queued"
    assert (found[-1][0], found[-1][1]["model"]) == ("result", model)


def test_a_result_names_its_export(server: Server) -> None:
    plain = server.generate(FIVE, model="rapidocr", format="tsv").text
    found = events(server, FIVE, model="rapidocr", format="tsv", tags="true")
    assert [name for name, _ in found].count("progress") + [name for name, _ in found].count("queued") >= 1
    result = found[-1][1]
    assert result["lines"]
    assert result["tags"]
    export = server.get(f"/{result['export']}")
    assert export.text == plain
    assert export.headers["Content-Type"].startswith("text/tab-separated-values")
    assert export.headers["Content-Disposition"].endswith('.tsv"')
    # Not only once, and no other address.
    assert server.get(f"/{result['export']}").ok
    assert_problem(server.get("/exports/nonesuch"), 404)
    # Without format there is none.
    assert "export" not in events(server, FIVE, model="rapidocr")[-1][1]


def test_tags_come_with_the_result(server: Server) -> None:
    assert events(server, FIVE, model="rapidocr", tags="true")[-1][1]["tags"]


@pytest.mark.parametrize(
    ("image", "options", "status"),
    [
        (b"no image", {"model": "rapidocr"}, 415),
        (SMALL[:50], {"model": "rapidocr"}, 422),
        (SMALL, {"model": "nonesuch"}, 404),
        (SMALL, {"num_beams": 0}, 422),
        (SMALL, {"model": "rapidocr", "format": "docx"}, 422),
        (b"", {}, 400),
    ],
)
def test_what_is_wrong_from_the_start_is_a_plain_problem(
    server: Server, image: bytes, options: dict[str, Any], status: int
) -> None:
    headers = EVENTS | {"Content-Type": "application/octet-stream"}
    assert_problem(server.post("/generate-text", params=options, data=image, headers=headers), status)


def test_an_error_in_the_middle_is_an_event(server: Server) -> None:
    broken = drawn.tiff([Image.new("RGB", (200, 100), "white")] * 2)
    half = broken[: len(broken) - 30_000]
    assert_problem(server.generate(half, model="rapidocr"), 422)
    found = events(server, half, model="rapidocr")
    name, problem = found[-1]
    assert name == "error"
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["status"], problem["code"]) == (422, "invalid-image")
    assert ("progress", {"stage": "pages", "done": 1, "found": 2}) in found


@pytest.fixture
def slow_hub(checkpoints: dict[str, Path]) -> Iterator[Hub]:
    """A hub that has blip-base, and stops in the middle of it until it is released."""
    hub = Hub({"Salesforce/blip-image-captioning-base": checkpoints["blip-base"]})
    hub.release.clear()
    yield hub
    hub.close()


def downloading(server: Server) -> Iterator[tuple[str, Any]]:
    """Ask for blip-base, and return the events from the middle of its download on."""
    response = server.post("/generate-text?model=blip-base&max_new_tokens=3", data=SMALL, headers=EVENTS, stream=True)
    stream = parsed(response.iter_content(None))
    for name, data in stream:
        assert (name, data["stage"], data["found"]) == ("progress", "downloading", 100)
        if 0 < data["done"] < 100:
            break
    return stream


def test_a_model_that_must_be_downloaded_is_waited_for(make_server: Callable[..., Server], slow_hub: Hub) -> None:
    stream = downloading(make_server(hf_endpoint=slow_hub.url, hf_hub_offline="0"))
    slow_hub.release.set()
    rest = list(stream)
    done = [data["done"] for name, data in rest if name == "progress" and data["stage"] == "downloading"]
    assert done == sorted(done)
    assert (rest[-1][0], rest[-1][1]["model"]) == ("result", "blip-base")
    assert len(rest[-1][1]["text"]) > 0


def test_who_waits_for_a_download_that_is_stopped_hears_of_it(
    make_server: Callable[..., Server], slow_hub: Hub
) -> None:
    server = make_server(hf_endpoint=slow_hub.url, hf_hub_offline="0")
    stream = downloading(server)
    assert server.post("/models/blip-base/unload").ok
    slow_hub.release.set()
    name, problem = list(stream)[-1]
    assert (name, problem["status"]) == ("error", 503)
    assert "was stopped" in problem["detail"]


def test_a_hub_that_is_gone_is_an_error_event(make_server: Callable[..., Server]) -> None:
    server = make_server(hf_endpoint="http://127.0.0.1:9", hf_hub_offline="0")
    response = server.post("/generate-text?model=blip-base", data=SMALL, headers=EVENTS, stream=True)
    name, problem = list(parsed(response.iter_content(None)))[-1]
    assert (response.status_code, name, problem["status"]) == (200, "error", 503)
    assert "could not be reached" in problem["detail"]


def post_and_leave(server: Server, request_id: str, **headers: str) -> http.client.HTTPConnection:
    """Send a request whose answer nobody reads."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("POST", "/generate-text?model=rapidocr", FIVE, {"X-Request-ID": request_id, **headers})
    return connection


# With models that wait for a signal


class FakeOf(Fake):
    accepts = ("image",)


class FakeReader(FakeOf):
    task = Task.READ_PAGE


class FakeSegmenter(FakeOf):
    task = Task.SEGMENT
    options = frozenset({"segment"})


class FakeLineReader(FakeOf):
    task = Task.READ_LINE
    batch_size = 2


COUNT = 12


def segment(jobs: Sequence[Job]) -> list[Prediction]:
    """Cut every page into lines whose crops are as wide as their number."""
    lines = tuple(Line("", 0.0, WHOLE_IMAGE, paragraph=number // 4) for number in range(COUNT))
    crops = tuple(Image.new("RGB", (number + 1, 1)) for number in range(COUNT))
    return [Prediction("", lines=lines, crops=crops) for _ in jobs]


def read_width(jobs: Sequence[Job]) -> list[Prediction]:
    """Say how wide a crop is."""
    return [Prediction(f"width {job.image.width}", confidence=0.5) for job in jobs if job.image is not None]


class Fakes:
    """The application with models of a test's own."""

    def __init__(
        self, pool: DecodingPool, line_reader: Predict = read_width, page_reader: Predict = read_width
    ) -> None:
        source = Source(directory=Path(__file__).parent)
        self.line_reader = FakeLineReader("lines", source).behave(line_reader)
        models = [
            FakeReader("rapidocr", source).behave(page_reader),
            FakeSegmenter("rapidocr-lines", source).behave(segment),
            self.line_reader,
        ]
        registry = registry_of(*models)
        self.engine = LocalEngine(registry, 32)
        settings = Settings(save_uploads=False)
        self.service = Service(settings, registry, self.engine, None, Fetcher(1000, 1), pool)
        self.operations = Operations(settings.max_requests)
        self.app: Flask = create_app(settings, self.service, self.operations)

    def post(self, model: str, accept: str = EVENTS["Accept"], **environ: Any) -> TestResponse:
        return self.app.test_client().post(
            f"/generate-text?model={model}",
            data=SMALL,
            headers={"Accept": accept, "Content-Type": "image/png"},
            environ_overrides=environ,
        )

    def waiting(self, name: str) -> int:
        return len(self.engine._workers[name]._queue)


@pytest.fixture
def make_fakes(pool: DecodingPool) -> Iterator[Callable[..., Fakes]]:
    made: list[Fakes] = []

    def make(**predicts: Predict) -> Fakes:
        made.append(Fakes(pool, **predicts))
        return made[-1]

    yield make
    for fakes in made:
        fakes.engine.close()


def test_each_line_has_what_was_read_on_its_own_crop(make_fakes: Callable[..., Fakes]) -> None:
    answer = make_fakes().post("lines", "application/json").get_json()
    assert [line["text"] for line in answer["lines"]] == [f"width {number}" for number in range(1, COUNT + 1)]
    assert [line["paragraph"] for line in answer["lines"]] == [number // 4 for number in range(COUNT)]
    assert answer["text"].count("\n\n") == 2


def test_lines_on_which_nothing_was_read_are_left_out(make_fakes: Callable[..., Fakes]) -> None:
    def every_third(jobs: Sequence[Job]) -> list[Prediction]:
        return [said if int(said.text[6:]) % 3 == 0 else Prediction("") for said in read_width(jobs)]

    answer = make_fakes(line_reader=every_third).post("lines", "application/json").get_json()
    assert [line["text"] for line in answer["lines"]] == ["width 3", "width 6", "width 9", "width 12"]


def test_closing_the_stream_cancels_what_is_still_to_do(make_fakes: Callable[..., Fakes]) -> None:
    go = threading.Semaphore(1)

    def one_batch_at_a_time(jobs: Sequence[Job]) -> list[Prediction]:
        assert go.acquire(timeout=30)
        return read_width(jobs)

    fakes = make_fakes(line_reader=one_batch_at_a_time)
    response = fakes.post("lines")
    done = 0
    for name, data in parsed(iter(response.iter_encoded())):
        if name == "progress" and data["stage"] == "lines":
            done = data["done"]
        if done and fakes.waiting("lines"):
            break
    assert 0 < done < COUNT
    assert fakes.operations.in_work == 1
    response.close()
    assert fakes.operations.in_work == 0
    wait_until(lambda: fakes.waiting("lines") == 0)
    go.release(2 * COUNT)
    assert len(fakes.post("lines", "application/json").get_json()["lines"]) == COUNT
    assert sum(map(len, fakes.line_reader.batches)) < 2 * COUNT  # type: ignore[attr-defined]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_a_client_that_has_gone_is_noticed_within_a_second(make_fakes: Callable[..., Fakes], accept: str) -> None:
    gate, gone = Gate(), threading.Event()
    fakes = make_fakes(page_reader=gate)
    first = fakes.engine.submit("rapidocr", Job(text="running"), 30)
    assert gate.begun.wait(30)
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(
            lambda: fakes.post("rapidocr", accept, **{"waitress.client_disconnected": gone.is_set}).get_data()
        )
        wait_until(lambda: fakes.waiting("rapidocr") == 1)
        gone.set()
        body = left.result(timeout=10)
    assert fakes.operations.in_work == 0
    wait_until(lambda: fakes.waiting("rapidocr") == 0)
    assert b"event: result" not in body
    if accept == "application/json":
        assert json.loads(body)["status"] == 499
    gate.open.set()
    assert first.result().text == "running"


def test_an_unforeseen_error_in_the_middle_says_nothing_of_itself(make_fakes: Callable[..., Fakes]) -> None:
    def fails(jobs: Sequence[Job]) -> list[Prediction]:
        raise RuntimeError("/a/secret/path")

    response = make_fakes(line_reader=fails).post("lines")
    *_, (name, problem) = parsed(iter(response.iter_encoded()))
    assert (response.status_code, name, problem["status"]) == (200, "error", 500)
    assert "secret" not in json.dumps(problem)


def test_loading_is_shown(make_fakes: Callable[..., Fakes]) -> None:
    fakes = make_fakes()
    loading, loaded = threading.Event(), threading.Event()

    def load() -> None:
        loading.set()
        assert loaded.wait(30)

    fakes.line_reader.behave(read_width, load)
    response = fakes.post("lines")
    seen = []
    for name, data in parsed(iter(response.iter_encoded())):
        seen.append((name, data))
        if data.get("stage") == "loading":
            loaded.set()
    assert ("progress", {"stage": "loading", "done": 0, "found": 1}) in seen
    assert seen[-1][0] == "result"
    assert loading.is_set()


def test_a_service_that_is_full_refuses_a_stream_plainly(make_fakes: Callable[..., Fakes]) -> None:
    gate = Gate()
    fakes = make_fakes(page_reader=gate)
    fakes.engine.submit("rapidocr", Job(text="running"), 30)
    assert gate.begun.wait(30)
    for _ in range(32):
        fakes.engine.submit("rapidocr", Job(text="waiting"), 30)
    response = fakes.post("rapidocr")
    assert (response.status_code, response.mimetype) == (429, "application/problem+json")
    assert response.headers["Retry-After"]
    gate.open.set()


def test_the_stream_of_one_is_not_the_stream_of_another(server: Server) -> None:
    def last(number: int) -> str:
        image = encoded(drawn.page(drawn.numbered(number), (620, 60 + 40 * number)))
        return str(events(server, image, model="rapidocr")[-1][1]["text"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(last, range(1, 5))) == ["\n".join(drawn.numbered(number)) for number in range(1, 5)]


def test_only_a_client_that_asks_for_events_gets_them(server: Server) -> None:
    for accept, kind in (
        ("*/*", "application/json"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
    ):
        response: requests.Response = server.post(
            "/generate-text?model=rapidocr", data=SMALL, headers={"Accept": accept}
        )
        assert response.headers["Content-Type"] == kind


def test_a_client_that_has_gone_before_the_first_event_is_noticed(
    make_fakes: Callable[..., Fakes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes, go_on = make_fakes(), threading.Event()
    monkeypatch.setattr(fakes.service, "generate", lambda request, progress, cancelled: go_on.wait(30))
    answer = fakes.post("rapidocr", **{"waitress.client_disconnected": lambda: True})
    assert (answer.status_code, fakes.operations.in_work) == (499, 0)
    go_on.set()
