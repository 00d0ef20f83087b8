"""Operations: shared by equal requests, cancelled when nobody waits any more; and answers that are remembered."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from app import operations as module
from app.errors import ClientGone, InvalidImage, NotFound, QueueFull, Unavailable
from app.operations import Operation, Operations
from app.types import Answer, IsCancelled, Page, Progress, ReportProgress
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import Server


class Maker:
    """Makes "made 1", "made 2", ... in three steps; each waits until it may go on."""

    def __init__(self, free: bool = True) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go_on = threading.Semaphore(1_000_000 if free else 0)

    def __call__(self, progress: ReportProgress, cancelled: IsCancelled) -> str:
        self.begun += 1
        made = f"made {self.begun}"
        for done in range(3):
            while not self.go_on.acquire(timeout=0.01):
                if cancelled():
                    self.cancelled += 1
                    raise ClientGone("cancelled")
            progress(Progress("lines", done, 3))
        return made


@pytest.fixture
def operations() -> Operations:
    return Operations(100)


def result(operation: Operation[str]) -> str:
    try:
        return operation.result()
    finally:
        operation.leave()


def test_progress_comes_in_order_and_to_late_subscribers_too(operations: Operations) -> None:
    maker = Maker()
    operation = operations.submit(maker)
    counted = [Progress("lines", done, 3) for done in range(3)]
    assert list(operation.events()) == counted
    assert list(operation.events()) == counted
    assert result(operation) == "made 1"


def test_the_latest_progress_comes_again_while_nothing_happens(operations: Operations) -> None:
    maker = Maker(free=False)
    operation = operations.submit(maker)
    maker.go_on.release()
    events = operation.events()
    assert [next(events) for _ in range(2)] == [Progress("lines", 0, 3)] * 2
    maker.go_on.release(2)
    assert result(operation) == "made 1"


def test_equal_requests_share_an_operation(operations: Operations) -> None:
    maker = Maker(free=False)
    first, second, other = (operations.submit(maker, key) for key in ("?", "?", "!"))
    assert first is second
    assert first is not other
    maker.go_on.release(6)
    assert {result(first), result(second), result(other)} == {"made 1", "made 2"}
    assert result(operations.submit(Maker(), "?")) == "made 1", "an operation that ended is not shared"


def test_a_fresh_one_is_begun_anew_and_shared_from_then_on(operations: Operations) -> None:
    maker = Maker(free=False)
    older = operations.submit(maker, "?")
    wait_until(lambda: maker.begun == 1)
    fresh = operations.submit(maker, "?", fresh=True)
    newcomer = operations.submit(maker, "?")
    assert older is not fresh
    assert fresh is newcomer
    maker.go_on.release(6)
    assert [result(operation) for operation in (fresh, newcomer, older)] == ["made 2", "made 2", "made 1"]


def test_sharing_can_be_turned_off() -> None:
    operations, maker = Operations(100, share=False), Maker(free=False)
    first, second = operations.submit(maker, "?"), operations.submit(maker, "?")
    maker.go_on.release(6)
    assert {result(first), result(second)} == {"made 1", "made 2"}


def test_who_leaves_leaves_it_to_the_others(operations: Operations) -> None:
    maker = Maker(free=False)
    first, second = operations.submit(maker, "?"), operations.submit(maker, "?")
    first.leave()
    maker.go_on.release(3)
    assert result(second) == "made 1"
    assert (maker.begun, maker.cancelled) == (1, 0)


def test_when_the_last_one_leaves_it_is_cancelled_and_begun_anew_by_the_next(operations: Operations) -> None:
    maker = Maker(free=False)
    for operation in [operations.submit(maker, "?") for _ in range(2)]:
        wait_until(lambda: maker.begun == 1)
        assert maker.cancelled == 0
        operation.leave()
    wait_until(lambda: maker.cancelled == 1)
    maker.go_on.release(3)
    assert result(operations.submit(maker, "?")) == "made 2"


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("error", [InvalidImage("broken"), Panic("panic")], ids=["error", "panic"])
def test_an_error_is_told_to_all_who_wait_and_not_to_who_comes_after(
    operations: Operations, error: BaseException
) -> None:
    gate = threading.Event()

    def fails(progress: ReportProgress, cancelled: IsCancelled) -> str:
        assert gate.wait(30)
        raise error

    waiting = [operations.submit(fails, "?") for _ in range(2)]
    gate.set()
    for operation in waiting:
        with pytest.raises(type(error), match=str(error)):
            result(operation)
    assert result(operations.submit(Maker(), "?")) == "made 1"


def test_no_more_requests_are_taken_than_may_be(operations: Operations) -> None:
    operations, maker = Operations(2), Maker(free=False)
    first, second = operations.submit(maker, "?"), operations.submit(maker, "?")
    with pytest.raises(QueueFull, match="2 requests are in work already"):
        operations.submit(maker, "!")
    maker.go_on.release(3)
    assert {result(first), result(second)} == {"made 1"}
    assert result(operations.submit(Maker(), "!")) == "made 1"
    operations.drain()
    with pytest.raises(Unavailable, match="shutting down"):
        operations.submit(maker, "?")


@pytest.mark.parametrize("detached", [False, True])
def test_a_machine_without_threads_loses_no_room(monkeypatch: pytest.MonkeyPatch, detached: bool) -> None:
    operations = Operations(2)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="thread"):
                operations.submit(Maker(), None if detached else "?", keep=True, detached=detached)
    assert operations.in_work == 0
    maker = Maker()
    assert result(operations.submit(maker, "?")) == "made 1"
    # The executor comes to the others now, which have been given up.
    operations._executor.shutdown()
    assert operations.in_work == 0


def test_a_detached_operation_goes_on_and_is_found_by_its_id(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(free=False)
    operation = operations.submit(maker, keep=True, detached=True)
    assert operations.find(operation.id) is operation
    assert operations.in_work == 1
    maker.go_on.release(3)
    assert operation.result() == "made 1"
    wait_until(lambda: operations.in_work == 0)
    assert operations.find(operation.id).result() == "made 1"
    now = time.monotonic() + 601
    monkeypatch.setattr(operations, "_kept", type(operations._kept)(10, 600, timer=lambda: now))
    with pytest.raises(NotFound):
        operations.find(operation.id)


@pytest.mark.parametrize("detached", [False, True])
def test_what_cannot_be_shared_with_other_copies_is_answered_all_the_same(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, detached: bool
) -> None:
    def fail(operation: Operation[Any]) -> None:
        if operation.outcome() is not None:
            raise ValueError("surrogates not allowed")

    monkeypatch.setattr(operations, "_exchange", fail)
    operation = operations.submit(Maker(), keep=True, detached=detached)
    assert operation.wait(30)
    assert operations.find(operation.id).result() == "made 1"
    if not detached:
        operation.leave()
    wait_until(lambda: operations.in_work == 0)


@pytest.mark.parametrize("is_export", [True, False])
def test_kept_operations_take_bounded_memory(monkeypatch: pytest.MonkeyPatch, is_export: bool) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 100_000)
    operations = Operations(100)

    def kept(size: int) -> Operation[Answer]:
        page = Page(8, 8, "" if is_export else " " * size)
        answer = Answer("", "model", (page,), export=bytes(size) if is_export else None)
        operation = operations.submit(lambda progress, cancelled: answer, keep=True)
        assert operation.result() is answer
        operation.leave()
        return operation

    some = [kept(30_000) for _ in range(3)]
    large = kept(100_000)
    for gone in (some[0], large):
        with pytest.raises(NotFound):
            operations.find(gone.id)
    assert all(operations.find(one.id) is one for one in some[1:])


def test_an_operation_that_is_forgotten_is_cancelled(operations: Operations) -> None:
    maker = Maker(free=False)
    operation = operations.submit(maker, keep=True, detached=True)
    operations.forget(operation)
    with pytest.raises(NotFound):
        operations.find(operation.id)
    wait_until(lambda: maker.cancelled == 1)
    wait_until(lambda: operations.in_work == 0)


def test_random_comings_and_goings_leave_nothing_behind(operations: Operations) -> None:
    makers = [Maker() for _ in range(5)]

    def visitor(number: int) -> None:
        for turn in range(40):
            which = (number * 7 + turn * 3) % 5
            operation = operations.submit(makers[which], str(which), fresh=turn % 7 == 0)
            if (number + turn) % 3:
                assert result(operation).startswith("made ")
            else:
                operation.leave()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(visitor, number) for number in range(8)]:
            done.result(60)
    wait_until(lambda: not operations._running)
    assert operations.in_work == 0


# Over HTTP

ANEW = {"Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def paths(checkpoints: dict[str, Any]) -> str:
    return ",".join(f"{name}={checkpoints[name]}" for name in ("blip-base", "t5-tags", "trocr-base-handwritten"))


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory, paths: str) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), model_paths=paths)
    yield running
    running.kill()


def same(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("id", "timings_ms", "cached")}


@pytest.mark.parametrize(
    "options",
    [
        {"model": "blip-base"},
        {"model": "blip-base", "tags": "true", "num_beams": 3},
        {"model": "trocr-base-handwritten", "max_new_tokens": 3, "segment": "lines"},
        {"model": "alt-text"},
    ],
)
def test_an_answer_known_already_is_the_same(remembering: Server, pictures: list[Any], options: dict[str, Any]) -> None:
    image = encoded(pictures[0])
    first, second = (remembering.generate(image, **options).json() for _ in range(2))
    assert "cached" not in first
    assert second["cached"] is True
    assert same(second) == same(first)
    assert [second["timings_ms"][name] for name in ("decode", "queue", "inference")] == [0, 0, 0]
    anew = remembering.post("/generate-text", files={"image_file": image}, data=options, headers=ANEW).json()
    assert "cached" not in anew
    assert same(anew) == same(first)


def test_another_option_image_or_format_is_another_question(remembering: Server, pictures: list[Any]) -> None:
    image = encoded(pictures[1])
    assert "cached" not in remembering.generate(image, model="blip-base").json()
    assert "cached" not in remembering.generate(image, model="blip-base", num_beams=2).json()
    assert "cached" not in remembering.generate(image, model="blip-base", prompt="a").json()
    assert "cached" not in remembering.generate(encoded(pictures[2]), model="blip-base").json()
    assert remembering.generate(image, model="blip-base", max_length=30).json()["cached"], "an ignored option"


def test_formats_are_made_of_what_is_known(remembering: Server) -> None:
    from tests import drawn

    page = drawn.tiff([drawn.page(drawn.numbered(3), (420, 220))] * 2)
    plain = remembering.generate(page, model="rapidocr").json()
    assert remembering.generate(page, model="rapidocr").json()["cached"]
    assert remembering.generate(page, model="rapidocr", format="text").text.split() == plain["text"].split()
    assert remembering.generate(page, model="rapidocr", format="pdf").content.startswith(b"%PDF")


def test_tags_are_known_as_well(remembering: Server) -> None:
    def tags(**headers: str) -> dict[str, Any]:
        answer: dict[str, Any] = remembering.post("/generate-tags", json={"text": "a dog"}, headers=headers).json()
        return answer

    first, second, anew = tags(), tags(), tags(**ANEW)
    assert ["cached" in answer for answer in (first, second, anew)] == [False, True, False]
    assert same(first) == same(second) == same(anew)


def test_a_known_answer_is_an_event_stream_too(remembering: Server, pictures: list[Any]) -> None:
    image = encoded(pictures[3])
    remembering.generate(image, model="blip-base")
    events = {"Accept": "text/event-stream"}
    answer = remembering.post("/generate-text?model=blip-base", files={"image_file": image}, headers=events)
    assert [line for line in answer.text.splitlines() if line.startswith("event")] == ["event: queued", "event: result"]
    assert '"cached":true' in answer.text


def test_identical_requests_at_once_are_one_inference(remembering: Server, pictures: list[Any]) -> None:
    image = encoded(pictures[4])
    with ThreadPoolExecutor(8) as pool:
        options = {"model": "blip-base", "min_new_tokens": 18, "num_beams": 4}
        answers = list(pool.map(lambda _: remembering.generate(image, **options).json(), range(8)))
    assert len({answer["text"] for answer in answers}) == 1
    # Equal times to the millisecond: they are of the same inference.
    assert len({answer["timings_ms"]["inference"] for answer in answers if "cached" not in answer}) == 1


def test_zero_turns_it_off(make_server: Callable[..., Server], paths: str, pictures: list[Any]) -> None:
    server = make_server(model_paths=paths, result_cache_mb=0)
    for _ in range(2):
        answer: requests.Response = server.generate(encoded(pictures[0]), model="blip-base")
        assert "cached" not in answer.json()
