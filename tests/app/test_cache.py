"""What is remembered, for how long, and in how much memory."""

import pytest

from app.cache import ResultCache
from app.types import Answer, Page


def test_what_was_put_can_be_had_again() -> None:
    cache = ResultCache(10_000)
    cache.put("?", "made", started=1)
    assert (cache.get("?"), cache.get("!")) == ("made", None)


def test_what_was_begun_before_does_not_replace_what_was_begun_later() -> None:
    cache = ResultCache(10_000)
    cache.put("?", "fresh", started=2)
    cache.put("?", "older", started=1)
    assert cache.get("?") == "fresh"
    cache.put("?", "newest", started=3)
    assert cache.get("?") == "newest"


def test_a_limit_of_zero_remembers_nothing() -> None:
    cache = ResultCache(0)
    cache.put("?", "made", started=1)
    assert cache.get("?") is None


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(700)
    for key in "abc":
        cache.put(key, "x" * 180, started=1)
        cache.get("a")
        cache.put("short", "made", started=1)
    assert [cache.get(key) is not None for key in ("a", "b", "c", "short")] == [True, False, True, True]


def test_a_result_larger_than_the_limit_displaces_nothing() -> None:
    cache = ResultCache(200)
    cache.put("small", "made", started=1)
    cache.put("large", "x" * 200, started=1)
    assert (cache.get("small"), cache.get("large")) == ("made", None)


@pytest.mark.parametrize("part", ["text", "key"])
def test_all_parts_of_keys_and_results_count(part: str) -> None:
    cache = ResultCache(4_000)
    long = "x" * 5_000
    answer = Answer("made", "fake", (Page(1, 1, long if part == "text" else "made"),))
    cache.put(("?", long if part == "key" else "!"), answer, started=1)
    assert cache.get(("?", long if part == "key" else "!")) is None
