"""Steps as Server-Sent Events: `queued` and `progress`, then one `result` or `error`."""

import itertools
from collections.abc import Iterator

from flask import Response, request, stream_with_context
from pydantic import BaseModel

from app.api.problems import problem_of
from app.jobs import Steps
from app.service import Result


def events(steps: Steps[Result]) -> Response:
    """Return the steps of a request as they come. What is wrong with the request itself is an error as ever."""
    # Until its first step a request can still be refused with a status of its own.
    first = next(steps)
    gone = request.environ.get("waitress.client_disconnected", lambda: False)

    def stream() -> Iterator[str]:
        try:
            for step in itertools.chain([first], _steps(steps)):
                if gone():
                    return
                yield _event(type(step).__name__.lower(), step)
        finally:
            # Also when the server closes the stream, because its client has gone: cancels what is still to do.
            steps.close()

    def _steps(steps: Steps[Result]) -> Iterator[BaseModel]:
        try:
            result = yield from steps
        except Exception as error:
            yield problem_of(error)
        else:
            yield result.answer

    response = Response(stream_with_context(stream()), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # nginx would keep the events until there are enough to send.
    response.headers["X-Accel-Buffering"] = "no"
    return response


_NAMES = {"answer": "result", "problem": "error"}


def _event(name: str, data: BaseModel) -> str:
    return f"event: {_NAMES.get(name, name)}\ndata: {data.model_dump_json(exclude_none=True)}\n\n"
