"""Errors that happen before or beside the use case, and what is left of them."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.api import problems
from app.errors import InvalidImage

Fail = Callable[[], str]


@pytest.fixture
def answer_to() -> Iterator[Callable[[Fail], TestResponse]]:
    """Returns what a client gets from a view that fails, while nothing collects garbage."""

    def answer(fail: Fail) -> TestResponse:
        app = Flask(__name__)
        problems.register(app, [])
        app.get("/")(fail)
        return app.test_client().get("/")

    gc.collect()
    gc.disable()
    yield answer
    gc.enable()


def test_memory_that_does_not_suffice_may_the_next_time(answer_to: Callable[[Fail], TestResponse]) -> None:
    def fail() -> str:
        raise MemoryError

    answer = answer_to(fail)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("converted", [False, True])
def test_what_a_failed_request_held_is_free_at_once(answer_to: Callable[[Fail], TestResponse], converted: bool) -> None:
    class Upload:
        pass

    uploads: list[weakref.ref[Upload]] = []

    def fail() -> str:
        upload = Upload()
        uploads.append(weakref.ref(upload))
        # A frame that holds the error which holds it, as whoever shares a result in the making has one.
        error = ValueError("cut off") if converted else InvalidImage("broken")
        try:
            raise error
        except ValueError as cause:
            raise InvalidImage("broken") from cause

    assert answer_to(fail).status_code == 422
    assert uploads[0]() is None
