"""What copies share through a real Redis: results, operations that are found by id, and counts; and what happens while
Redis does not answer."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.config import Settings, SettingsError
from app.errors import InvalidImage, NotFound, QueueTimeout, ServiceError, Unavailable
from app.operations import Operation, Operations
from app.shared import state as module
from app.shared import wire
from app.shared.cache import RedisCache
from app.shared.counts import Counts
from app.shared.state import SharedState
from app.types import AltTextParts, Answer, ImageInfo, IsCancelled, Page, Progress, ReportProgress, Tags, Timings
from models.base import CutWarning
from models.found import WHOLE_IMAGE, Entity, Line, Part
from tests.fakes import wait_until
from tests.shared import RedisServer

ANSWER = Answer(
    "a sign",
    "fake",
    (
        Page(
            1,
            2,
            "a sign",
            0.5,
            lines=(Line("a", 0.5, WHOLE_IMAGE, parts=(Part("a", 0.4, WHOLE_IMAGE, 1),), is_row=True),),
            entities=(Entity("a sign", (0, 6), ((0.0, 0.25, 1.0, 1.0),)),),
            points=(1.5, 2.0),
            number=3,
        ),
    ),
    tags=Tags(("sign",), (0.1,), "fake", timings=Timings(load=1)),
    parts=AltTextParts(None, "fake", "a", None),
    warnings=(CutWarning("cut"), "dim"),
    image=ImageInfo(1, 2, "PNG", "ab", "images/ab.png"),
)
MakeState = Callable[[], SharedState]


@pytest.fixture
def make_state(redis_server: RedisServer) -> MakeState:
    """Make what a copy of the service has of Redis."""
    redis_server.client.flushall()
    return lambda: SharedState(redis_server.url)


@pytest.mark.parametrize("value", [ANSWER, Tags(("a",), None, "t5-tags"), Tags(warnings=("no tags",))])
def test_what_is_written_is_read(value: Answer | Tags) -> None:
    found = wire.load(wire.dump(value))
    assert found == value
    assert [type(warning) for warning in found.warnings] == [type(warning) for warning in value.warnings]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"kind":"Answer","cut":[],"value":{"text":1}}', b"\x80\x04."])
def test_what_another_version_wrote_is_no_result(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of pydantic, or our own
        wire.load(data)


@pytest.mark.parametrize("error", [QueueTimeout("busy", 5.0), InvalidImage("broken"), NotFound("gone")])
def test_errors_keep_their_class(error: ServiceError) -> None:
    found = wire.load_error(wire.dump_error(error))
    assert type(found) is type(error)
    assert (found.detail, found.retry_after) == (error.detail, error.retry_after)


def test_unexpected_errors_are_not_told() -> None:
    assert "secret" not in str(wire.load_error(wire.dump_error(ValueError("/a/secret"))))
    assert isinstance(wire.load_error(wire.dump_error(MemoryError())), Unavailable)


def test_a_result_is_found_by_other_copies_of_the_same_version(make_state: MakeState) -> None:
    one, other = RedisCache(make_state(), "1"), RedisCache(make_state(), "1")
    one.put(("?", 1), ANSWER, time.monotonic())
    assert other.get(("?", 1)) == ANSWER
    assert other.get(("?", 2)) is None
    assert RedisCache(make_state(), "2").get(("?", 1)) is None


def test_what_was_begun_before_does_not_replace_what_was_begun_later(make_state: MakeState) -> None:
    cache, later = RedisCache(make_state(), "1"), Tags(("later",))
    now = time.monotonic()
    cache.put("?", later, now)
    cache.put("?", Tags(("earlier",)), now - 1)
    assert cache.get("?") == later
    cache.put("?", Tags(("newest",)), now + 1)
    assert cache.get("?") == Tags(("newest",))


def test_what_cannot_be_read_is_computed_again(make_state: MakeState, redis_server: RedisServer) -> None:
    cache = RedisCache(make_state(), "1")
    cache.put("?", Tags(("a",)), 1)
    (key,) = redis_server.client.keys("i2t:result:*")
    redis_server.client.hset(key, "result", b"\x80pickled")
    assert cache.get("?") is None


class Work:
    """Work that tells of two pages of three, and goes on when it is let, or is cancelled."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.go_on = threading.Event()
        self.was_cancelled = False

    def __call__(self, progress: ReportProgress, cancelled: IsCancelled) -> Any:
        progress(Progress("pages", 2, 3))
        while not self.go_on.wait(0.02):
            if cancelled():
                self.was_cancelled = True
                break
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def begin(operations: Operations, work: Work) -> Operation[Any]:
    return operations.submit(work, keep=True, detached=True)


