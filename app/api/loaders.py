"""Loaders of documents: Open WebUI's external loader (`PUT /process`), and Tika's `PUT /tika/text`.

Both take a document as the body and want its text. Errors are `application/problem+json`, whose `detail` they show.
"""

from functools import partial
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, jsonify, request

from app.api.bodies import document
from app.api.door import Door
from app.api.paths import BYTES, operation
from app.api.reading import Reading
from app.errors import InvalidImage
from app.types import Answer


def door(reading: Reading) -> Door:
    """Return the front door of loaders."""
    loaders = Blueprint("loaders", __name__)

    @loaders.put("/process")
    def process() -> Response:
        """Return the text of a document as Open WebUI stores it."""
        answer = _read(reading)
        if not answer.text:
            # At these words Open WebUI takes its own loader.
            raise InvalidImage("No extractable text was found in the document")
        about = {"model": answer.model, "pages": len(answer.pages)}
        if name := unquote(request.headers.get("X-Filename", "")):
            about["source"] = name
        return jsonify({"page_content": answer.text, "metadata": about})

    @loaders.put("/tika/text")
    def tika() -> Response:
        """Return the text of a document as Tika does."""
        answer = _read(reading)
        return jsonify({"X-TIKA:content": answer.text, "Content-Type": _media_type(answer)})

    return Door(loaders, paths())


def _read(reading: Reading) -> Answer:
    """Read the document that is the body of the current request."""
    return reading.answer(reading.request(document(reading.gateway.max_bytes)))


def _media_type(answer: Answer) -> str:
    assert answer.image is not None
    format = answer.image.format.lower()
    return "application/pdf" if format == "pdf" else f"image/{format}"


_described = partial(operation, "loaders of documents", "The text, in JSON.", "`detail` says what is wrong.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    return {
        "/process": {"put": _described("process", "The text of a document, for Open WebUI", BYTES)},
        "/tika/text": {"put": _described("tikaText", "The text of a document, as Tika answers", BYTES)},
    }
