"""POST /generate-text and POST /generate-tags: this service's own protocol."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TypeVar

from flask import Blueprint, Response, g, request, stream_with_context
from pydantic import BaseModel, ValidationError

from app.api.bodies import Fields, json_fields, read_image
from app.api.downloads import Downloads
from app.api.options import NAMES, GenerateOptions, TagOptions, sentence_of
from app.api.problems import problem_of
from app.api.replies import json_response
from app.api.schemas import Answer, Problem, Progress, Queued, TagAnswer, event_of
from app.api.waiting import client_gone, result_of, steps_of, unbuffered
from app.errors import BadRequest, ClientGone, InvalidOption, NotAcceptable, NotFound, UnsupportedMedia
from app.exports import EXPORTS
from app.operations import HEARTBEAT, Operation, Operations
from app.service import Service
from app.types import Answer as ServiceAnswer
from app.types import Request, TagRequest

MAX_TAG_BODY = 1_000_000
_EVENTS = "text/event-stream"
_ACCEPTED = {
    "application/json": "json",
    "text/plain": "text",
    _EVENTS: "events",
    **{export.mimetype.partition(";")[0]: name for name, export in EXPORTS.items()},
}
_EVENT_NAMES = {Queued: "queued", Progress: "progress", Answer: "result", Problem: "error"}
_FIELDS = frozenset({"image_url", *NAMES})

_Options = TypeVar("_Options", bound=BaseModel)


def blueprint(
    service: Service,
    operations: Operations,
    downloads: Downloads,
    image_formats: Sequence[str],
    max_upload_bytes: int,
) -> Blueprint:
    """Return the routes of the native protocol."""
    native = Blueprint("native", __name__)

    @native.post("/generate-text")
    def generate_text() -> Response:
        """Turn an image or a document into text."""
        asked, wanted = _request(image_formats, max_upload_bytes)
        asked = replace(asked, may_download=downloads.of_caller())
        streams = wanted == "events"
        work = partial(service.generate, asked)
        operation = operations.submit(work, asked.key, asked.fresh, keep=streams and asked.export is not None)
        return _events(operation) if streams else _rendered(result_of(steps_of(operation)))

    @native.get("/exports/<id>")
    def export(id: str) -> Response:
        """Return the export that a `result` event names."""
        operation = operations.find(id)
        answer = operation.result() if operation.done else None
        if not isinstance(answer, ServiceAnswer) or answer.export is None:
            raise NotFound("there is no export at this address")
        return _rendered(answer)

    @native.post("/generate-tags")
    def generate_tags() -> Response:
        """Turn a text into tags."""
        request.max_content_length = MAX_TAG_BODY
        if request.mimetype != "application/json":
            raise UnsupportedMedia('send JSON, as {"text": "..."}, with Content-Type: application/json')
        options = _validated(TagOptions, json_fields())
        asked = TagRequest(options.text, options.tagger, _wants_fresh(), downloads.of_caller())
        operation = operations.submit(partial(service.tag, asked), asked.key, asked.fresh)
        tags = result_of(steps_of(operation))
        return json_response(TagAnswer.of(tags, g.request_id))

    return native


def _request(formats: Sequence[str], max_upload_bytes: int) -> tuple[Request, str]:
    """Return the request to the service, and the format of the answer: `json`, `events` or a name of EXPORTS."""
    fields, image = read_image(formats, max_upload_bytes, _FIELDS)
    url = fields.pop("image_url", None) or None
    if url is not None and not isinstance(url, str):
        raise BadRequest("image_url must be a string: an http, https or data: URL")
    if (image is None) == (url is None):
        raise BadRequest("send exactly one image: either image_file or image_url")
    options = _validated(GenerateOptions, fields)
    wanted = options.format or _accepted()
    export = wanted if wanted in EXPORTS else None
    # Events may come with an export.
    if export is not None and request.accept_mimetypes.best_match(_ACCEPTED) == _EVENTS:
        wanted = "events"
    if options.tags and wanted in EXPORTS:
        raise InvalidOption(f"an answer as {wanted} has no place for tags: leave tags out, or ask for JSON")
    patient = wanted == "events"
    return Request(image, url, options.to_options(), export, patient, _wants_fresh(), options.store), wanted


def _accepted() -> str:
    """Return the format that the Accept header asks for.

    Raises:
        NotAcceptable: the header accepts none of the formats.
    """
    if not request.accept_mimetypes:
        return "json"
    if (best := request.accept_mimetypes.best_match(_ACCEPTED)) is None:
        raise NotAcceptable(f"Accept allows none of {', '.join(_ACCEPTED)}: accept one of these, or set format")
    return _ACCEPTED[best]


def _wants_fresh() -> bool:
    """Return whether the client asks for a new answer instead of a cached one (Cache-Control: no-cache)."""
    return bool(request.cache_control.no_cache)


def _events(operation: Operation[ServiceAnswer]) -> Response:
    """Return an operation as Server-Sent Events: `queued` and `progress`, then one `result` or `error`."""
    request_id = g.request_id
    while not operation.wait(HEARTBEAT, or_begun=True):
        if client_gone():
            operation.leave()
            raise ClientGone("the client has disconnected")
    events = operation.events()
    # An operation that ends before its first event gets an ordinary response, so that an error has its own status.
    first = next(events, None)
    if first is None:
        answer = result_of(steps_of(operation))
        return unbuffered([_event(Answer.of(answer, request_id, _export_address(operation, answer)))], _EVENTS)

    subscription = ExitStack()
    subscription.callback(operation.leave)

    def stream() -> Iterator[str]:
        with subscription:
            for progress in chain([first], events):
                if client_gone():
                    return
                yield _event(event_of(progress))
            yield _event(_outcome(operation, request_id))

    response = unbuffered(stream_with_context(stream()), _EVENTS)
    # If the client disconnects before the stream begins, the generator never runs: leave the operation on close too.
    response.call_on_close(subscription.close)
    return response


def _outcome(operation: Operation[ServiceAnswer], request_id: str) -> Answer | Problem:
    try:
        answer = operation.result()
        return Answer.of(answer, request_id, _export_address(operation, answer))
    except Exception as error:
        return problem_of(error)


def _export_address(operation: Operation[ServiceAnswer], answer: ServiceAnswer) -> str | None:
    return None if answer.export is None else f"exports/{operation.id}"


def _event(data: BaseModel) -> str:
    return f"event: {_EVENT_NAMES[type(data)]}\ndata: {data.model_dump_json(exclude_none=True)}\n\n"


def _rendered(answer: ServiceAnswer) -> Response:
    if answer.export is None or answer.export_as is None:
        return json_response(Answer.of(answer, g.request_id))
    export = EXPORTS[answer.export_as]
    response = Response(answer.export, mimetype=export.mimetype)
    response.headers["Content-Disposition"] = f'inline; filename="{g.request_id}{export.extension}"'
    return response


def _validated(options: type[_Options], fields: Fields) -> _Options:
    try:
        return options(**fields)
    except ValidationError as error:
        raise InvalidOption("; ".join(sentence_of(dict(each), options) for each in error.errors()), None) from None
