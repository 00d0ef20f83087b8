"""The same question twice: one inference while it is in work, none later, and nobody's leaving cancels another's."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from app.errors import InvalidImage
from app.jobs import Steps, finish
from app.results import Results
from app.schemas import Progress, Queued
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import Server


class Maker:
    """Makes "made 1", "made 2", ... in three steps; each waits until it may go on."""

    def __init__(self, free: bool = True) -> None:
        self.begun = 0
        self.cancelled = 0
        self.may_go_on = threading.Semaphore(1_000_000 if free else 0)

    def __call__(self) -> Steps[str]:
        self.begun += 1
        said = f"made {self.begun}"
        try:
            for done in range(3):
                assert self.may_go_on.acquire(timeout=30)
                yield Progress(stage="lines", done=done, found=3)
        except GeneratorExit:
            self.cancelled += 1
            raise
        return said


def ask(results: Results, maker: Callable[[], Steps[Any]], question: str = "?", fresh: bool = False) -> Steps[Any]:
    return results.of(question, maker, lambda result: result, fresh)


def test_a_second_time_comes_from_memory() -> None:
    results, maker = Results(10_000), Maker()
    assert finish(ask(results, maker)) == ("made 1", False)
    steps = ask(results, maker)
    assert next(steps) == Queued(position=0)
    assert finish(steps) == ("made 1", True)
    assert finish(ask(results, maker, "another")) == ("made 2", False)


def test_fresh_is_made_anew_and_then_known() -> None:
    results, maker = Results(10_000), Maker()
    finish(ask(results, maker))
    assert finish(ask(results, maker, fresh=True)) == ("made 2", False)
    assert finish(ask(results, maker)) == ("made 2", True)


def test_what_was_begun_before_a_fresh_one_does_not_replace_it() -> None:
    results, maker = Results(10_000), Maker()
    older, fresh = ask(results, maker), ask(results, maker, fresh=True)
    next(older), next(fresh)
    # Who comes now waits for the fresh one.
    newcomer = ask(results, maker)
    next(newcomer)
    assert [finish(steps) for steps in (fresh, newcomer, older)] == [
        ("made 2", False),
        ("made 2", False),
        ("made 1", False),
    ]
    assert finish(ask(results, maker)) == ("made 2", True)


def test_who_comes_after_an_error_is_not_told_it_although_others_have_yet_to_hear_it() -> None:
    results, maker = Results(10_000), Maker()

    def breaks() -> Steps[str]:
        yield Queued(position=2)
        yield Queued(position=1)
        raise InvalidImage("broken")

    first, second = ask(results, breaks), ask(results, breaks)
    next(first), next(second)
    with pytest.raises(InvalidImage):
        finish(first)
    assert finish(ask(results, maker)) == ("made 1", False)
    with pytest.raises(InvalidImage):
        finish(second)


def test_a_limit_of_zero_neither_remembers_nor_shares() -> None:
    results, maker = Results(0), Maker()
    first, second = ask(results, maker), ask(results, maker)
    next(first), next(second)
    assert [finish(first), finish(second), finish(ask(results, maker))] == [(f"made {n}", False) for n in (1, 2, 3)]


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    results, maker = Results(400), Maker()  # a text of 8 letters has some 50 bytes, as has its question

    def long() -> Steps[str]:
        yield Queued(position=0)
        return "x" * 180

    for question in "abc":
        finish(ask(results, long, question))
        finish(ask(results, maker, "short"))
    assert [finish(ask(results, maker, "short"))[1], finish(ask(results, long, "c"))[1]] == [True, True]
    assert not finish(ask(results, long, "a"))[1]


def test_a_result_larger_than_the_limit_displaces_nothing() -> None:
    results, maker = Results(150), Maker()

    def large() -> Steps[list[str]]:
        yield Queued(position=0)
        return ["x" * 60, "y" * 60]

    finish(ask(results, maker, "small"))
    assert not finish(ask(results, large, "large"))[1]
    assert not finish(ask(results, large, "large"))[1]
    assert finish(ask(results, maker, "small"))[1]


def test_a_question_takes_memory_too() -> None:
    results, maker = Results(10_000), Maker()
    finish(ask(results, maker, "a text that was tagged" * 1_000))
    assert not finish(ask(results, maker, "a text that was tagged" * 1_000))[1]
    assert finish(ask(results, maker, "another"))[0] == "made 3"
    assert finish(ask(results, maker, "another"))[1]


def test_only_what_lasts_is_remembered() -> None:
    results, maker = Results(10_000), Maker()
    assert finish(results.of("?", maker, lambda result: None)) == ("made 1", False)
    assert finish(results.of("?", maker, str.upper)) == ("made 2", False)
    assert finish(results.of("?", maker, str.upper)) == ("MADE 2", True)


def test_many_at_once_share_one() -> None:
    results, maker = Results(10_000), Maker(free=False)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(finish, ask(results, maker)) for _ in range(8)]
        wait_until(lambda: maker.begun == 1)
        maker.may_go_on.release(3)
        assert {answer.result(30)[0] for answer in answers} == {"made 1"}
    assert maker.begun == 1


@pytest.mark.parametrize("leaves", ["first", "second"])
def test_who_leaves_leaves_it_to_the_others(leaves: str) -> None:
    results, maker = Results(10_000), Maker()
    steps = {"first": ask(results, maker), "second": ask(results, maker)}
    assert [next(one).model_dump()["done"] for one in steps.values()] == [0, 1], "they take turns"
    steps.pop(leaves).close()
    (stays,) = steps.values()
    assert finish(stays) == ("made 1", False)
    assert (maker.begun, maker.cancelled) == (1, 0)


def test_when_the_last_one_leaves_it_is_cancelled_and_begun_anew_by_the_next() -> None:
    results, maker = Results(10_000), Maker()
    steps = [ask(results, maker), ask(results, maker)]
    for one in steps:
        next(one)
    for one in steps:
        assert maker.cancelled == 0
        one.close()
    assert maker.cancelled == 1
    assert finish(ask(results, maker)) == ("made 2", False)


def test_an_error_is_told_to_all_and_not_remembered() -> None:
    results, maker = Results(10_000), Maker()

    def fails() -> Steps[str]:
        yield Queued(position=1)
        raise InvalidImage("broken")

    steps = [ask(results, fails), ask(results, fails)]
    next(steps[0])
    for one in steps:
        with pytest.raises(InvalidImage, match="broken"):
            finish(one)
    assert finish(ask(results, maker)) == ("made 1", False)


def test_what_is_no_exception_is_told_to_all_as_well() -> None:
    class Panic(BaseException):
        """As libraries in Rust raise it."""

    def panics() -> Steps[str]:
        yield Queued(position=1)
        raise Panic

    results = Results(10_000)
    steps = [ask(results, panics), ask(results, panics)]
    next(steps[0])
    for one in steps:
        with pytest.raises(Panic):
            finish(one)


def test_random_comings_and_goings_leave_nothing_behind() -> None:
    results = Results(1_000)
    makers = [Maker() for _ in range(5)]

    def visitor(number: int) -> None:
        for turn in range(40):
            which = (number * 7 + turn * 3) % 5
            steps = ask(results, makers[which], str(which), fresh=turn % 7 == 0)
            if (number + turn) % 3:
                assert finish(steps)[0].startswith("made ")
            else:
                next(steps)
                steps.close()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(visitor, number) for number in range(8)]:
            done.result(60)
    assert not results._in_the_making


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
