"""Bodies without a key: answered at once, and not kept."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests

from tests.app.api.test_native import SMALL, assert_problem
from tests.server import Server

KEY = "a-key-of-this-test"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key that writes nothing to a disk, so that what it buffers is in memory."""
    running = Server(tmp_path_factory.mktemp("locked"), api_keys=KEY, save_uploads="false")
    yield running
    running.kill()


def connected(server: Server, head: str, stack: ExitStack) -> socket.socket:
    """Open a connection, and send the head of a request."""
    host, port = urlsplit(server.url).netloc.split(":")
    connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
    connection.sendall(f"POST /generate-text?model=rapidocr HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
    return connection


def test_half_a_body_without_a_key_is_answered_and_takes_no_memory(locked: Server) -> None:
    before = locked.memory()
    with ExitStack() as stack:
        for head in (
            f"Content-Length: {90 * MEGABYTE}\r\nContent-Type: image/png",
            f"Content-Length: {90 * MEGABYTE}\r\nX-API-Key: wrong",
            "Transfer-Encoding: chunked",
        ):
            connection = connected(locked, head, stack)
            piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if "chunked" in head else bytes(0x10000)
            for _ in range(40 * MEGABYTE // len(piece)):
                connection.sendall(piece)
            assert connection.recv(12) == b"HTTP/1.1 401"
        assert locked.memory() - before < 10 * MEGABYTE
    assert locked.get("/healthz").ok


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_all_of_it_sees_why(locked: Server, chunked: bool) -> None:
    body = bytes(30 * MEGABYTE)
    with requests.Session() as session:
        for _ in range(2):
            answer = session.post(f"{locked.url}/generate-text", data=iter([body]) if chunked else body, timeout=60)
            assert_problem(answer, 401, "unauthorized")
        # The connection goes on behind the body.
        opened = session.post(
            f"{locked.url}/generate-text", data=SMALL, params={"model": "rapidocr"}, headers={"X-API-Key": KEY}
        )
        assert opened.ok


def test_what_lies_in_a_body_without_a_key_is_no_request(locked: Server) -> None:
    within = f"GET /models HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n"
    with ExitStack() as stack:
        for head, body in (
            (f"Content-Length: {len(within)}", within),
            ("Transfer-Encoding: chunked", f"{len(within):x}\r\n{within}\r\n0\r\n\r\n"),
        ):
            connection = connected(locked, f"{head}\r\n\r\n{body}GET /healthz HTTP/1.1\r\nConnection: close", stack)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))  # noqa: B023
            statuses = [line for line in answer.split(b"\r\n") if b"HTTP/1.1 " in line]
            assert [line.rpartition(b"HTTP/1.1 ")[2][:3] for line in statuses] == [b"401", b"200"]


def test_one_who_asks_first_is_told_no(locked: Server) -> None:
    with ExitStack() as stack:
        connection = connected(locked, "Content-Length: 9\r\nExpect: 100-continue", stack)
        assert connection.recv(12) == b"HTTP/1.1 401"
        assert b"Connection: close" in b"".join(iter(lambda: connection.recv(65_536), b""))


def test_with_a_key_bodies_come_as_ever(locked: Server) -> None:
    with ExitStack() as stack:
        head = f"Content-Length: {len(SMALL)}\r\nContent-Type: image/png\r\nX-API-Key: {KEY}\r\nExpect: 100-continue"
        connection = connected(locked, head, stack)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(SMALL)
        assert connection.recv(12) == b"HTTP/1.1 200"
