"""What the service may expect of an engine, of each there is: in this process, and on a Ray cluster of two nodes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import errors
from app.engine.base import Engine
from app.engine.local import LocalEngine
from models.base import Job, Placement
from models.errors import InvalidJob, ModelUnavailable
from models.registry import State
from tests.conftest import encoded
from tests.fakes import registry_of, wait_until
from tests.server import Server
from tests.waiting import Waiting, waiting

MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from tests.cluster import make_cluster

    with make_cluster(nodes=2, cpus=4) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["local", "ray"])
def make_engine(request: pytest.FixtureRequest) -> Iterator[MakeEngine]:
    """Make an engine of one kind for a model."""
    engines: list[Engine] = []
    if request.param == "ray":
        request.getfixturevalue("cluster")

    def make(model: Waiting, queue_size: int = 32) -> Engine:
        registry = registry_of(model)
        if request.param == "local":
            engines.append(LocalEngine(registry, queue_size))
        else:
            from app.engine.ray_serve import RayEngine, Room

            engines.append(RayEngine(registry, Placement(), queue_size, lambda name: Room(cpus=1)))
        engines[-1].registry = registry  # type: ignore[attr-defined]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
        wait_until(lambda engine=engine: engine.unload("waiting"), 60)  # type: ignore[misc]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches") / "batches"


@pytest.fixture(scope="module")
def engine(make_engine: MakeEngine, batches: Path) -> Engine:
    """An engine that tests share, with a queue of four, whose model takes four jobs at once."""
    return make_engine(waiting(batches=str(batches)), queue_size=4)


def submit(engine: Engine, text: str, timeout: float = 60, image: Image.Image | None = None) -> Any:
    return engine.submit("waiting", Job(image, text), timeout)


class Gate:
    """A job that goes on when it is let."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._path = directory / "open"
        self.ticket = submit(engine, f"wait {self._path}")
        wait_until(lambda: self.ticket.wait(0.05) or self.begun.exists(), 60)

    @property
    def begun(self) -> Path:
        return Path(f"{self._path}.begun")

    def open(self) -> None:
        self._path.touch()
        self.ticket.result()


def test_each_job_gets_its_own_prediction(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = [str(number) for number in range(24)]
        assert [each.text for each in pool.map(lambda text: submit(engine, text).result(), texts)] == texts


def test_a_ticket_tells_when(engine: Engine) -> None:
    before = time.monotonic()
    ticket = submit(engine, "sleep 0.3")
    assert not ticket.wait(0.01)
    assert ticket.result().text == "sleep 0.3"
    assert ticket.wait(0)
    assert before <= ticket.submitted <= ticket.started <= ticket.finished <= time.monotonic()
    assert ticket.finished - ticket.started == pytest.approx(0.3, abs=0.2)


def test_images_come_and_go_pixel_for_pixel(engine: Engine) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (601, 799, 3), dtype=np.uint8)
    middle, whole = submit(engine, "cut", image=Image.fromarray(pixels)).result().crops
    assert np.array_equal(np.asarray(whole), pixels)
    assert middle.size == (400, 300)


def test_one_bad_job_fails_alone_and_errors_keep_their_class(engine: Engine, tmp_path: Path) -> None:
    gate = Gate(engine, tmp_path)
    tickets = {text: submit(engine, text) for text in ("good", "raise", "invalid")}
    gate.open()
    assert tickets["good"].result().text == "good"
    with pytest.raises(errors.PredictionFailed) as failed:
        tickets["raise"].result()
    assert type(failed.value) is errors.PredictionFailed
    assert "secret" not in failed.value.detail
    with pytest.raises(InvalidJob, match="too long") as invalid:
        tickets["invalid"].result()
    assert type(invalid.value) is InvalidJob


def test_what_waits_is_a_batch(engine: Engine, batches: Path, tmp_path: Path) -> None:
    gate = Gate(engine, tmp_path)
    tickets = [submit(engine, f"one of {number}") for number in range(3)]
    # They come to the model while it is at work.
    wait_until(lambda: all(not ticket.wait(0.1) for ticket in tickets))
    gate.open()
    assert [ticket.result().text for ticket in tickets] == [f"one of {number}" for number in range(3)]
    assert "one of 0|one of 1|one of 2" in batches.read_text(encoding="utf-8").splitlines()


