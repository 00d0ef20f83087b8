"""docling-serve's protocol: documents to Markdown and text, at once or in the background."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from flask import Blueprint, Response, jsonify, request

from app.api.bodies import Fields, json_fields
from app.api.door import Door
from app.api.forms import multipart
from app.api.gateway import Gateway
from app.api.options import languages_of
from app.api.paths import in_path, json_of, operation
from app.api.reading import Reading, markdown_of, percent_of
from app.api.schemas import Problem
from app.api.waiting import result_of, steps_of
from app.errors import BadRequest, InvalidOption, NotFound, QueueFull, ShuttingDown, UnsupportedMedia
from app.operations import HEARTBEAT
from app.shared.operations import FoundOperation
from app.types import Answer, IsCancelled, PageRanges, ReportProgress, Request

_FORMATS = ("md", "text")
_MAX_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A document to convert: the formats by docling's names, its pages, None for all, and its languages."""

    source: Request
    filename: str
    formats: Sequence[str] = ("md",)
    pages: PageRanges | None = None
    language: tuple[str, ...] | None = None

    @classmethod
    def of_form(cls) -> Self:
        """Read the form of the current request. Options that this service does not have are ignored."""
        if request.mimetype != "multipart/form-data":
            raise UnsupportedMedia("send the document as files in a form of multipart/form-data")
        form = multipart(request.stream, request.mimetype_params.get("boundary", ""))
        files = [(name, data) for field, name, data in form.files if field == "files"]
        if len(files) != 1:
            raise BadRequest(f"send one document as files, not {len(files)}")

        def values(name: str) -> list[str]:
            return [value for field, value in form.fields if field == name and value]

        (name, data) = files[0]
        return cls(
            Request(data),
            name,
            values("to_formats") or ["md"],
            _pages(values("page_range")),
            languages_of(values("ocr_lang")),
        )

    @classmethod
    def of_json(cls, gateway: Gateway) -> Self:
        """Read the JSON of the current request. Options that this service does not have are ignored."""
        fields = json_fields()
        sources = fields.get("sources")
        if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
            raise BadRequest("send one document in sources: with base64_string or url")
        (source,) = sources
        given = fields.get("options")
        options: Fields = given if isinstance(given, dict) else {}
        formats, pages = options.get("to_formats") or ["md"], options.get("page_range") or []
        named = options.get("ocr_lang") or []
        if not all(isinstance(given, list) for given in (formats, pages, named)):
            raise BadRequest("to_formats, page_range and ocr_lang must be lists")
        name = source.get("filename") or str(source.get("url") or "").rpartition("/")[2]
        document = gateway.image(source.get("base64_string") or source.get("url"))
        return cls(document, str(name), [str(format) for format in formats], _pages(pages), languages_of(named))


