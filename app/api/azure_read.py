"""Azure Document Intelligence's `prebuilt-read`: documents are analysed in the background, and polled for.

The protocol is that of api-version 2024-11-30. paperless-ngx speaks it for remote OCR.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from app.api.bodies import document, json_fields
from app.api.door import Door
from app.api.gateway import Gateway
from app.api.options import languages_of, page_ranges
from app.api.paths import BYTES, in_path, json_of, operation
from app.api.problems import problem_of
from app.api.reading import Reading, markdown_of, pages_of, percent_of
from app.api.schemas import Problem
from app.errors import BadRequest, NotFound
from app.exports import Page
from app.exports.layout import Corners, TextLine, blocks
from app.shared.operations import FoundOperation
from app.types import Answer, Request
from models.found import Polygon

_MODELS = ("prebuilt-read", "prebuilt-layout")
_API_VERSION = "2024-11-30"
_POLL_AFTER = "1"
"""Seconds; without them, Azure's SDK polls every thirty."""
_CODES = {
    400: "InvalidArgument",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    413: "InvalidContentLength",
    415: "UnsupportedContent",
    422: "InvalidContent",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
_POINTS = 72.0
"""In an inch, in which the places on pages of a PDF are given."""
_RESULT = "/documentintelligence/documentModels/<model>/analyzeResults/<id>"


def door(reading: Reading) -> Door:
    """Return the front door of Azure's protocol."""
    azure = Blueprint("azure_read", __name__)

    @azure.post("/documentintelligence/documentModels/<model>:analyze")
    def analyze(model: str) -> Response:
        """Begin to read a document."""
        wanted = reading.request(
            _document(reading.gateway),
            reading.reader(model, _MODELS),
            page_ranges(request.args.get("pages") or None),
            "pdf" if "pdf" in request.args.get("output", "").split(",") else None,
            languages_of(request.args.get("locale")),
        )
        started = reading.start(wanted, lambda answer: answer)
        return Response(
            status=202, headers={"Operation-Location": _address(model, started.id), "Retry-After": _POLL_AFTER}
        )

    @azure.get(_RESULT)
    def result(model: str, id: str) -> Response:
        """Say how far a document is, and what is on it once it is read."""
        found = reading.find(id, Answer)
        response = jsonify(_operation(found, model, request.args.get("outputContentFormat") == "markdown"))
        if not found.done:
            response.headers["Retry-After"] = _POLL_AFTER
        return response

    @azure.get(f"{_RESULT}/pdf")
    def pdf(model: str, id: str) -> Response:
        """Return the searchable PDF of a document."""
        found = reading.find(id, Answer)
        if not found.done:
            raise NotFound("the document is not read yet: poll until its status is succeeded")
        if (export := found.result().export) is None:
            raise NotFound("the document was analysed without a PDF: ask for it with output=pdf")
        return Response(export, mimetype="application/pdf")

    @azure.delete(_RESULT)
    def delete(model: str, id: str) -> Response:
        """Stop reading a document, and forget what was read."""
        reading.operations.forget(reading.find(id, Answer))
        return Response(status=204)

    return Door(azure, paths(), ("/documentintelligence/",), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in Azure's shape."""
    inner = {"code": problem.code, "message": problem.detail}
    code = _CODES.get(problem.status, problem.title.title().replace(" ", ""))
    return {"error": {"code": code, "message": problem.detail, "innererror": inner}}, {}


def _address(model: str, id: str) -> str:
    """Return the address to poll. It holds the format, which is not kept here."""
    kept = {
        "api-version": request.args.get("api-version", _API_VERSION),
        "outputContentFormat": request.args.get("outputContentFormat", "text"),
    }
    return url_for("azure_read.result", model=model, id=id, _external=True, **kept)


def _document(gateway: Gateway) -> Request:
    """Return the document of the current request: in JSON as base64 or an address, or as the body."""
    if request.mimetype != "application/json":
        return document(gateway.max_bytes)
    fields = json_fields()
    sources = [fields[name] for name in ("base64Source", "urlSource") if fields.get(name)]
    if len(sources) != 1:
        raise BadRequest("send the document as base64Source, or its address as urlSource")
    return gateway.image(sources[0])


def _operation(found: FoundOperation[Answer], model: str, markdown: bool) -> dict[str, Any]:
    times = {"createdDateTime": _time(found.created), "lastUpdatedDateTime": _time(found.updated_at)}
    if not found.done:
        return {"status": "running" if found.begun else "notStarted", **times, "percentCompleted": percent_of(found)}
    try:
        answer = found.result()
    except Exception as error:
        return {"status": "failed", **times, **error_of(problem_of(error))[0]}
    return {"status": "succeeded", **times, "percentCompleted": 100, "analyzeResult": _result(answer, model, markdown)}


def _time(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _result(answer: Answer, model: str, markdown: bool) -> dict[str, Any]:
    head = {"apiVersion": _API_VERSION, "modelId": model, "stringIndexType": "unicodeCodePoint"}
    content = _Content()
    pages = [
        _page(page, one.number, content, not markdown) for page, one in zip(pages_of(answer), answer.pages, strict=True)
    ]
    if markdown:
        return {**head, "contentFormat": "markdown", "content": markdown_of(answer), "pages": pages}
    return {**head, "contentFormat": "text", "content": str(content), "pages": pages}


class _Content:
    """The texts of all lines, with where each of them stands in the whole."""

    def __init__(self) -> None:
        self.length = 0
        self._parts: list[str] = []

    def __str__(self) -> str:
        return "".join(self._parts)

    def add(self, text: str, gap: str) -> int:
        """Add a text, after a gap unless it is the first; return where it begins."""
        offset = self.length + (len(gap) if self._parts else 0)
        self._parts += [gap, text] if self._parts else [text]
        self.length = offset + len(text)
        return offset


def _page(page: Page, number: int, content: _Content, with_lines: bool) -> dict[str, Any]:
    """Describe a page, and add its text to the content.

    The places of lines are in its text; Markdown has other characters, so that it goes without.
    """
    unit, scale = "pixel", 1.0
    if page.points is not None:
        unit, scale = "inch", page.points[0] / page.width / _POINTS
    size = {"width": round(page.width * scale, 4), "height": round(page.height * scale, 4), "unit": unit}
    described = {"pageNumber": number + 1, **size, "spans": []}
    if not with_lines:
        return described
    lines: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    start = None
    for block in blocks(page):
        for position, line in enumerate(block.lines):
            offset = content.add(line.text, "\n" if position else "\n\n")
            start = offset if start is None else start
            span = {"offset": offset, "length": len(line.text)}
            lines.append({"content": line.text, "polygon": _polygon(line.corners, scale), "spans": [span]})
            words += _words(line, offset, scale)
    spans = [] if start is None else [{"offset": start, "length": content.length - start}]
    marks = [
        {"state": box.state, "polygon": _polygon(_on(page, box.polygon), scale), "confidence": 1.0}
        for line in page.lines
        for box in line.checkboxes
    ]
    found = {"selectionMarks": marks} if marks else {}
    return {**described, "spans": spans, "words": words, "lines": lines, **found}


def _words(line: TextLine, offset: int, scale: float) -> Iterator[dict[str, Any]]:
    position = 0
    for word in line.words:
        # Those of a table's row come cell by cell, not always as the row's text has them.
        place = line.text.find(word.text, position)
        if place < 0:
            place = line.text.find(word.text)
        # A word that is not in the text has an empty place there.
        found, length = (place, len(word.text)) if place >= 0 else (position, 0)
        position = found + length
        left, top, right, bottom = word.box
        corners = (left, top), (right, top), (right, bottom), (left, bottom)
        yield {
            "content": word.text,
            "polygon": _polygon(corners, scale),
            # Models give the confidence of a line.
            "confidence": round(line.confidence, 3),
            "span": {"offset": offset + found, "length": length},
        }


def _on(page: Page, polygon: Polygon) -> Corners:
    """Return a polygon in pixels of a page."""
    a, b, c, d = ((x * page.width, y * page.height) for x, y in polygon)
    return a, b, c, d


def _polygon(corners: Corners, scale: float) -> list[float]:
    return [round(side * scale, 4) for corner in corners for side in corner]


_described = partial(operation, "Azure Document Intelligence", "As Azure answers.", "Azure's error JSON.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    document = BYTES | json_of(base64Source="string", urlSource="string")
    asked = {
        "parameters": [
            *in_path("model")["parameters"],
            *({"name": name, "in": "query", "schema": {"type": "string"}} for name in _QUERY),
        ]
    }
    path = "/documentintelligence/documentModels/{model}"
    of_result = f"{path}/analyzeResults/{{id}}"
    return {
        f"{path}:analyze": asked | {"post": _described("azureAnalyze", "Begin to read a document", document, 202)},
        of_result: in_path("model", "id")
        | {
            "get": _described("azureResult", "How far a document is, and what is on it"),
            "delete": _described("azureDelete", "Stop reading a document, and forget it", status=204),
        },
        f"{of_result}/pdf": in_path("model", "id") | {"get": _described("azurePdf", "The searchable PDF")},
    }


_QUERY = ("api-version", "pages", "output", "outputContentFormat", "locale")
