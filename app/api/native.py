"""POST /generate-text and POST /generate-tags: this service's own protocol."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

from flask import Blueprint, Response, g, request, stream_with_context
from pydantic import BaseModel, ValidationError

from app.api.forms import Form, multipart, urlencoded
from app.api.problems import problem_of
from app.decoding.documents import is_pdf
from app.decoding.images import looks_like_image, what_is_read
from app.errors import BadRequest, ClientGone, InvalidOption, TooLarge, UnsupportedMedia
from app.exports import EXPORTS
from app.jobs import Steps
from app.schemas import Answer, GenerateOptions, Problem, Progress, Queued, TagOptions
from app.service import GenerateRequest, Result, Service

MAX_FIELD_BYTES = 500_000
MAX_TAG_BODY = 1_000_000
MAX_VALUES = 200_000
FILE_FIELDS = ("image_file", "Image_file")
"""The field of the upload; the second is its old spelling."""

_RAW = ("", "application/octet-stream", "application/pdf", "application/x-www-form-urlencoded")
_ACCEPTED = {"application/json": "json", "text/plain": "text", "text/event-stream": "events"}

_EVENT_NAMES = {Queued: "queued", Progress: "progress", Answer: "result", Problem: "error"}

_Options = TypeVar("_Options", bound=BaseModel)
_Fields = dict[str, Any]


def blueprint(service: Service, image_formats: Sequence[str], max_upload_bytes: int) -> Blueprint:
    """Return the routes of the native protocol."""
    native = Blueprint("native", __name__)

    @native.post("/generate-text")
    def generate_text() -> Response:
        """Turn an image or a document into text."""
        fields, image = _read(image_formats, max_upload_bytes)
        url = fields.pop("image_url", None) or None
        if url is not None and not isinstance(url, str):
            raise BadRequest("image_url must be a text")
        if (image is None) == (url is None):
            raise BadRequest("send exactly one image: either image_file or image_url")
        options = _validated(GenerateOptions, fields)
        wanted = options.format or _ACCEPTED[request.accept_mimetypes.best_match(_ACCEPTED) or "application/json"]
        if options.tags and wanted in EXPORTS:
            raise InvalidOption(f"an answer as {wanted} has no place for tags: leave tags out, or ask for JSON")
        asked = GenerateRequest(
            g.request_id, image, url, options, wanted, patient=wanted == "events", fresh=_wants_fresh()
        )
        steps = service.generate(asked)
        return _events(steps) if wanted == "events" else _rendered(_finished(steps), wanted)

    @native.post("/generate-tags")
    def generate_tags() -> Response:
        """Turn a text into tags."""
        request.max_content_length = MAX_TAG_BODY
        if request.mimetype != "application/json":
            raise UnsupportedMedia('send JSON, as {"text": "..."}, with Content-Type: application/json')
        return _json(service.tag(g.request_id, _validated(TagOptions, _json_fields()), _wants_fresh()))

    return native


def _wants_fresh() -> bool:
    """True when the client takes no answer that is known from an earlier request."""
    return bool(request.cache_control.no_cache)


def _finished(steps: Steps[Result]) -> Result:
    """Let the steps pass; stop when nobody waits for the result any more."""
    try:
        while True:
            next(steps)
            if _client_gone():
                steps.close()
                raise ClientGone("the client has gone")
    except StopIteration as end:
        result: Result = end.value
        return result


def _events(steps: Steps[Result]) -> Response:
    """Return the steps as Server-Sent Events: `queued` and `progress`, then one `result` or `error`."""
    # Until its first step a request can still be refused with a status of its own.
    first = next(steps)

    def stream() -> Iterator[str]:
        for step in chain([first], _to_the_end(steps)):
            if _client_gone():
                return
            yield f"event: {_EVENT_NAMES[type(step)]}\ndata: {step.model_dump_json(exclude_none=True)}\n\n"

    response = Response(stream_with_context(stream()), mimetype="text/event-stream")
    # However it ends, what is still to do is cancelled.
    response.call_on_close(steps.close)
    response.headers["Cache-Control"] = "no-store"
    # nginx would keep the events until there are enough to send.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _to_the_end(steps: Steps[Result]) -> Iterator[BaseModel]:
    """Yield the steps, and what they ended with."""
    try:
        result = yield from steps
    except Exception as error:
        yield problem_of(error)
    else:
        yield result.answer


def _client_gone() -> bool:
    """True once nobody waits for the answer any more, as far as the server can tell."""
    return bool(request.environ.get("waitress.client_disconnected", lambda: False)())


def _rendered(result: Result, format: str) -> Response:
    if result.export is None:
        return _json(result.answer)
    export = EXPORTS[format]
    response = Response(result.export, mimetype=export.mimetype)
    response.headers["Content-Disposition"] = f'inline; filename="{result.answer.id}{export.extension}"'
    return response


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), mimetype="application/json")


def _read(formats: Sequence[str], max_bytes: int) -> tuple[_Fields, bytes | None]:
    """Return the fields of the request, those of its query included, and the bytes of its image if it holds one."""
    kind = request.mimetype
    image: bytes | None = None
    if kind == "multipart/form-data":
        form = multipart(request.stream, request.mimetype_params.get("boundary", ""))
        fields, image = _form_fields(form), _uploaded(form)
    elif kind == "application/json":
        fields = _json_fields()
    elif kind == "application/x-www-form-urlencoded" and not _may_be_image(formats):
        fields = _form_fields(urlencoded(_body()))
        if _body() and not fields.keys() & {"image_url", *GenerateOptions.model_fields}:
            hint = "JSON with Content-Type: application/json" if _body().lstrip()[:1] == b"{" else what_is_read(formats)
            raise UnsupportedMedia(f"the body is neither a form nor an image: send {hint}")
    elif kind in _RAW or kind.startswith("image/"):
        # curl's --data-binary says x-www-form-urlencoded of whatever it sends.
        # Said to be an image, nothing is an empty one. One that is too large is not read at all.
        request.max_content_length = max_bytes
        fields, image = {}, _body() or (b"" if kind.startswith("image/") else None)
    else:
        raise UnsupportedMedia(f"{kind} is not read here: send a form, JSON, or the bytes of an image")
    return _merged(fields, _single(request.args.items(multi=True))), image


def _may_be_image(formats: Sequence[str]) -> bool:
    return looks_like_image(_body()[:64], formats) or is_pdf(_body()[:1024])


def _body() -> bytes:
    return request.get_data(cache=True)


def _form_fields(form: Form) -> _Fields:
    fields = _single(form.fields)
    for name, value in fields.items():
        # A data: URL has the image's own limit.
        if len(value) > MAX_FIELD_BYTES and not value[:5].lower() == "data:":
            raise TooLarge(f"the field {name[:100]!r} is longer than {MAX_FIELD_BYTES} bytes")
        if name in FILE_FIELDS:
            raise BadRequest(f"{name} must be a file (with curl: -F {name}=@photo.jpg)")
    return fields


def _uploaded(form: Form) -> bytes | None:
    images = []
    for name, filename, data in form.files:
        if name not in FILE_FIELDS:
            raise InvalidOption(f"there is no field {name!r} for a file: send the image as image_file")
        # A browser sends a part without a name when no file was chosen.
        if filename or data:
            images.append(data)
    if len(images) > 1:
        raise BadRequest(f"send exactly one image, not {len(images)}")
    return images[0] if images else None


def _json_fields() -> _Fields:
    # Each takes up to a hundred bytes of memory for one of the body. Nested without commas, they soon are too deep.
    if _body().count(b",") > MAX_VALUES:
        raise TooLarge(f"the JSON has more than {MAX_VALUES} values")
    try:
        fields = json.loads(_body(), object_pairs_hook=_single)
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply") from error
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadRequest("the JSON must be an object of fields")
    return fields


def _single(pairs: Iterable[tuple[str, Any]]) -> _Fields:
    """Return pairs as a dictionary; which of two equal names was meant, nobody can know."""
    fields: _Fields = {}
    for name, value in pairs:
        if name in fields:
            raise BadRequest(f"the field {name[:100]!r} came twice")
        fields[name] = value
    return fields


def _merged(fields: _Fields, more: _Fields) -> _Fields:
    return _single([*fields.items(), *more.items()])


def _validated(options: type[_Options], fields: _Fields) -> _Options:
    try:
        return options(**fields)
    except ValidationError as error:
        names = options.model_fields
        raise InvalidOption("; ".join(_sentence(dict(mistake), names) for mistake in error.errors()), None) from None


def _sentence(mistake: dict[str, Any], known: Iterable[str]) -> str:
    name = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"there is no option {name[:100]!r}; there are {', '.join(known)}"
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
