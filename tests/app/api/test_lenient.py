"""Files that viewers show and requests that other services accept: a row for each kind, read by the running server."""

import base64
import binascii
import http.client
import io
import json
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from app.decoding.mending import WITHOUT_DETAIL, WITHOUT_END
from tests import drawn
from tests.app.api.test_native import FORM, assert_problem
from tests.app.test_documents import LOCK, written_pdf
from tests.app.test_images import chunk
from tests.conftest import encoded
from tests.server import Server

WORDS = "Every viewer shows these words"


def page(colours: tuple[str, str] = ("white", "black")) -> Image.Image:
    return drawn.page([WORDS], (520, 80), (20, 20), 32, colours=colours)


def shape() -> Image.Image:
    """Where the words stand: 255 in them, 0 elsewhere."""
    return page(("black", "white")).convert("L")


def with_comment(checksum: int) -> bytes:
    """A PNG with a comment whose checksum is changed by so much."""
    data = encoded(page())
    comment = chunk(b"tEXt", b"Software\0an editor")
    comment = comment[:-4] + struct.pack(">I", int.from_bytes(comment[-4:]) ^ checksum)
    return data[:33] + comment + data[33:]


def tiff(frames: list[tuple[dict[int, tuple[int, ...]], bytes]], order: str = "<") -> bytes:
    """Return a TIFF of frames, each its tags with whole numbers, and its one strip."""
    data = b"II*\0" if order == "<" else b"MM\0*"
    place = 8
    data += struct.pack(f"{order}I", place)
    for number, (tags, strip) in enumerate(frames):
        entries = {**tags, 273: (place + 2 + 12 * (len(tags) + 2) + 4,), 279: (len(strip),)}
        after = place + 2 + 12 * len(entries) + 4 + len(strip)
        data += struct.pack(f"{order}H", len(entries))
        for tag, values in sorted(entries.items()):
            assert len(values) == 1
            data += struct.pack(f"{order}HHII", tag, 4, 1, values[0])
        data += struct.pack(f"{order}I", after if number + 1 < len(frames) else 0) + strip
        place = after
    return data


def grey(image: Image.Image, bits: int = 8, zero: int = 1, **more: int) -> tuple[dict[int, tuple[int, ...]], bytes]:
    """Return a frame of grey levels; `zero` is 0 where white is zero."""
    levels = np.asarray(image.convert("L"), np.uint16)
    levels = 255 - levels if zero == 0 else levels
    strip = (levels * 257).astype(">u2").tobytes() if bits == 16 else levels.astype(np.uint8).tobytes()
    size = {256: (image.width,), 257: (image.height,), 278: (image.height,)}
    more_tags = {int(tag.removeprefix("tag")): (value,) for tag, value in more.items()}
    return size | {258: (bits,), 259: (1,), 262: (zero,), 277: (1,)} | more_tags, strip


def webp_in_tiff() -> bytes:
    strip = encoded(page(), "WEBP", lossless=True)
    tags = {256: (520,), 257: (80,), 258: (8,), 259: (50_001,), 262: (2,), 277: (3,), 278: (80,)}
    return tiff([(tags, strip)])


def blank_first(format: str) -> bytes:
    frames = [Image.new("RGB", (520, 80), "white"), page()]
    return encoded(frames[0], format, save_all=True, append_images=frames, duration=100)


