"""Reads the fields and files of forms, in memory proportional to the length of the body, whatever it contains.

Parsers of libraries take up to eighty bytes of memory for each byte of percent escapes, short fields or part headers.
"""

import binascii
import io
import re
from dataclasses import dataclass, field
from typing import IO

from werkzeug.datastructures import Headers
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData, State

from app.errors import BadRequest, TooLarge
from app.fetching.data_url import decode_base64, unquoted

MAX_FIELDS = 100
FILE_FIELDS = ("image_file", "Image_file")
"""The field of the upload; the second is its old spelling."""
_CHUNK = 65_536
_BREAKS = (b"\r\n", b"\n", b"\r")
_REST = re.compile(rb"--[^\S\n\r]*(?:\r\n|\n|\r)?|[^\S\n\r]*(?:\r\n|\n|\r)")
"""What follows a boundary: two hyphens after the last part; blanks, and a line break."""


@dataclass(frozen=True, slots=True)
class Form:
    """The content of a form, in order: `fields` as (name, text), and `files` as (field name, file name, bytes)."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)


def multipart(stream: IO[bytes], boundary: str) -> Form:
    """Read a form of `multipart/form-data`.

    Raises:
        BadRequest: the boundary is missing, or the form is cut off or malformed.
        RequestEntityTooLarge: the form has more than MAX_FIELDS parts, or a part whose headers exceed the buffer.
    """
    if not boundary:
        raise BadRequest(
            "the Content-Type names no boundary: leave that header to your HTTP client, which writes "
            "multipart/form-data; boundary=... itself"
        )
    # The buffer of two chunks must hold the headers of a part; its content passes through in chunks.
    decoder = _Decoder(boundary.encode(), 2 * _CHUNK, MAX_FIELDS)
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
        if decoder.state is State.PREAMBLE:
            raise BadRequest(f"the form is cut off, or its boundary is not {boundary[:100]!r}") from error
        raise BadRequest("the form is cut off, or not what its Content-Type says") from error
    return form


def urlencoded(body: bytes) -> Form:
    """Read a form of `application/x-www-form-urlencoded`.

    Raises:
        TooLarge: the form has more than MAX_FIELDS fields.
    """
    form = Form()
    pairs = body.split(b"&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise TooLarge(f"the form has more than {MAX_FIELDS} fields")
    for pair in filter(None, pairs):
        name, _, value = pair.partition(b"=")
        form.fields.append((_text(name), _text(value)))
    return form


@dataclass(frozen=True, slots=True)
class _Match:
    """Where a delimiter is in a form, with the interface of a match of a pattern."""

    first: int
    last: int
    end_mark: bytes

    def start(self) -> int:
        """Return where the line break before it begins."""
        return self.first

    def end(self) -> int:
        """Return where the line break after it ends."""
        return self.last

    def group(self, _: int) -> bytes:
        """Return what follows the boundary: after the last part, two hyphens."""
        return self.end_mark


class Delimiter:
    """Finds a boundary where a pattern of werkzeug's would. werkzeug compiles two for each form, since each has another
    boundary: that takes a fifth of the time of an answer from the cache."""

    def __init__(self, boundary: bytes, after_break: bool) -> None:
        """Args:
        boundary: of the form.
        after_break: whether a line break must stand before it; before the first one, there may be none.
        """
        self._mark = b"--" + boundary
        self._after_break = after_break

    def search(self, data: bytes | bytearray, start: int = 0) -> _Match | None:
        """Return the first delimiter from `start` on, or None."""
        at = data.find(self._mark, start)
        while at != -1:
            first = next((at - len(line) for line in _BREAKS if data.endswith(line, start, at)), at)
            rest = _REST.match(data, at + len(self._mark))
            if rest and (first < at or not self._after_break):
                return _Match(first, rest.end(), bytes(rest[0]))
            at = data.find(self._mark, at + 1)
        return None


class _Decoder(MultipartDecoder):
    """A multipart decoder that accepts file names in any encoding: UTF-8, Latin-1, GBK and Shift JIS."""

    def __init__(self, boundary: bytes, most_bytes: int, max_parts: int) -> None:
        super().__init__(b"", most_bytes, max_parts=max_parts)
        self.boundary = boundary
        self.preamble_re = Delimiter(boundary, after_break=False)  # type: ignore[assignment]
        self.boundary_re = Delimiter(boundary, after_break=True)  # type: ignore[assignment]

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        try:
            data.decode()
        except UnicodeDecodeError:
            # In GBK and Shift JIS, a backslash after a non-ASCII byte is the second byte of a character, not an escape.
            data = re.sub(rb"([\x80-\xff])\\", rb"\1_", data).decode("utf-8", "replace").encode()
        return super()._parse_headers(data)


def _add(form: Form, part: Field | File, content: bytes) -> None:
    if part.name is None:
        raise BadRequest("a part of the form has no name")
    content = _decoded(content, part.headers.get("Content-Transfer-Encoding", ""))
    if isinstance(part, File):
        form.files.append((part.name, part.filename, content))
    elif part.name in FILE_FIELDS and not _is_text(content, part.headers.get("Content-Type", "")):
        # Some clients send a file without a file name.
        form.files.append((part.name, "", content))
    else:
        form.fields.append((part.name, content.decode("utf-8", "replace")))


def _decoded(content: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045, section 6)."""
    encoding = encoding.strip().lower()
    if encoding == "base64":
        return decode_base64(content)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding in ("", "7bit", "8bit", "binary"):
        return content
    raise BadRequest(f"the Content-Transfer-Encoding {encoding[:100]!r} is not read here: send the bytes as they are")


def _is_text(content: bytes, content_type: str) -> bool:
    if content_type and not content_type.lower().startswith("text/"):
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _text(quoted: bytes) -> str:
    return unquoted(quoted.replace(b"+", b" ").decode("utf-8", "replace")).decode("utf-8", "replace")
