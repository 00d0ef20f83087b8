"""The fields and files of a form. What reading it takes of memory is in proportion to its length, whatever it holds:
libraries take up to eighty bytes for each that a percent sign, a short field or a header of a part came in."""

import io
from dataclasses import dataclass, field
from typing import IO

from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from app.errors import BadRequest, TooLarge
from app.fetching.data_url import unquoted

MAX_FIELDS = 100
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Form:
    """In their order: fields, each a name and a text, and files, each the name of its field, that of the file, and its
    bytes."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)


def multipart(stream: IO[bytes], boundary: str) -> Form:
    """Read a form of `multipart/form-data`.

    Raises:
        BadRequest: cut off, or not such a form.
        RequestEntityTooLarge: more parts than are taken, or one with headers without end.
    """
    # What a part begins with has to fit into two pieces; its content passes through piece by piece.
    decoder = MultipartDecoder(boundary.encode(), 2 * _CHUNK, max_parts=MAX_FIELDS)
    form, part, content = Form(), None, io.BytesIO()
    try:
        while not isinstance(event := decoder.next_event(), Epilogue):
            if isinstance(event, NeedData):
                decoder.receive_data(stream.read(_CHUNK) or None)
            elif isinstance(event, Field | File):
                part, content = event, io.BytesIO()
            elif isinstance(event, Data) and part is not None:
                content.write(event.data)
                if not event.more_data:
                    _add(form, part, content.getvalue())
    except ValueError as error:
        raise BadRequest("the form is cut off, or not what its Content-Type says") from error
    return form


def urlencoded(body: bytes) -> Form:
    """Read a form of `application/x-www-form-urlencoded`.

    Raises:
        TooLarge: more fields than are taken.
    """
    form = Form()
    pairs = body.split(b"&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise TooLarge(f"the form has more than {MAX_FIELDS} fields")
    for pair in filter(None, pairs):
        name, _, value = pair.partition(b"=")
        form.fields.append((_text(name), _text(value)))
    return form


def _add(form: Form, part: Field | File, content: bytes) -> None:
    name = part.name or ""
    if isinstance(part, File):
        form.files.append((name, part.filename, content))
    else:
        form.fields.append((name, content.decode("utf-8", "replace")))


def _text(quoted: bytes) -> str:
    return unquoted(quoted.replace(b"+", b" ").decode("utf-8", "replace")).decode("utf-8", "replace")