def white_lettering(mode: str) -> bytes:
    if mode == "P":
        palette = shape().point(lambda level: 1 if level > 127 else 0).convert("P")
        palette.putpalette([255, 255, 255, 255, 255, 255])
        return encoded(palette, transparency=0)
    if mode == "1":
        return encoded(shape().point(lambda level: 255 if level > 127 else 0).convert("1"), transparency=0)
    white = Image.new("L", (520, 80), 255)
    return encoded(Image.merge(mode, [*[white] * (len(mode) - 1), shape()]))


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG without its end marker": (lambda: encoded(page(), "JPEG")[:-2], WITHOUT_END),
    "progressive JPEG cut off late": (lambda: encoded(page(), "JPEG", progressive=True)[:-60], WITHOUT_DETAIL),
    "PNG without IEND": (lambda: encoded(page())[:-12], WITHOUT_END),
    "PNG with a bad checksum in a comment": (lambda: with_comment(1), "the checksum of the chunk tEXt"),
    "GIF without its end": (lambda: encoded(page(), "GIF")[:-2], ""),
    "WebP cut off in its metadata": (lambda: encoded(page(), "WEBP", xmp=b"<x/>" * 20)[:-30], WITHOUT_END),
    "16 bits, white is zero": (lambda: tiff([grey(page(), 16, 0)], ">"), ""),
    "WebP in TIFF": (webp_in_tiff, ""),
    "thumbnail before the page": (lambda: tiff([grey(page().resize((52, 8)), tag254=1), grey(page())]), ""),
    "thumbnail, as it was marked before": (lambda: tiff([grey(page()), grey(page().resize((52, 8)), tag255=2)]), ""),
    "transparency mask after the page": (lambda: tiff([grey(page()), grey(shape(), tag254=4)]), ""),
    "GIF whose first frame is blank": (lambda: blank_first("GIF"), "frame 2 is used instead"),
    "WebP whose first frame is blank": (lambda: blank_first("WEBP"), "blank: frame"),
    "APNG whose first frame is blank": (lambda: blank_first("PNG"), "blank: frame"),
    "white lettering, RGBA": (lambda: white_lettering("RGBA"), ""),
    "white lettering, LA": (lambda: white_lettering("LA"), ""),
    "white lettering, palette": (lambda: white_lettering("P"), ""),
    "white lettering, one bit": (lambda: white_lettering("1"), ""),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_viewers_show(server: Server, kind: str) -> None:
    make, warning = FILES[kind]
    response = server.generate(make(), model="rapidocr")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["text"] == WORDS
    assert "pages" not in answer
    assert [warning in said for said in answer["warnings"]] == ([True] if warning else [])


def raw_of_a_camera(kind: str) -> bytes:
    preview = grey(page(), tag254=1)
    if kind == "DNG":
        return tiff([grey(page(), tag50706=0x0104)])
    if kind == "mosaic":
        return tiff([preview, ({256: (8,), 257: (8,), 258: (8,), 259: (1,), 262: (32_803,), 277: (1,)}, bytes(64))])
    return {"CR2": b"II*\0\x10\0\0\0CR\x02\0", "CR3": b"\0\0\0\x18ftypcrx ", "RAF": b"FUJIFILMCCD-RAW "}[kind] + bytes(
        99
    )


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "JPEG with missing pixels": (lambda: encoded(page(), "JPEG")[:-200], 422, "cut off"),
    "progressive JPEG cut off early": (lambda: encoded(page(), "JPEG", progressive=True)[:900], 422, "cut off"),
    "PNG with missing pixels": (lambda: encoded(page())[:-100], 422, "pixels are missing"),
    "locked PDF": (lambda: written_pdf(trailer=LOCK), 422, "locked with a password"),
    **{
        f"raw file, {kind}": (lambda kind=kind: raw_of_a_camera(kind), 415, "raw file of a camera")  # type: ignore[misc]
        for kind in ("DNG", "mosaic", "CR2", "CR3", "RAF")
    },
}


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_are_refused_say_why(server: Server, kind: str) -> None:
    make, status, reason = REFUSED[kind]
    assert reason in assert_problem(server.generate(make(), model="rapidocr"), status)["detail"]


PICTURE = encoded(page())
BASE64 = base64.b64encode(PICTURE).decode()
NAME = b'Content-Disposition: form-data; name="image_file"'


