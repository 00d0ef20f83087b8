"""The jobs of one request: their order, how many are in flight, and their end."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.engine.local import LocalEngine
from app.errors import ClientGone, PredictionFailed, QueueFull
from app.jobs import JobRunner
from app.types import Progress, Timings
from models.base import Job, Prediction
from models.errors import InvalidJob
from models.registry import Entry, Registry
from tests.fakes import Fake, Gate, echo, fake, registry_of, wait_until


class House:
    """An engine and its registry, with jobs for them."""

    def __init__(self, *models: Fake, queue_size: int = 32) -> None:
        self.registry: Registry = registry_of(*models)
        self.engine = LocalEngine(self.registry, queue_size)
        self.seen: list[Progress] = []
        self.cancelled = threading.Event()
        self.jobs = self.jobs_of(timeout=30)

    def jobs_of(self, timeout: float) -> JobRunner:
        return JobRunner(self.engine, timeout, self.seen.append, self.cancelled.is_set)

    def entry(self, name: str = "fake") -> Entry:
        return self.registry.entry(name)

    def waiting(self, name: str = "fake") -> int:
        return len(self.engine._workers[name]._queue)


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house() -> Iterator[MakeHouse]:
    houses: list[House] = []

    def make(*models: Fake, queue_size: int = 32) -> House:
        houses.append(House(*models, queue_size=queue_size))
        return houses[-1]

    yield make
    for house in houses:
        house.engine.close()


def jobs_of(count: int) -> list[Job]:
    return [Job(text=str(number)) for number in range(count)]


class Switch:
    """A predict that waits for a signal before each batch."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, jobs: Sequence[Job]) -> list[Prediction]:
        self.begun.release()
        assert self.go.acquire(timeout=30)
        return echo(jobs)


def test_many_jobs_keep_their_order_and_are_counted_one_by_one(make_house: MakeHouse) -> None:
    model = fake()
    house = make_house(model)

    said = house.jobs.run_lines(house.entry(), jobs_of(21))
    assert [prediction.text for prediction in said] == [str(number) for number in range(21)]
    counted = [progress for progress in house.seen if progress.stage == "lines"]
    assert [(progress.done, progress.found) for progress in counted] == [(number, 21) for number in range(22)]
    assert [text for batch in model.batches for text in batch] == [str(number) for number in range(21)]  # type: ignore[attr-defined]


def test_at_most_two_batches_are_in_flight(make_house: MakeHouse) -> None:
    switch = Switch()
    model = fake(predict=switch)
    house = make_house(model)
    thread = threading.Thread(target=lambda: house.jobs.run_lines(house.entry(), jobs_of(30)))
    thread.start()
    while True:
        assert switch.begun.acquire(timeout=30)
        running = len(model.batches[-1])  # type: ignore[attr-defined]
        assert running + house.waiting() <= 2 * model.batch_size
        switch.go.release()
        if sum(map(len, model.batches)) == 30:  # type: ignore[attr-defined]
            break
    thread.join(30)
    assert not thread.is_alive()
    assert max(map(len, model.batches)) == model.batch_size, "batches were filled"  # type: ignore[attr-defined]


def test_nothing_to_do_is_done_at_once(make_house: MakeHouse) -> None:
    house = make_house(fake())
    assert house.jobs.run_lines(house.entry(), []) == []
    assert house.jobs.timings() == Timings()


@pytest.mark.parametrize("queue_size", [1, 2, 3])
def test_a_queue_smaller_than_the_page_is_waited_for(make_house: MakeHouse, queue_size: int) -> None:
    house = make_house(fake(), queue_size=queue_size)
    said = house.jobs.run_lines(house.entry(), jobs_of(15))
    assert [prediction.text for prediction in said] == [str(number) for number in range(15)]


def fill(house: House, gate: Gate, name: str = "fake") -> None:
    """Let a model work on another's job, and its queue of one hold another."""
    house.engine.submit(name, Job(text="running"), 30)
    assert gate.begun.wait(30)
    house.engine.submit(name, Job(text="waiting"), 30)


def test_a_queue_that_is_full_of_others_refuses_at_once(make_house: MakeHouse) -> None:
    gate = Gate()
    house = make_house(fake(predict=gate), queue_size=1)
    fill(house, gate)
    with pytest.raises(QueueFull):
        house.jobs.run_lines(house.entry(), jobs_of(3))
    with pytest.raises(QueueFull):
        house.jobs.run(house.entry(), Job(text="one"))
    gate.open.set()


def test_a_request_that_got_further_waits_for_room(make_house: MakeHouse) -> None:
    gate = Gate()
    house = make_house(fake("first"), fake(predict=gate), queue_size=1)
    fill(house, gate)
    assert house.jobs.run(house.entry("first"), Job(text="page")).text == "page"
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(house.jobs.timed_apart().run, house.entry(), Job(text="mine"))
        wait_until(lambda: Progress("queued") in house.seen)
        gate.open.set()
        assert mine.result(30).text == "mine"


def test_it_does_not_wait_for_room_for_ever(make_house: MakeHouse) -> None:
    gate = Gate()
    house = make_house(fake("first"), fake(predict=gate), queue_size=1)
    fill(house, gate)
    jobs = house.jobs_of(timeout=0.1)
    jobs.run(house.entry("first"), Job(text="page"))
    with pytest.raises(QueueFull):
        jobs.run(house.entry(), Job(text="mine"))
    gate.open.set()


