"""Forms: what is read of them, what is refused, and that no form takes much more memory than it is long."""

import base64
import binascii
import io
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote_plus, urlencode

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import MultipartDecoder

from app.api.forms import MAX_FIELDS, Delimiter, Form, multipart, urlencoded
from app.errors import BadRequest, TooLarge

FIELDS = [("model", "rapidocr"), ("prompt", "größer & = + % als\r\n--b\r\n"), ("prompt", ""), ("", "nameless")]
PICTURE = bytes(range(256)) * 700 + b"\r\n--b"


def sent(**request: object) -> tuple[bytes, str]:
    """Return the body that requests would send, and its boundary."""
    prepared = requests.Request("POST", "http://localhost", **request).prepare()  # type: ignore[arg-type]
    assert isinstance(prepared.body, bytes)
    return prepared.body, prepared.headers["Content-Type"].partition("boundary=")[2]


def read(body: bytes, boundary: str = "b") -> Form:
    return multipart(io.BytesIO(body), boundary)


@given(pieces=st.lists(st.sampled_from([b"--b", b"b", b"-", b"--", b"\r", b"\n", b" ", b"x"]), max_size=12))
def test_boundaries_are_where_werkzeug_finds_them(pieces: list[bytes]) -> None:
    data = bytearray(b"".join(pieces))
    decoder = MultipartDecoder(b"b")
    for pattern, after_break in ((decoder.preamble_re, False), (decoder.boundary_re, True)):
        for start in range(len(data) + 1):
            wanted, found = pattern.search(data, start), Delimiter(b"b", after_break).search(data, start)
            assert (found and (found.start(), found.end(), found.group(1))) == (
                wanted and (wanted.start(), wanted.end(), wanted.group(1))
            )


def test_a_form_of_parts() -> None:
    files = [("image_file", ("größer.png", PICTURE)), ("image_file", ("", b""))]
    body, boundary = sent(data=FIELDS, files=files)
    form = read(body, boundary)
    assert form.fields == FIELDS
    assert form.files == [("image_file", "größer.png", PICTURE), ("image_file", "", b"")]


def test_a_form_of_pairs() -> None:
    assert urlencoded(urlencode(FIELDS).encode()).fields == FIELDS
    assert urlencoded(b"a=1&&b&=&c=d=e&f=%zz%4").fields == [
        ("a", "1"), ("b", ""), ("", ""), ("c", "d=e"), ("f", "%zz%4"),
    ]  # fmt: skip
    long = "größer " * 50_000
    assert urlencoded(f"a={quote_plus(long)}".encode()).fields == [("a", long)]


HEAD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [b"", b"no form", b"--b", b"--b\r\n", HEAD, HEAD + b"text", HEAD + b"text\r\n--b",
     b"--b\r\nA: b\r\n\r\ntext\r\n--b--"],
)  # fmt: skip
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(BadRequest, match="cut off"):
        read(body)


def part(headers: bytes, content: bytes = PICTURE) -> Form:
    return read(b"--xyz\r\n" + headers + b"\r\n\r\n" + content + b"\r\n--xyz--\r\n", "xyz")


NAMED = b'Content-Disposition: form-data; name="image_file"'


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (NAMED + b"\r\nContent-Type: image/png", PICTURE),
        (NAMED + b"\r\nContent-Type: image/png", b"all of it could be text"),
        (NAMED, PICTURE),
        (NAMED, b"GIF89a\0"),
        (NAMED + b"\r\nContent-Type: text/plain", PICTURE),
        (NAMED.replace(b'"', b"") + b"; filename=\xfc.png", PICTURE),
    ],
)
def test_a_file_may_have_no_name(headers: bytes, content: bytes) -> None:
    assert part(headers, content).files == [("image_file", "", content)]