def part(headers: bytes, content: bytes = PICTURE, boundary: str = "; boundary=line") -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form with a model and a file."""
    model = b'--line\r\nContent-Disposition: form-data; name="model"\r\n\r\nrapidocr\r\n'
    return (
        f"multipart/form-data{boundary}",
        model + b"--line\r\n" + headers + b"\r\n\r\n" + content + b"\r\n--line--\r\n",
    )


def in_json(url: str, **more: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps({"image_url": url, "model": "rapidocr", **more}).encode()


def data_url(text: str) -> str:
    return f"data:image/png;base64,{text}"


REQUESTS: dict[str, tuple[str, bytes]] = {
    "file without a name": part(NAME + b"\r\nContent-Type: image/png"),
    "file without a name or a type": part(NAME),
    "file name in Latin-1": part(NAME + b'; filename="\xe9t\xe9.png"'),
    "file name in GBK": part(NAME + b'; filename="' + "图片".encode("gbk") + b'.png"'),
    "file name in Shift JIS that ends with a backslash": part(NAME + b'; filename="' + "表".encode("shift-jis") + b'"'),
    "base64 as a transfer encoding": part(
        NAME + b'; filename="a.png"\r\nContent-Transfer-Encoding: base64', base64.encodebytes(PICTURE)
    ),
    "quoted-printable as a transfer encoding": part(
        NAME + b'; filename="a.png"\r\nContent-Transfer-Encoding: quoted-printable',
        binascii.b2a_qp(PICTURE, istext=False),
    ),
    "line breaks in base64": in_json(data_url(base64.encodebytes(PICTURE).decode().replace("\n", "\r\n"))),
    "indented base64": in_json(data_url(base64.encodebytes(PICTURE).decode().replace("\n", "\n    "))),
    "escaped line breaks in base64": in_json(data_url(base64.encodebytes(PICTURE).decode().replace("\n", "%0A"))),
    "missing padding": in_json(data_url(BASE64.rstrip("="))),
    "URL-safe alphabet": in_json(data_url(base64.urlsafe_b64encode(PICTURE).decode())),
    "plus signs that a form made spaces": (FORM, f"model=rapidocr&image_url={data_url(BASE64)}".encode()),
    "plus signs that are spaces in JSON": in_json(data_url(BASE64.replace("+", " "))),
    "white space around a data: URL": in_json(f"\n {data_url(BASE64)} \n"),
}


def post(server: Server, kind: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Send a body as it is."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("POST", "/generate-text", body, {"Content-Type": kind})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("kind", REQUESTS)
def test_requests_that_others_accept(server: Server, kind: str) -> None:
    assert len({"+", "/"} & set(BASE64)) == 2
    status, answer = post(server, *REQUESTS[kind])
    assert status == 200, answer
    assert answer["text"] == WORDS


NOT_UNDERSTOOD: dict[str, tuple[tuple[str, bytes], str]] = {
    "form without a boundary": (part(NAME, boundary=""), "names no boundary"),
    "form with another boundary": (part(NAME, boundary="; boundary=other"), "boundary is not 'other'"),
    "uuencoded part": (part(NAME + b"\r\nContent-Transfer-Encoding: uuencode"), "'uuencode' is not read here"),
    "name of a file in place of a file": (part(NAME, b"photo.jpg"), "must be a file"),
    "base64 that is cut off": (in_json(data_url("aGVsb")), "base64"),
    "base64 with other characters": (in_json(data_url("aGVs!G8=")), "base64"),
    **{
        f"JSON key {name}": (("application/json", json.dumps({name: data_url(BASE64)}).encode()), "as image_url")
        for name in ("image", "file", "image_base64", "url", "imageUrl", "image_file")
    },
}


@pytest.mark.parametrize("kind", NOT_UNDERSTOOD)
def test_requests_that_are_not_understood_say_what_to_send(server: Server, kind: str) -> None:
    request, reason = NOT_UNDERSTOOD[kind]
    status, problem = post(server, *request)
    assert status == 400
    assert reason in problem["detail"]


def test_a_reader_reads_the_pages_and_no_thumbnails(server: Server) -> None:
    pages = [drawn.page([f"{number} of two"], (520, 80), (20, 20), 32) for number in ("One", "Two")]
    small = [image.resize((52, 8)) for image in pages]
    frames = [
        frame for one, thumbnail in zip(pages, small, strict=True) for frame in (grey(thumbnail, tag254=1), grey(one))
    ]
    answer = server.generate(tiff(frames), model="rapidocr").json()
    assert [one["text"] for one in answer["pages"]] == ["One of two", "Two of two"]


def test_what_is_dark_on_transparency_stays_on_white(server: Server) -> None:
    black = Image.new("L", (520, 80), 0)
    for data in (
        encoded(Image.merge("LA", (black, shape()))),
        encoded(Image.merge("RGBA", (black, black, Image.new("L", (520, 80), 200), shape()))),
    ):
        assert server.generate(data, model="rapidocr").json()["text"] == WORDS


def test_an_animation_of_blank_frames_is_its_first_one(server: Server) -> None:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("white", "red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    answer = server.generate(data, model="rapidocr").json()
    assert (answer["text"], answer["warnings"]) == ("", [])


def test_a_broken_later_frame_does_not_matter(server: Server) -> None:
    data = blank_first("GIF")
    answer = server.generate(data[:-300], model="rapidocr")
    assert answer.status_code == 200
    with Image.open(io.BytesIO(data)) as whole:
        assert answer.json()["image"]["width"] == whole.width