@pytest.mark.parametrize("result", [ANSWER, b'{"document": 1}'])
def test_an_operation_is_found_by_the_other_copy(make_state: MakeState, result: Any) -> None:
    one, other = Operations(4, state=make_state()), Operations(4, state=make_state())
    work = Work(result)
    begun = begin(one, work)
    found = other.find(begun.id)
    assert found is not begun
    assert not found.wait(0)
    assert abs((found.created - begun.created).total_seconds()) < 0.001
    wait_until(lambda: other.find(begun.id).begun)
    assert other.find(begun.id).latest("pages") == Progress("pages", 2, 3)
    work.go_on.set()
    assert found.result() == result
    assert other.find(begun.id).done
    assert not found.failed


def test_an_export_and_an_error_are_found_by_the_other_copy(make_state: MakeState) -> None:
    one, other = Operations(4, state=make_state()), Operations(4, state=make_state())
    exported = Answer("a", "fake", (), export=b"\xff\x00pdf", export_as="pdf")
    works = Work(exported), Work(InvalidImage("broken"))
    begun, fails = (begin(one, work) for work in works)
    for work in works:
        work.go_on.set()
    assert other.find(begun.id).result() == exported
    found = other.find(fails.id)
    with pytest.raises(InvalidImage, match="broken"):
        found.result()
    assert found.failed


def test_an_operation_that_one_copy_forgets_the_other_cancels(make_state: MakeState) -> None:
    one, other = Operations(4, state=make_state()), Operations(4, state=make_state())
    works = Work(ANSWER), Work(ANSWER)
    running, done = (begin(one, work) for work in works)
    works[1].go_on.set()
    done.result()
    for operation in (running, done):
        other.forget(other.find(operation.id))
        for copy in (one, other):
            with pytest.raises(NotFound):
                copy.find(operation.id)
    wait_until(lambda: works[0].was_cancelled)
    wait_until(lambda: one.in_work == 0)
    with pytest.raises(NotFound):
        other.find(running.id)


def test_an_operation_whose_copy_was_killed_is_gone(make_state: MakeState, redis_server: RedisServer) -> None:
    state = make_state()
    one, other = Operations(4, state=state), Operations(4, state=make_state())
    work = Work(ANSWER)
    found = other.find(begin(one, work).id)
    # What is left of a killed copy, some seconds later.
    redis_server.client.delete(state.key("copy", state.copy))
    with pytest.raises(NotFound):
        other.find(found.id)
    with pytest.raises(NotFound, match="ended before it"):
        found.result()
    work.go_on.set()


def test_clients_are_counted_over_all_copies(make_state: MakeState, redis_server: RedisServer) -> None:
    states = make_state(), make_state()
    one, other = (Counts("requests", state) for state in states)
    assert [one.begin("me", 3), other.begin("me", 3), one.begin("me", 3)] == [True] * 3
    assert not other.begin("me", 3)
    assert other.begin("you", 3)
    assert Counts("documents", make_state()).begin("me", 1)
    one.end("me")
    assert other.begin("me", 3)
    assert not one.begin("me", 3)
    # What a killed copy had in work does not count.
    redis_server.client.delete(states[1].key("copy", states[1].copy))
    assert one.begin("me", 3)


def test_counts_end_at_nothing(make_state: MakeState, redis_server: RedisServer) -> None:
    counts = Counts("requests", make_state())
    for _ in range(3):
        assert counts.begin("me", 2)
        assert counts.begin("me", 2)
        counts.end("me")
        counts.end("me")
    assert redis_server.client.keys("i2t:in-work:*") == []


def test_while_redis_does_not_answer_a_copy_goes_on_alone(
    make_state: MakeState, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.3)
    cache, counts = RedisCache(make_state(), "1"), Counts("requests", make_state())
    one, other = Operations(4, state=make_state()), Operations(4, state=make_state())
    work = Work(ANSWER)
    operation = begin(one, work)
    redis_server.stop()
    try:
        assert cache.get("?") is None
        cache.put("?", Tags(("a",)), 1)
        assert [counts.begin("me", 1), counts.begin("me", 1)] == [True, False]
        work.go_on.set()
        assert operation.result() is ANSWER
        assert one.find(operation.id) is operation
        with pytest.raises(Unavailable, match="try again"):
            other.find("0")
        started = time.monotonic()
        for _ in range(1000):
            cache.get("?")
        assert time.monotonic() - started < 2, "requests wait for what has just failed"
        assert "this copy goes on alone" in caplog.text
        assert str(redis_server.port) not in caplog.text
    finally:
        redis_server.start()
    time.sleep(0.3)
    cache.put("?", Tags(("a",)), 1)
    assert cache.get("?") == Tags(("a",))


@pytest.mark.parametrize("setting", ["result_cache", "shared_state"])
def test_an_address_must_be_one_of_redis_and_is_not_told(setting: str) -> None:
    with pytest.raises(SettingsError, match=f"{setting.upper()}: .*Redis") as refused:
        Settings.read(**{setting: "http://:password@host"})
    assert "password" not in str(refused.value)