def test_more_than_may_wait_is_refused(engine: Engine, tmp_path: Path) -> None:
    gate = Gate(engine, tmp_path)
    refused, tickets = [], []
    # More than wait and are at work together.
    for number in range(20):
        try:
            engine.refuse_if_full("waiting")
            tickets.append(submit(engine, str(number)))
        except errors.QueueFull as error:
            refused.append(error)
    gate.open()
    for ticket in tickets:
        try:
            ticket.result()
        except errors.QueueFull as error:
            refused.append(error)
    assert refused
    assert all(error.retry_after for error in refused)
    assert submit(engine, "later").result().text == "later"


def test_a_deadline_in_the_queue(engine: Engine, batches: Path, tmp_path: Path) -> None:
    gate = Gate(engine, tmp_path)
    late = submit(engine, "too late", timeout=0.2)
    with pytest.raises(errors.QueueTimeout):
        late.result()
    # What has begun is not given up.
    gate.open()
    assert submit(engine, "next").result().text == "next"
    assert "too late" not in batches.read_text(encoding="utf-8")


def test_a_cancelled_job_is_dropped(engine: Engine, batches: Path, tmp_path: Path) -> None:
    gate = Gate(engine, tmp_path)
    ticket, last = submit(engine, "unwanted"), submit(engine, "last")
    assert not ticket.wait(0.3)
    ticket.cancel()
    with pytest.raises(errors.Unavailable):
        ticket.result()
    # A replica looks twice a second.
    time.sleep(0.8)
    gate.open()
    assert last.result().text == "last"
    assert "unwanted" not in batches.read_text(encoding="utf-8")


def test_loading_does_not_count_against_the_deadline(make_engine: MakeEngine) -> None:
    engine = make_engine(waiting(load_seconds=1.0))
    ticket = submit(engine, "a", timeout=0.5)
    assert not ticket.wait(0.3)
    entry = engine.registry.entry("waiting")  # type: ignore[attr-defined]
    assert entry.state is State.LOADING
    assert ticket.result().text == "a"
    assert entry.state is State.READY


def test_a_model_that_cannot_be_loaded_says_so(make_engine: MakeEngine) -> None:
    engine = make_engine(waiting(fails_to_load=True))
    for _ in range(2):
        with pytest.raises(ModelUnavailable) as failed:
            submit(engine, "a").result()
        assert failed.value.retry_after > 0
        assert "secret" not in str(failed.value)
    entry = engine.registry.entry("waiting")  # type: ignore[attr-defined]
    assert entry.state is State.FAILED
    if not isinstance(engine, LocalEngine):
        # Requests reach the replica again, which knows when it may try.
        engine.load("waiting")
        assert entry.on_machine


def test_close_refuses_and_ends_what_waits(make_engine: MakeEngine) -> None:
    engine = make_engine(waiting(load_seconds=2.0))
    ticket = submit(engine, "a")
    engine.close()
    assert not engine.ready()
    with pytest.raises(errors.Unavailable):
        ticket.result()
    with pytest.raises(errors.Unavailable):
        submit(engine, "late")


def test_nothing_is_told_to_the_makers_of_ray(cluster: Any) -> None:
    from ray._common.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()


def test_a_service_whose_models_run_on_the_cluster(
    cluster: Any, make_server: Callable[..., Server], pictures: list[Image.Image]
) -> None:
    alone = make_server()
    on_cluster = make_server(engine="ray", ray_address=cluster.address, ray_replicas="efficientnet-gru=1-2")
    image = encoded(pictures[0])
    said = [server.generate(image, model="efficientnet-gru", tags="true").json() for server in (alone, on_cluster)]
    assert said[1]["text"] == said[0]["text"]
    assert said[1]["tags"] == said[0]["tags"]
    assert on_cluster.state("efficientnet-gru")["state"] == "ready"
    events = on_cluster.post(
        "/generate-text?model=efficientnet-gru",
        data=encoded(pictures[1]),
        headers={"Accept": "text/event-stream", "Content-Type": "image/png"},
    ).text
    # Where it stands in the queue is not known, and not made up.
    assert "event: queued\ndata: {}\n" in events
    assert "event: result" in events
    assert on_cluster.post("/models/efficientnet-gru/unload").json()["state"] == "on_disk"
