"""The engine: batches, one load, limits, deadlines, and what a failing model does to others."""

import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from app import errors
from app.engine.local import LocalEngine
from models.base import Job, Prediction
from models.errors import InvalidJob, ModelUnavailable
from models.registry import State
from tests.fakes import Fake, Gate, echo, fake, registry_of, wait_until
from tests.server import ROOT

MakeEngine = Callable[..., LocalEngine]


@pytest.fixture
def make_engine() -> Iterator[MakeEngine]:
    engines: list[LocalEngine] = []

    def make(*models: Fake, queue_size: int = 32) -> LocalEngine:
        engines.append(LocalEngine(registry_of(*models), queue_size))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def test_takes_what_waits_up_to_the_batch_size(make_engine: MakeEngine) -> None:
    gate = Gate()
    model = fake(predict=gate)
    engine = make_engine(model)
    first = engine.submit("fake", Job(text="0"), 30)
    gate.begun.wait(30)
    others = [engine.submit("fake", Job(text=str(i)), 30) for i in range(1, 7)]
    assert [ticket.position for ticket in (first, *others)] == [0, 1, 2, 3, 4, 5, 6]
    gate.open.set()
    assert [ticket.result().text for ticket in (first, *others)] == list("0123456")
    assert model.batches == [["0"], ["1", "2", "3", "4"], ["5", "6"]]
    assert others[-1].started is not None
    assert others[-1].started > others[-1].submitted


def test_a_lone_job_does_not_wait_for_more(make_engine: MakeEngine) -> None:
    model = fake()
    assert make_engine(model).submit("fake", Job(text="a"), 30).result().text == "a"
    assert model.batches == [["a"]]


def test_fifty_first_requests_load_once(make_engine: MakeEngine) -> None:
    slow = threading.Event()
    model = fake(load=lambda: slow.wait(30))
    engine = make_engine(model, queue_size=50)
    with ThreadPoolExecutor(50) as pool:
        results = [
            pool.submit(lambda i=i: engine.submit("fake", Job(text=str(i)), 30).result().text) for i in range(50)
        ]
        wait_until(lambda: model.loads == 1)
        slow.set()
        assert [result.result() for result in results] == [str(i) for i in range(50)]
    assert model.loads == 1


def test_one_bad_job_fails_alone_and_the_worker_goes_on(make_engine: MakeEngine) -> None:
    gate = Gate()

    def predict(jobs: Sequence[Job]) -> list[Prediction]:
        gate(jobs)
        if any(job.text == "bad" for job in jobs):
            raise RuntimeError("/a/secret/path")
        if any(job.text == "invalid" for job in jobs):
            raise InvalidJob("too long")
        return echo(jobs)

    engine = make_engine(fake(predict=predict))
    first = engine.submit("fake", Job(text="first"), 30)
    gate.begun.wait(30)
    tickets = {text: engine.submit("fake", Job(text=text), 30) for text in ("good", "bad", "invalid", "fine")}
    gate.open.set()
    assert [first.result().text, tickets["good"].result().text, tickets["fine"].result().text] == [
        "first",
        "good",
        "fine",
    ]
    with pytest.raises(errors.PredictionFailed) as failed:
        tickets["bad"].result()
    assert "secret" not in failed.value.detail
    with pytest.raises(InvalidJob, match="too long"):
        tickets["invalid"].result()
    assert engine.submit("fake", Job(text="later"), 30).result().text == "later"


def test_predictions_that_do_not_match_the_jobs_are_an_error(make_engine: MakeEngine) -> None:
    engine = make_engine(fake(predict=lambda jobs: []))
    with pytest.raises(errors.PredictionFailed):
        engine.submit("fake", Job(text="a"), 30).result()