def test_a_text_in_place_of_a_file_stays_a_text() -> None:
    for headers in (NAMED, NAMED + b"\r\nContent-Type: text/plain; charset=utf-8"):
        assert part(headers, "größer.png".encode()).fields == [("image_file", "größer.png")]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Ofslúdyk.jpg", "latin-1"),
        ("图片.png", "gbk"),
        ("誠功.png", "big5"),
        ("表", "shift-jis"),
        ("表.png", "shift-jis"),
    ],
)
def test_a_file_name_in_any_encoding(name: str, encoding: str) -> None:
    quoted = b'filename="' + name.encode(encoding) + b'"'
    for disposition in (b'form-data; name="image_file"; ' + quoted, b"form-data; " + quoted + b'; name="image_file"'):
        form = part(b"Content-Disposition: " + disposition)
        assert [(field, content) for field, _, content in form.files] == [("image_file", PICTURE)]


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("base64", base64.b64encode(PICTURE)),
        ("BASE64 ", base64.encodebytes(PICTURE)),
        ("quoted-printable", binascii.b2a_qp(PICTURE, istext=False)),
        ("binary", PICTURE),
        ("8bit", PICTURE),
    ],
)
def test_transfer_encodings(encoding: str, encoded: bytes) -> None:
    form = part(NAMED + b'; filename="a.png"\r\nContent-Transfer-Encoding: ' + encoding.encode(), encoded)
    assert form.files == [("image_file", "a.png", PICTURE)]


@pytest.mark.parametrize(
    ("headers", "content", "says"),
    [
        (NAMED + b"\r\nContent-Transfer-Encoding: x-uuencode", b"", "'x-uuencode' is not read here"),
        (NAMED + b"\r\nContent-Transfer-Encoding: base64", b"?", "base64"),
        (b"Content-Disposition: form-data", b"", "no name"),
        (b"Content-Disposition: \xff\xfe", b"", "no name"),
    ],
)
def test_parts_that_are_refused(headers: bytes, content: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        part(headers, content)


def test_what_is_wrong_with_the_boundary_is_said() -> None:
    with pytest.raises(BadRequest, match="names no boundary"):
        read(HEAD + b"x\r\n--b--", "")
    with pytest.raises(BadRequest, match="boundary is not 'other'"):
        read(HEAD + b"x\r\n--b--", "other")


def test_many_fields_are_refused() -> None:
    for count, refused in ((MAX_FIELDS, False), (MAX_FIELDS + 1, True)):
        parts, pairs = (HEAD + b"x\r\n") * count + b"--b--", b"&".join([b"a=x"] * count)
        if refused:
            with pytest.raises(RequestEntityTooLarge):
                read(parts)
            with pytest.raises(TooLarge):
                urlencoded(pairs)
        else:
            assert read(parts).fields == urlencoded(pairs).fields == [("a", "x")] * count


LENGTH = 1_000_000


@pytest.mark.parametrize(
    ("reader", "body"),
    [
        (urlencoded, b"a=1&" * (LENGTH // 4)),
        (urlencoded, b"&" * LENGTH),
        (urlencoded, b"a=" + b"%41" * (LENGTH // 3)),
        (urlencoded, b"a=" + b"%" * LENGTH),
        (read, b"--b\r\n" + b"a: b\r\n" * (LENGTH // 6) + b"\r\nx\r\n--b--\r\n"),
        (read, b"--b\r\n" + b"a: b\r\n" * (LENGTH // 6)),
        (read, HEAD + b"\r\n" * (LENGTH // 2) + b"\r\n--b--\r\n"),
        (read, b"--b-" * (LENGTH // 4)),
        (read, b"x" * LENGTH),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value[:20]),
)
def test_no_form_takes_much_memory(reader: Callable[[bytes], Form], body: bytes) -> None:
    tracemalloc.start()
    try:
        # Refusing it is as good as reading it.
        with suppress(BadRequest, TooLarge, RequestEntityTooLarge):
            reader(body)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Percent signs are read in pieces, each of which may take some megabytes.
    assert peak < 6 * LENGTH + 15_000_000
