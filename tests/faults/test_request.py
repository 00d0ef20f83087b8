"""Faults 26 to 41: how a request is made."""

import hashlib
import http.client
import io
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app.config import Settings
from tests.app.api.test_native import FORM, JSON, READER, SMALL, assert_problem, data_url
from tests.faults.conftest import CAP, Online
from tests.server import Server

Send = Callable[[Server], requests.Response]


def form(*parts: tuple[str, str | bytes], **headers: str) -> Send:
    """Return what posts a form of these parts; bytes are a file."""
    files = [(name, ("a.png", part) if isinstance(part, bytes) else (None, part)) for name, part in parts]
    return lambda server: server.post("/generate-text", files=files, headers=headers)


def body(data: bytes | str, kind: str | None = None, query: str = "model=rapidocr") -> Send:
    """Return what posts a body."""
    headers = {} if kind is None else {"Content-Type": kind}
    return lambda server: server.post(f"/generate-text?{query}", data=data, headers=headers)


def json(text: str) -> Send:
    return body(text, JSON["Content-Type"], "")


def raw(server: Server, request: bytes) -> int:
    """Send bytes as they are, and return the status of the answer."""
    with socket.create_connection(urlsplit(server.url).netloc.split(":"), timeout=30) as connection:  # type: ignore[arg-type]
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


@pytest.mark.parametrize("send", [form(("model", "rapidocr")), form(("image_url", "")), json("{}"), body(b"")])
def test_26_neither_image_nor_url(online: Online, send: Send) -> None:
    """Neither image nor URL: 400"""
    assert_problem(send(online.server), 400, "bad-request")


@pytest.mark.parametrize(
    "send",
    [
        form(("image_file", SMALL), ("image_url", data_url(SMALL))),
        body(SMALL, "image/png", "image_url=http://public.test/"),
    ],
)
def test_27_both(online: Online, send: Send) -> None:
    """Both: 400"""
    assert_problem(send(online.server), 400, "bad-request")


@pytest.mark.parametrize(
    "send",
    [
        form(("image_file", SMALL), ("image_file", SMALL)),
        form(("image_file", SMALL), ("model", "rapidocr"), ("model", "rapidocr")),
        body("image_url=http://a.test/&image_url=http://b.test/", FORM, ""),
        json('{"image_url": "http://a.test/", "image_url": "http://b.test/"}'),
        body(SMALL, "image/png", "model=rapidocr&model=rapidocr"),
        lambda server: server.post("/generate-text?model=rapidocr", data={"image_url": "http://a.test/"} | READER),
    ],
)
def test_28_the_same_field_twice(online: Online, send: Send) -> None:
    """The same field twice: 400"""
    assert_problem(send(online.server), 400, "bad-request")


def test_29_too_many_parts(online: Online) -> None:
    """Too many parts: 413"""
    assert_problem(form(*((f"field{number}", "x") for number in range(200)))(online.server), 413, "too-large")


def test_30_a_long_text_part(online: Online) -> None:
    """A text part over 500 kB: 413 (a `data:` URL, in whatever field, has the image's cap instead)"""
    image = SMALL + bytes(CAP - len(SMALL))
    assert len(data_url(image)) > 500_000
    for send in (form(("prompt", "a" * 500_001)), body("prompt=" + "a" * 500_001, FORM, "")):
        assert_problem(send(online.server), 413, "too-large")
    for part in (data_url(image), data_url(image + b"\0")):
        response = form(("image_url", part), ("model", "rapidocr"))(online.server)
        assert response.status_code == (200 if part == data_url(image) else 413)


@pytest.mark.parametrize(("size", "status"), [(CAP - 1, 200), (CAP, 200), (CAP + 1, 413)])
def test_31_the_upload_cap(online: Online, size: int, status: int) -> None:
    """One byte under, at, and over the upload cap (200 MB by default, 1 MB = 10^6, counted on the image's bytes, not on
    the envelope): 200, 200, 413"""
    assert Settings(max_upload_mb=200).max_upload_bytes == Settings().max_upload_bytes == 200_000_000
    image = SMALL + bytes(size - len(SMALL))
    url = data_url(image)
    for send in (
        form(("image_file", image), ("model", "rapidocr")),
        form(("image_file", image), ("model", "rapidocr"), ("prompt", "a word " * 200)),
        body(image),
        lambda server: server.post("/generate-text", json={"image_url": url} | READER),
        lambda server: server.post("/generate-text", data={"image_url": url} | READER),
    ):
        response = send(online.server)
        assert response.status_code == status, response.text


@pytest.mark.parametrize("chunked", [True, False])
def test_32_a_chunked_upload(online: Online, chunked: bool) -> None:
    """Chunked upload over the cap: 413"""
    connection = http.client.HTTPConnection(urlsplit(online.server.url).netloc, timeout=30)
    data = bytes(5_000_000)
    # Refused while the body is still on its way.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/generate-text", body=iter([data]) if chunked else data, encode_chunked=chunked)
    assert connection.getresponse().status == 413