def test_a_full_queue_refuses_at_once(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(fake(predict=gate), fake("other"), queue_size=2)
    running = engine.submit("fake", Job(text="0"), 30)
    gate.begun.wait(30)
    waiting = [engine.submit("fake", Job(text=text), 30) for text in "12"]
    with pytest.raises(errors.QueueFull) as refused:
        engine.submit("fake", Job(text="3"), 30)
    assert refused.value.retry_after
    assert engine.submit("other", Job(text="x"), 30).result().text == "x", "one full queue is not another's"
    gate.open.set()
    assert [ticket.result().text for ticket in (running, *waiting)] == list("012")


def test_a_deadline_in_the_queue(make_engine: MakeEngine) -> None:
    gate = Gate()
    model = fake(predict=gate)
    engine = make_engine(model)
    running = engine.submit("fake", Job(text="running"), 0.05)
    gate.begun.wait(30)
    waiting = engine.submit("fake", Job(text="waiting"), 0.05)
    with pytest.raises(errors.QueueTimeout):
        waiting.result()
    assert not running.wait(0.1)
    gate.open.set()
    assert running.result().text == "running", "what has begun is not given up"
    assert engine.submit("fake", Job(text="next"), 30).result().text == "next"
    assert ["waiting"] not in model.batches


def test_loading_does_not_count_against_the_deadline(make_engine: MakeEngine) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def load() -> None:
        loading.set()
        loaded.wait(30)

    engine = make_engine(fake(load=load))
    ticket = engine.submit("fake", Job(text="a"), 0.05)
    loading.wait(30)
    assert not ticket.wait(0.3)
    loaded.set()
    assert ticket.result().text == "a"


def test_a_cancelled_job_is_dropped(make_engine: MakeEngine) -> None:
    gate = Gate()
    model = fake(predict=gate)
    engine = make_engine(model)
    engine.submit("fake", Job(text="running"), 30)
    gate.begun.wait(30)
    ticket = engine.submit("fake", Job(text="cancelled"), 30)
    last = engine.submit("fake", Job(text="last"), 30)
    ticket.cancel()
    gate.open.set()
    with pytest.raises(errors.Unavailable):
        ticket.result()
    assert last.result().text == "last"
    assert model.batches == [["running"], ["last"]]


def test_a_model_that_fails_to_load_answers_all_and_is_not_tried_at_every_request(make_engine: MakeEngine) -> None:
    def load() -> None:
        raise OSError("/a/secret/path is corrupt")

    model = fake(load=load)
    engine = make_engine(model)
    for _ in range(3):
        with pytest.raises(ModelUnavailable) as failed:
            engine.submit("fake", Job(text="a"), 30).result()
        assert failed.value.retry_after > 0
        assert "secret" not in str(failed.value)
    assert model.loads == 1


def test_close_answers_all_that_wait(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(fake(predict=gate))
    running = engine.submit("fake", Job(text="running"), 30)
    gate.begun.wait(30)
    waiting = engine.submit("fake", Job(text="waiting"), 30)
    engine.close()
    with pytest.raises(errors.Unavailable):
        waiting.result()
    with pytest.raises(errors.Unavailable):
        engine.submit("fake", Job(text="late"), 30)
    gate.open.set()
    assert running.result().text == "running"
    assert not engine.ready()


def test_threads_start_with_the_first_job(make_engine: MakeEngine) -> None:
    def workers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "model-of-its-own-thread"]

    engine = make_engine(fake("of-its-own-thread"))
    assert workers() == []
    engine.submit("of-its-own-thread", Job(text="a"), 30).result()
    assert workers() == ["model-of-its-own-thread"]


def test_an_idle_worker_keeps_no_image(make_engine: MakeEngine) -> None:
    image = Image.new("RGB", (8, 8))
    gone = weakref.ref(image)
    engine = make_engine(fake())
    ticket = engine.submit("fake", Job(image, text="a"), 30)
    ticket.result()
    del image, ticket
    # The worker lets go a moment after it has answered.
    wait_until(lambda: gone() is None)


def test_a_model_that_is_wanted_in_memory_is_tried_again(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.registry.RETRY_AFTER", 0.05)
    attempts = []

    def load() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")

    model = fake(load=load)
    make_engine(model).load("fake", until_loaded=True)
    wait_until(lambda: len(attempts) == 3)


def test_a_model_that_is_being_loaded_is_in_use(make_engine: MakeEngine) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def load() -> None:
        loading.set()
        loaded.wait(30)

    engine = make_engine(fake(load=load))
    engine.load("fake")
    loading.wait(30)
    assert not engine.unload("fake"), "it would be in memory a moment later"
    loaded.set()
    wait_until(lambda: engine.unload("fake"))


def test_what_is_asked_for_once_is_tried_once(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.registry.RETRY_AFTER", 0.02)
    attempted = threading.Event()

    def load() -> None:
        attempted.set()
        raise OSError("no")

    model = fake(load=load)
    make_engine(model).load("fake")
    attempted.wait(30)
    time.sleep(0.2)  # ten times as long as a second attempt would take to come
    assert model.loads == 1


@pytest.mark.parametrize(
    "error",
    [errors.QueueFull("full", 5.0), errors.InvalidImage("broken"), ModelUnavailable("later", 7.0), InvalidJob("no")],
)
def test_errors_survive_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_an_idle_model_leaves_memory_and_comes_back() -> None:
    model = fake()
    registry = registry_of(model)
    entry = registry.entry("fake")
    engine = LocalEngine(registry, 32, idle_limit=0.2)
    try:
        assert engine.submit("fake", Job(text="a"), 30).result().text == "a"
        assert entry.state is State.READY
        wait_until(lambda: entry.state is State.ON_DISK)
        # Loading again does not count against the deadline either.
        assert engine.submit("fake", Job(text="b"), 0.01).result().text == "b"
        assert model.loads == 2
    finally:
        engine.close()


def test_a_model_at_work_is_not_idle() -> None:
    gate = Gate()
    registry = registry_of(fake(predict=gate))
    engine = LocalEngine(registry, 32, idle_limit=0.05)
    try:
        ticket = engine.submit("fake", Job(text="a"), 30)
        gate.begun.wait(30)
        assert not ticket.wait(0.3)
        assert registry.entry("fake").state is State.READY
        gate.open.set()
        assert ticket.result().text == "a"
    finally:
        engine.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_engine_goes_on_in_a_process_that_was_forked_off() -> None:
    code = """
import os
from app.engine.local import LocalEngine
from models.base import (Job)
from tests.fakes import fake, registry_of

engine = LocalEngine(registry_of(fake()), 4)
# The worker of this process, which the other one does not have.
assert engine.submit("fake", Job(text="parent"), 5).result().text == "parent"
child = os.fork()
if not child:
    os._exit(0 if engine.submit("fake", Job(text="child"), 5).result().text == "child" else 1)
assert os.waitpid(child, 0)[1] == 0
assert engine.submit("fake", Job(text="parent"), 5).result().text == "parent"
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("[CPU] MatMul node with name 'x': can't alloc"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_is_no_fault_of_the_job(make_engine: MakeEngine, error: Exception) -> None:
    def fails(jobs: Sequence[Job]) -> list[Prediction]:
        if len(jobs) > 1 or jobs[0].text == "large":
            raise error
        return echo(jobs)

    gate = Gate()
    engine = make_engine(fake(predict=lambda jobs: gate(jobs) if jobs[0].text == "first" else fails(jobs)))
    first = engine.submit("fake", Job(text="first"), 30)
    gate.begun.wait(30)
    tickets = [engine.submit("fake", Job(text=text), 30) for text in ("small", "large")]
    gate.open.set()
    assert first.result().text == "first"
    # What does not fit together may fit alone.
    assert tickets[0].result().text == "small"
    with pytest.raises(errors.Unavailable, match="ran out of memory"):
        tickets[1].result()