def test_cancelling_takes_back_what_waits(make_house: MakeHouse) -> None:
    gate = Gate()
    model = fake(predict=gate)
    house = make_house(model)
    house.engine.submit("fake", Job(text="another's"), 30)
    assert gate.begun.wait(30)
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(house.jobs.run_lines, house.entry(), jobs_of(30))
        wait_until(lambda: house.waiting() == 2 * model.batch_size)
        house.cancelled.set()
        with pytest.raises(ClientGone):
            mine.result(30)
    assert house.waiting() == 0, "not even the one that was waited for"
    gate.open.set()
    assert house.engine.submit("fake", Job(text="next"), 30).result().text == "next"
    assert model.batches == [["another's"], ["next"]]  # type: ignore[attr-defined]


def test_a_failure_cancels_the_rest(make_house: MakeHouse) -> None:
    def predict(jobs: Sequence[Job]) -> list[Prediction]:
        if any(job.text == "3" for job in jobs):
            raise RuntimeError("broken")
        return echo(jobs)

    model = fake(predict=predict)
    house = make_house(model)
    with pytest.raises(PredictionFailed):
        house.jobs.run_lines(house.entry(), jobs_of(200))
    wait_until(lambda: house.waiting() == 0)
    assert house.engine.submit("fake", Job(text="next"), 30).result().text == "next"
    assert sum(map(len, model.batches)) < 50, "not all of them ran"  # type: ignore[attr-defined]


def test_side_by_side_runs_both_at_the_same_time(make_house: MakeHouse) -> None:
    together = threading.Barrier(2, timeout=30)

    def predict(jobs: Sequence[Job]) -> list[Prediction]:
        together.wait()
        return echo(jobs)

    house = make_house(fake("one", predict=predict), fake("two", predict=predict))
    asked = [(house.entry("one"), Job(text="a")), (house.entry("two"), Job(text="b"))]
    assert house.jobs.run_together(asked) == [Prediction("a"), Prediction("b")]


def test_side_by_side_one_may_fail_alone(make_house: MakeHouse) -> None:
    def fails(jobs: Sequence[Job]) -> list[Prediction]:
        raise RuntimeError("broken")

    house = make_house(fake("one", predict=fails), fake("two"))
    asked = [(house.entry("one"), Job(text="a")), (house.entry("two"), Job(text="b"))]
    failed, said = house.jobs.run_together(asked)
    assert isinstance(failed, PredictionFailed)
    assert isinstance(said, Prediction)
    assert said.text == "b"


def test_side_by_side_takes_back_the_first_when_there_is_no_room_for_the_second(make_house: MakeHouse) -> None:
    busy, full = Gate(), Gate()
    house = make_house(fake("busy", predict=busy), fake("full", predict=full), queue_size=1)
    house.engine.submit("busy", Job(text="running"), 30)
    assert busy.begun.wait(30)
    fill(house, full, "full")
    asked = [(house.entry("busy"), Job(text="a")), (house.entry("full"), Job(text="b"))]
    with pytest.raises(QueueFull):
        house.jobs_of(timeout=0.1).run_together(asked)
    assert house.waiting("busy") == 0
    for gate in (busy, full):
        gate.open.set()


def test_side_by_side_what_the_second_cannot_take_is_what_it_comes_to(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(job: Job) -> Job:
        raise InvalidJob("not this one")

    house = make_house(fake("one"), fake("two"))
    monkeypatch.setattr(house.entry("two").load(), "prepare", refuses)
    asked = [(house.entry("one"), Job(text="a")), (house.entry("two"), Job(text="b"))]
    one, two = house.jobs.run_together(asked)
    assert isinstance(one, Prediction)
    assert isinstance(two, InvalidJob)
    with pytest.raises(InvalidJob, match="not this one"):
        house.jobs.run_together(asked[::-1])


def test_the_one_that_waits_is_told_its_position_again_and_again(make_house: MakeHouse) -> None:
    gate = Gate()
    house = make_house(fake(predict=gate))
    house.engine.submit("fake", Job(text="running"), 30)
    assert gate.begun.wait(30)
    house.engine.submit("fake", Job(text="waiting"), 30)
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(house.jobs.run, house.entry(), Job(text="mine"))
        wait_until(lambda: house.seen == [Progress("queued", position=2)] * 2)
        gate.open.set()
        assert mine.result(30).text == "mine"


def test_a_model_on_its_way_into_memory_is_said_to_be_loading(make_house: MakeHouse) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def load() -> None:
        loading.set()
        assert loaded.wait(30)

    house = make_house(fake(load=load))
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(house.jobs.run, house.entry(), Job(text="mine"))
        assert loading.wait(30)
        wait_until(lambda: Progress("loading", 0, 1) in house.seen)
        assert house.seen[0].stage == "queued"
        loaded.set()
        assert mine.result(30).text == "mine"


def test_seconds_are_those_from_the_first_to_the_last(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that a prediction moves by two seconds, whatever the machine does."""
    now = [100.0]
    monkeypatch.setattr("app.engine.local.time.monotonic", lambda: now[0])

    def predict(jobs: Sequence[Job]) -> list[Prediction]:
        now[0] += 2
        return echo(jobs)

    house = make_house(fake(predict=predict))
    house.jobs.run(house.entry(), Job(text="a"))
    assert house.jobs.timings() == Timings(inference=2_000)
    house.jobs.run_lines(house.entry(), jobs_of(4))
    assert house.jobs.timings().inference >= 4_000
    assert house.jobs.timings().inference % 2_000 == 0