def test_33_broken_framing(online: Online) -> None:
    """Missing boundary, truncated chunk: 400"""
    part = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nrapidocr\r\n--x--\r\n'
    assert_problem(body(part, "multipart/form-data", "")(online.server), 400)
    head = b"POST /generate-text HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"5\r\nabc\r\n0\r\n\r\n", b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n"):
        assert raw(online.server, head + chunks) == 400


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("text/plain", b"hello", 415),
        ("text/plain", SMALL, 415),
        ("application/xml", b"<xml/>", 415),
        ("application/zip", SMALL, 415),
        ("nonsense", SMALL, 415),
        (FORM, b"no picture, and no form", 415),
        (None, SMALL, 200),
        ("image/png", SMALL, 200),
        ("image/x-anything", SMALL, 200),
        ("application/octet-stream", SMALL, 200),
        (FORM, SMALL, 200),
    ],
)
def test_34_content_types(online: Online, kind: str | None, data: bytes, status: int) -> None:
    """Wrong Content-Type: 415. A raw body is right with none, `image/*`, `application/octet-stream`, or (curl's
    default) `application/x-www-form-urlencoded` whose bytes sniff as an image"""
    response = body(data, kind)(online.server)
    assert response.status_code == status, response.text
    if status != 200:
        assert_problem(response, status, "unsupported-media-type")


@pytest.mark.parametrize(
    "text", ["{", "[]", "nothing", '"text"', "[" * 100_000, '{"a":' * 100_000, '{"a": NaN', '{"model": "\\ud800', ""]
)
def test_35_bad_json(online: Online, text: str) -> None:
    """Bad JSON, or nested 100,000 deep: 400"""
    assert_problem(json(text)(online.server), 400, "bad-request")


@pytest.mark.parametrize("name", ["nonesuch", "rapidocr ", "RAPIDOCR", "a" * 100, "__class__"])
def test_36_an_unknown_model(online: Online, name: str) -> None:
    """Unknown model: 404"""
    assert_problem(online.server.generate(SMALL, model=name), 404, "unknown-model")
    assert_problem(online.server.post(f"/models/{name}/load"), 404)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 0},
        {"num_beams": 10_000},
        {"max_new_tokens": -1},
        {"max_new_tokens": "1e9"},
        {"min_new_tokens": "many"},
        {"detail": "perhaps"},
        {"segment": "words"},
        {"format": "docx"},
        {"max_length": 1},
        {"colour": "red"},
        {"model": "blip-base", "prompt": "a" * 100_000},
        {"model": "blip-base", "prompt": "[SEP] a dog"},
        {"model": "blip-base", "prompt": "\uff3bSEP\uff3d a dog"},
        {"model": "kosmos-2", "prompt": "<grounding><phrase>"},
    ],
)
def test_37_parameters(online: Online, options: dict[str, Any]) -> None:
    """A parameter out of range, a 100 kB prompt, special tokens in a prompt: 422"""
    assert_problem(online.server.generate(SMALL, **(READER | options)), 422, "invalid-option")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/generate-text"), ("PUT", "/generate-text"), ("POST", "/models"), ("TRACE", "/healthz")],
)
def test_38_the_wrong_method(online: Online, method: str, path: str) -> None:
    """Wrong method: 405"""
    response = requests.request(method, online.server.url + path, timeout=30)
    assert_problem(response, 405)
    assert method not in response.headers["Allow"]


@pytest.mark.parametrize(
    "name", ["../x", "../../x.png", "/etc/passwd", "C:\\x.png", "a\0b.png", "CON", "x" * 300, "\u202egnp.exe", "🐕.png"]
)
def test_39_file_names(online: Online, name: str) -> None:
    """File names `../x`, absolute, NUL, `CON`, 300 bytes, right-to-left, emoji: 200; the name is never used as a
    path"""
    before = sorted(online.server.directory.iterdir())
    response = online.server.post("/generate-text", files={"image_file": (name, io.BytesIO(SMALL))}, data=READER)
    assert response.status_code == 200
    kept = f"{hashlib.sha256(SMALL).hexdigest()}.png"
    assert response.json()["image"]["saved_as"] == f"images/{kept}"
    assert sorted(online.server.directory.iterdir()) == sorted({*before, online.server.directory / "images"})
    assert (online.server.directory / "images" / kept).is_file()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", "file://", "http://[", "?"])
def test_40_a_foreign_origin(online: Online, origin: str) -> None:
    """A foreign `Origin` posting to the local port: 403"""
    send = form(("image_file", SMALL), ("model", "rapidocr"), Origin=origin)
    assert_problem(send(online.server), 403, "foreign-origin")
    response = requests.delete(f"{online.server.url}/images/x.png", headers={"Origin": origin}, timeout=30)
    assert_problem(response, 403, "foreign-origin")
    assert form(("image_file", SMALL), ("model", "rapidocr"), Origin=online.server.url)(online.server).ok


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "photos.example.evil.example", "10.0.0.1"])
def test_41_a_wrong_host(online: Online, server: Server, host: str) -> None:
    """A wrong `Host` when hosts are configured; where only this machine can reach the service, any that strangers can
    let lead to it: 400"""
    assert_problem(online.server.get("/models", headers={"Host": host}), 400)
    assert online.server.get("/models", headers={"Host": "photos.example"}).ok
    # Health checks come from this machine.
    assert online.server.get("/healthz").ok
    # An address is no name, so no stranger's.
    assert server.get("/models", headers={"Host": host}).status_code == (200 if host == "10.0.0.1" else 400)