def door(reading: Reading) -> Door:
    """Return the front door of docling-serve's protocol."""
    docling = Blueprint("docling", __name__)

    @docling.post("/v1/convert/file")
    def convert_file() -> Response:
        """Convert an uploaded document."""
        return _convert(reading, Asked.of_form())

    @docling.post("/v1/convert/source")
    def convert_source() -> Response:
        """Convert a document that is in the JSON, or at an address."""
        return _convert(reading, Asked.of_json(reading.gateway))

    @docling.post("/v1/convert/file/async")
    def convert_file_later() -> Response:
        """Begin to convert an uploaded document."""
        return _start(reading, Asked.of_form())

    @docling.post("/v1/convert/source/async")
    def convert_source_later() -> Response:
        """Begin to convert a document that is in the JSON, or at an address."""
        return _start(reading, Asked.of_json(reading.gateway))

    @docling.get("/v1/status/poll/<id>")
    def poll(id: str) -> Response:
        """Say how far a conversion is; with `wait`, as soon as it has ended, or after so many seconds."""
        found = reading.find(id, bytes)
        seconds = request.args.get("wait", 0.0, type=float)
        if seconds > 0 and not found.done:
            _wait(reading, found, min(seconds, _MAX_WAIT))
        return jsonify(_task(found))

    @docling.get("/v1/result/<id>")
    def result(id: str) -> Response:
        """Return a document that was converted."""
        found = reading.find(id, bytes)
        if not found.done:
            raise NotFound("the document is not converted yet: poll until the task has ended")
        return _json(found.result())

    return Door(docling, paths(), ("/v1/convert/", "/v1/status/", "/v1/result/"), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in docling-serve's shape."""
    return {"detail": problem.detail}, {}


def _pages(bounds: Sequence[Any]) -> PageRanges | None:
    """Return the range of docling's `page_range`: first and last page."""
    if not bounds:
        return None
    try:
        first, last = (int(bound) for bound in bounds)
    except (TypeError, ValueError, OverflowError):
        raise InvalidOption("page_range must be two numbers of pages, the first and the last") from None
    if not 1 <= first <= last:
        raise InvalidOption("page_range: pages are counted from 1, and the first comes before the last")
    return ((first, last),)


def _convert(reading: Reading, asked: Asked) -> Response:
    started = time.monotonic()
    answer = reading.answer(reading.request(asked.source, pages=asked.pages, language=asked.language))
    return _json(_converted(asked, started, answer))


def _json(body: bytes) -> Response:
    return Response(body, mimetype="application/json")


def _start(reading: Reading, asked: Asked) -> Response:
    wanted = reading.request(asked.source, pages=asked.pages, language=asked.language)
    return jsonify(_task(reading.start(wanted, partial(_converted, asked, time.monotonic()))))


def _wait(reading: Reading, found: FoundOperation[bytes], seconds: float) -> None:
    """Wait until a task has ended, at most so long, as a request in work. Do not wait where those are too many."""
    end = time.monotonic() + seconds

    def work(_: ReportProgress, cancelled: IsCancelled) -> None:
        while not cancelled() and (left := end - time.monotonic()) > 0 and not found.wait(min(left, HEARTBEAT)):
            continue

    with suppress(QueueFull, ShuttingDown):
        result_of(steps_of(reading.operations.submit(work)))


def _converted(asked: Asked, started: float, answer: Answer) -> bytes:
    """Return a converted document, as JSON: as such it is kept. Formats that cannot be made are said in `errors`."""
    wanted = dict.fromkeys(asked.formats)
    errors = [
        {
            "component_type": "user_input",
            "module_name": "image-to-text",
            "error_message": f"the format {format[:50]} is not made here: ask for {' or '.join(_FORMATS)}",
        }
        for format in wanted
        if format not in _FORMATS
    ]
    made = len(errors) < len(wanted)
    converted = {
        "document": {
            "filename": asked.filename,
            "md_content": markdown_of(answer) if "md" in wanted else None,
            "text_content": answer.text if "text" in wanted else None,
            "html_content": None,
            "json_content": None,
            "doctags_content": None,
        },
        "status": ("partial_success" if made else "failure") if errors else "success",
        "errors": errors,
        "processing_time": time.monotonic() - started,
        "timings": {},
    }
    return json.dumps(converted).encode()


def _task(found: FoundOperation[bytes]) -> Fields:
    """Describe a task; `percent` is how much of the document is read."""
    status = "started" if found.begun else "pending"
    if found.done:
        status = "failure" if found.failed else "success"
    counts = {"num_docs": 1, "num_processed": int(found.done)}
    counts |= {"num_succeeded": int(status == "success"), "num_failed": int(status == "failure")}
    return {
        "task_id": found.id,
        "task_type": "convert",
        "task_status": status,
        "task_position": None,
        "task_meta": counts | {"percent": percent_of(found)},
    }


_described = partial(operation, "docling", "As docling-serve answers.", "`detail`, a text.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    files = {"type": "object", "properties": {"files": {"type": "string", "format": "binary"}}, "required": ["files"]}
    form, source = {"multipart/form-data": {"schema": files}}, json_of("sources", sources="array", options="object")
    found = in_path("id")
    return {
        "/v1/convert/file": {"post": _described("doclingFile", "Convert an uploaded document", form)},
        "/v1/convert/source": {"post": _described("doclingSource", "Convert a document", source)},
        "/v1/convert/file/async": {"post": _described("doclingFileLater", "Begin to convert an upload", form)},
        "/v1/convert/source/async": {"post": _described("doclingSourceLater", "Begin to convert a document", source)},
        "/v1/status/poll/{id}": found | {"get": _described("doclingPoll", "How far a conversion is")},
        "/v1/result/{id}": found | {"get": _described("doclingResult", "A document that was converted")},
    }
