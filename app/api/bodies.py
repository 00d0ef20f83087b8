"""Reads the image and the fields of a request from its body: a form, JSON, or the bytes of the image."""

import json
import re
from collections.abc import Container, Iterable, Sequence
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.forms import FILE_FIELDS, Form, multipart, urlencoded
from app.decoding.documents import is_pdf
from app.decoding.images import looks_like_image, what_is_read
from app.errors import BadRequest, InvalidOption, TooLarge, UnsupportedMedia
from app.fetching.data_url import decode_base64, decode_data_url, is_data_url
from app.types import Request

MAX_FIELD_BYTES = 500_000
MAX_VALUES = 200_000

_RAW = ("", "application/octet-stream", "application/pdf", "application/x-www-form-urlencoded")

_LIKE_AN_IMAGE = re.compile(
    r"[\w-]{,20}(image|img|photo|pic|file|upload|document|pdf|ur[il]|link|src|source|data|content|input|64)[\w-]{,20}",
    re.I,
)
"""Names under which other services expect the image. No option of this service matches."""

Fields = dict[str, Any]


def read_image(formats: Sequence[str], max_bytes: int, known: Container[str]) -> tuple[Fields, bytes | None]:
    """Return the fields of the request, those of its query included, and the bytes of its image if it holds one.

    Args:
        formats: image formats by Pillow's names. A body with an ambiguous Content-Type is recognised by its content.
        max_bytes: the largest image that is the whole body.
        known: the names of all fields. Text without any of them is not taken for a form.

    Raises:
        BadRequest: the body is malformed or ambiguous, or a field comes twice.
        TooLarge: a field or the image exceeds its limit.
        UnsupportedMedia: the type of the body is not supported.
    """
    kind = request.mimetype
    image: bytes | None = None
    if kind == "multipart/form-data":
        form = multipart(request.stream, request.mimetype_params.get("boundary", ""))
        fields, image = _form_fields(form), _uploaded(form)
    elif kind == "application/json":
        fields = json_fields()
    elif kind == "application/x-www-form-urlencoded" and not _may_be_image(formats):
        fields = _form_fields(urlencoded(_body()))
        _refuse_other_names(fields, known)
        if _body() and not any(name in known for name in fields):
            hint = "JSON with Content-Type: application/json" if _body().lstrip()[:1] == b"{" else what_is_read(formats)
            raise UnsupportedMedia(f"the body is neither a form nor an image: send {hint}")
    elif kind in _RAW or kind.startswith("image/"):
        # curl --data-binary sends everything as application/x-www-form-urlencoded.
        # An empty body with an image Content-Type is an empty image (422), not a missing one (400).
        fields, image = {}, _file(max_bytes) or (b"" if kind.startswith("image/") else None)
    else:
        raise UnsupportedMedia(f"{kind} is not read here: send a form, JSON, or the bytes of an image")
    if image is None:
        _refuse_other_names(fields, known)
    return _merged(fields, _single(request.args.items(multi=True))), image


def _may_be_image(formats: Sequence[str]) -> bool:
    return looks_like_image(_body()[:64], formats) or is_pdf(_body()[:1024])


def document(max_bytes: int) -> Request:
    """Return the document that is the body, whatever its Content-Type says, as a request without options.

    Raises:
        BadRequest: the body is empty.
        TooLarge: it is larger than `max_bytes`.
    """
    if not (body := _file(max_bytes)):
        raise BadRequest("the body is empty: send a document")
    return Request(body)


def _file(max_bytes: int) -> bytes:
    """Return the body, which is a file. One that is too large is refused before it is read, unless something has read
    it already, up to the limit of all bodies: `_may_be_image` does.

    Raises:
        TooLarge: it is larger than `max_bytes`.
    """
    request.max_content_length = max_bytes
    try:
        body = _body()
    except RequestEntityTooLarge as error:
        raise TooLarge.image(max_bytes) from error
    if len(body) > max_bytes:
        raise TooLarge.image(max_bytes)
    return body


def _body() -> bytes:
    return request.get_data(cache=True)


def _form_fields(form: Form) -> Fields:
    fields = _single(form.fields)
    for name, value in fields.items():
        # A data: URL has the limit of images instead.
        if len(value) > MAX_FIELD_BYTES and not is_data_url(value):
            raise TooLarge(f"the field {name[:100]!r} is longer than {MAX_FIELD_BYTES} bytes")
        if name in FILE_FIELDS:
            raise BadRequest(
                f"{name} must be a file (with curl: -F {name}=@photo.jpg): send an address or a data: URL as image_url"
            )
    return fields


def _refuse_other_names(fields: Fields, known: Container[str]) -> None:
    """Refuse an unknown field whose name suggests an image, as in `{"image": "..."}`, and name the right one."""
    for name in fields:
        if name not in known and _LIKE_AN_IMAGE.fullmatch(name):
            raise BadRequest(
                f"there is no field {name!r}: send an address, or base64 as data:image/png;base64,..., as image_url; "
                "or in a form a file as image_file"
            )


def _uploaded(form: Form) -> bytes | None:
    images = []
    for name, filename, data in form.files:
        if name not in FILE_FIELDS:
            raise InvalidOption(f"there is no field {name!r} for a file: send the image as image_file")
        # When no file was chosen, a browser sends an empty part without a file name.
        if filename or data:
            images.append(data)
    if len(images) > 1:
        raise BadRequest(f"send exactly one image, not {len(images)}")
    return images[0] if images else None


def source_of(text: Any, max_bytes: int) -> Request:
    """Return the file that a URL, a `data:` URL or plain base64 stands for, as a request without options.

    Raises:
        BadRequest: it is none of these.
        TooLarge: the file is larger than `max_bytes`.
    """
    if not isinstance(text, str) or not text:
        raise BadRequest("an image must be an address, a data: URL or base64")
    if is_data_url(text):
        return Request(decode_data_url(text, max_bytes))
    if re.match(r"\s*https?://", text, re.I):
        return Request(image_url=text)
    return Request(decode_base64(text.encode(errors="replace"), max_bytes))


def json_fields() -> Fields:
    """Return the fields of a JSON object that is the body.

    Raises:
        BadRequest, TooLarge: as `fields_of` does.
    """
    return fields_of(_body())


def fields_of(body: bytes) -> Fields:
    """Return the fields of a JSON object.

    Raises:
        BadRequest: not a JSON object, or nested too deeply.
        TooLarge: of too many values.
    """
    # Each takes up to a hundred bytes of memory for one of the body. Nested without commas, they soon are too deep.
    if body.count(b",") > MAX_VALUES:
        raise TooLarge(f"the JSON has more than {MAX_VALUES} values")
    try:
        fields = json.loads(body, object_pairs_hook=_single)
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply") from error
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadRequest("the JSON must be an object of fields")
    return fields


def _single(pairs: Iterable[tuple[str, Any]]) -> Fields:
    """Return pairs as a dictionary. A name that comes twice is refused, because either value may be the one meant."""
    fields: Fields = {}
    for name, value in pairs:
        if name in fields:
            raise BadRequest(f"the field {name[:100]!r} came twice")
        fields[name] = value
    return fields


def _merged(fields: Fields, more: Fields) -> Fields:
    return _single([*fields.items(), *more.items()])
