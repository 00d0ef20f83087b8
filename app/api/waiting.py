"""Waiting for operations while their clients are there."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from flask import Response, request, stream_with_context

from app.api.problems import problem_of
from app.api.schemas import Problem
from app.errors import ClientGone
from app.operations import HEARTBEAT, Operation

KEEP_ALIVE = 5.0
"""Seconds after which a stream sends something although a model still works."""

_Result = TypeVar("_Result")
Steps = Generator[None, None, _Result]
"""A generator that yields at each heartbeat and returns the result."""


def steps_of(operation: Operation[_Result]) -> Steps[_Result]:
    """Wait for the result of an operation, return it, and leave the operation.

    Yields at once when nothing is wrong with the request as far as is known, and every `KEEP_ALIVE` seconds from then.

    Raises:
        ClientGone: the client has disconnected. The operation is cancelled if it has no other subscriber.
        ServiceError: what the operation ended with.
    """
    due = 0.0
    try:
        while not operation.wait(HEARTBEAT):
            if client_gone():
                raise ClientGone("the client has disconnected")
            if operation.begun and time.monotonic() >= due:
                yield
                due = time.monotonic() + KEEP_ALIVE
        return operation.result()
    finally:
        operation.leave()


def result_of(steps: Steps[_Result]) -> _Result:
    """Wait for the end of some steps, and return their result.

    Raises:
        ClientGone, ServiceError: as the steps do.
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def streamed(
    steps: Steps[_Result],
    mimetype: str,
    beat: str,
    said: Callable[[_Result], Iterable[str]],
    failed: Callable[[Problem], str],
) -> Response:
    """Return a stream that answers with the result of some steps.

    What is wrong with the request before the first step is raised, so that it has a status of its own.

    Args:
        steps: the work.
        mimetype: of the stream.
        beat: what is sent while the work goes on, because clients give up where nothing comes.
        said: makes the end of the stream of the result.
        failed: makes the end of the stream of an error that comes too late for a status.
    """
    try:
        next(steps)
    except StopIteration as end:
        return unbuffered(said(end.value), mimetype)

    def rest() -> Iterator[str]:
        while True:
            yield beat
            try:
                next(steps)
            except StopIteration as end:
                yield from said(end.value)
                return
            except Exception as error:
                yield failed(problem_of(error))
                return

    response = unbuffered(stream_with_context(rest()), mimetype)
    # A client may hang up before the stream begins.
    response.call_on_close(steps.close)
    return response


def unbuffered(body: Iterable[str], mimetype: str) -> Response:
    """Return a response that nobody on the way may keep until it is whole."""
    response = Response(body, mimetype=mimetype)
    response.headers["Cache-Control"] = "no-store"
    # nginx would keep the stream until there is enough to send.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def client_gone() -> bool:
    """Return whether the client has disconnected, as far as the server knows."""
    return bool(request.environ.get("waitress.client_disconnected", lambda: False)())
