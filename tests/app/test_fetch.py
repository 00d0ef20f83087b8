"""Fetching: what may be dialled, within what limits, and which error says so. Real sockets, none beyond 127.0.0.1."""

import base64
import contextlib
import ipaddress
import os
import socket
import ssl
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from requests import adapters

from app.errors import (
    BadRequest,
    ForbiddenUrl,
    ServiceError,
    TooLarge,
    UnusableUrl,
    UpstreamFailed,
    UpstreamTimeout,
)
from app.fetching.client import MAX_REDIRECTS, Fetcher
from app.fetching.data_url import decode_data_url
from app.fetching.ssrf import is_public
from tests import internet as internet_of_tests
from tests.internet import BODY, PUBLIC, Answer, Internet, Upstream, answer, redirect

CAP = 100_000


@pytest.fixture
def serve() -> Iterator[Callable[..., Upstream]]:
    """Start servers; they end with the test."""
    upstreams: list[Upstream] = []

    def start(tls: ssl.SSLContext | None = None, **answers: Answer) -> Upstream:
        """Each keyword is a path: `index` is `/`."""
        paths = {"/" if name == "index" else f"/{name}": found for name, found in answers.items()}
        upstreams.append(Upstream(paths, tls))
        return upstreams[-1]

    yield start
    for upstream in upstreams:
        upstream.close()


def fetcher(*upstreams: Upstream, timeout: float = 10, **settings: Any) -> Fetcher:
    """A fetcher that may dial these servers."""
    allowed = [f"{host}:{upstream.port}" for upstream in upstreams for host in ("127.0.0.1", "localhost")]
    return Fetcher(CAP, timeout, **({"allow_hosts": allowed} | settings))


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    monkeypatch.setattr(socket, "getaddrinfo", internet.getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: internet.connect(*arguments))
    return internet


# --- what may be dialled -------------------------------------------------------------------------------------------

PRIVATE_ADDRESSES = {
    "metadata": "169.254.169.254 169.254.170.2 fd00:ec2::254 168.63.129.16 100.100.100.200 192.0.0.192",
    "loopback": "127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 ::1 ::",
    "private": "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1",
    "CGNAT": "100.64.0.1 100.127.255.255",
    "ULA": "fc00::1 fdff:ffff::1",
    "link-local": "169.254.0.1 fe80::1 febf::1",
    "site-local": "fec0::1 feff::1",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    "reserved": "240.0.0.1 255.255.255.255 192.0.0.1 192.88.99.1 100::1 2001:20::1 2001:db8::1 3fff::1 4000::1 8000::1",
    "mapped": "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:100.64.0.1 ::ffff:168.63.129.16",
    "compatible": "::127.0.0.1 ::10.0.0.1 ::8.8.8.8",
    "NAT64": "64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::169.254.169.254 64:ff9b:1::1 64:ff9b:1::8.8.8.8",
    "6to4": "2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::1",
    "Teredo": "2001::1 2001:0:7f00:1::1 2001:0:4136:e378:8000:63bf:80ff:fffe",
    "ISATAP": "fe80::5efe:127.0.0.1 2600::5efe:10.0.0.1 2600::200:5efe:10.0.0.1 2600:1:2:3:0:5efe:a9fe:a9fe",
}


@pytest.mark.parametrize(
    "address", [address for addresses in PRIVATE_ADDRESSES.values() for address in addresses.split()]
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "168.63.129.17",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0x7f.0.0.1",
        "127.1",
        "127.0.1",
        "0",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_hosts_that_are_not_public(monkeypatch: pytest.MonkeyPatch, scheme: str, host: str) -> None:
    dialled: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: dialled.append(address))
    with pytest.raises(ForbiddenUrl, match="not a public one"):
        Fetcher(CAP, 10).fetch(f"{scheme}://{host}/")
    assert dialled == []


def test_a_public_host(serve: Callable[..., Upstream], internet: Internet) -> None:
    upstream = serve(index=answer())
    internet.names["public.test"] = [[PUBLIC]]
    internet.routes[PUBLIC] = upstream.port
    assert Fetcher(CAP, 10).fetch("http://public.test/") == BODY
    (request,) = upstream.requests
    assert b"\r\nHost: public.test\r\n" in request
    assert b"\r\nAccept-Encoding: identity\r\n" in request


@pytest.mark.parametrize(
    "addresses",
    [
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
        ["2606:4700:4700::1111", "::ffff:10.0.0.1"],
        [PUBLIC, "fe80::1%eth0"],
    ],
)
def test_a_name_with_public_and_private_answers(internet: Internet, addresses: list[str]) -> None:
    internet.names["both.test"] = [addresses]
    with pytest.raises(ForbiddenUrl, match="not a public one"):
        Fetcher(CAP, 10).fetch("http://both.test/")
    assert internet.dialled == []


def test_dns_that_changes_after_the_check(serve: Callable[..., Upstream], internet: Internet) -> None:
    """What is dialled is the address that was checked: the second answer is not asked for, and then not taken."""
    public, private = serve(index=answer()), serve(index=answer())
    internet.names["rebinding.test"] = [[PUBLIC], ["127.0.0.1"]]
    internet.routes = {PUBLIC: public.port, "127.0.0.1": private.port}
    assert Fetcher(CAP, 10).fetch("http://rebinding.test/") == BODY
    assert internet.asked == ["rebinding.test"]
    with pytest.raises(ForbiddenUrl, match="not a public one"):
        Fetcher(CAP, 10).fetch("http://rebinding.test/")
    assert internet.dialled == [PUBLIC]
    assert private.connections == 0


@pytest.mark.parametrize("location", ["/again", "http://rebinding.test/again", "//rebinding.test/again"])
def test_dns_that_changes_between_redirects(serve: Callable[..., Upstream], internet: Internet, location: str) -> None:
    public, private = serve(index=redirect(location)), serve(again=answer())
    internet.names["rebinding.test"] = [[PUBLIC], ["127.0.0.1"]]
    internet.routes = {PUBLIC: public.port, "127.0.0.1": private.port}
    with pytest.raises(ForbiddenUrl, match="not a public one"):
        Fetcher(CAP, 10).fetch("http://rebinding.test/")
    assert public.paths == ["/"]
    assert private.connections == 0


@pytest.mark.parametrize("port", [1, 22, 5000, 8080, 65535])
def test_ports_that_are_not_fetched(internet: Internet, port: int) -> None:
    with pytest.raises(ForbiddenUrl, match=f"port {port} "):
        Fetcher(CAP, 10).fetch(f"http://public.test:{port}/")
    assert internet.asked == []


def test_ports_can_be_chosen(serve: Callable[..., Upstream], internet: Internet) -> None:
    internet.names["public.test"] = [[PUBLIC]]
    internet.routes[PUBLIC] = serve(index=answer()).port
    chosen = Fetcher(CAP, 10, ports=(8080,))
    assert chosen.fetch("http://public.test:8080/") == BODY
    with pytest.raises(ForbiddenUrl, match="port 80 "):
        chosen.fetch("http://public.test/")


@pytest.mark.parametrize("allowed", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "localhost"])
def test_private_hosts_can_be_allowed(serve: Callable[..., Upstream], allowed: str) -> None:
    upstream = serve(index=answer())
    host = allowed.partition(":")[0]
    settings = {"allow_hosts": [allowed.format(port=upstream.port)]}
    assert fetcher(**settings).fetch(upstream.url(host=host)) == BODY
    other = "localhost" if host == "127.0.0.1" else "127.0.0.1"
    with pytest.raises(ForbiddenUrl):
        fetcher(**settings).fetch(upstream.url(host=other))


def test_an_allowed_host_is_allowed_on_that_port_only(serve: Callable[..., Upstream]) -> None:
    allowed, other = serve(index=answer()), serve(index=answer())
    with pytest.raises(ForbiddenUrl):
        fetcher(allowed, ports=(allowed.port, other.port)).fetch(other.url())
    assert other.connections == 0


def test_an_allowed_host_of_ipv6(internet: Internet, serve: Callable[..., Upstream]) -> None:
    internet.names["::1"] = [["127.0.0.1"]]
    upstream = serve(index=answer())
    assert Fetcher(CAP, 10, allow_hosts=[f"[::1]:{upstream.port}"]).fetch(upstream.url(host="[::1]")) == BODY


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.png",
        "//public.test/",
        "http:public.test",
        "http:///picture.png",
        "http://",
        "http://:80/",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "gopher://public.test/",
        "ftp://public.test/",
        "dict://public.test/",
        "javascript:alert(1)",
        "http://user@public.test/",
        "http://user:password@public.test/",
        "http://@public.test/",
        "http://public.test\\@127.0.0.1/",
        "http:\\\\public.test/",
        "http://public.test/\\",
        "http://public.test\r\nX: y/",
        "http://public.test/\r\nX: y",
        "http://public.test/a b",
        "http://public .test/",
        " http://public.test/",
        "http://public.test/\t",
        "http://public.test/\0",
        "http://public.test/\x7f",
        "http://public.test:0/",
        "http://public.test:65536/",
        "http://public.test:-1/",
        "http://public.test:http/",
        "http://[::1/",
        "http://[public.test]/",
        "http://%31%32%37.0.0.1%2f@public.test/",
        "http://\ud800.test/",
        "http://１２７.０.０.１/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://ｌｏｃａｌｈｏｓｔ/",
    ],
)
def test_urls_that_are_not_fetched(internet: Internet, url: str) -> None:
    with pytest.raises(ForbiddenUrl):
        Fetcher(CAP, 10).fetch(url)
    assert internet.asked == []
    assert internet.dialled == []


def test_a_host_that_cannot_be_a_name() -> None:
    with pytest.raises(ForbiddenUrl):
        Fetcher(CAP, 10).fetch(f"http://{'x' * 64}.test/")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxies_of_the_environment_are_ignored(
    serve: Callable[..., Upstream], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    upstream, proxy = serve(index=answer()), serve()
    monkeypatch.setenv(name, proxy.url())
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert fetcher(upstream).fetch(upstream.url()) == BODY
    assert proxy.connections == 0


# --- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_followed(serve: Callable[..., Upstream], status: str) -> None:
    upstream = serve(index=redirect("next", status), next=answer())
    assert fetcher(upstream).fetch(upstream.url()) == BODY
    assert upstream.paths == ["/", "/next"]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("a photo.png", "/a%20photo.png"),
        ("/a photo.png ", "/a%20photo.png"),
        ("http://127.0.0.1:{port}/a photo.png", "/a%20photo.png"),
        ("photo.png?of=a dog#of it", "/photo.png?of=a%20dog"),
        ("/%20a photo%2F.png", "/%20a%20photo%2F.png"),
        ("/h\u00fctte/\u6771\u4eac.png", "/h%C3%BCtte/%E6%9D%B1%E4%BA%AC.png"),
        ("?q=\u00fc", "/?q=%C3%BC"),
        ("/[a]|{{b}}^.png", "/%5Ba%5D%7C%7Bb%7D%5E.png"),
        ("/100%.png", "/100%25.png"),
    ],
)
def test_redirects_are_followed_as_browsers_do(serve: Callable[..., Upstream], location: str, path: str) -> None:
    upstream = serve()
    # A header's bytes are UTF-8 in browsers; the tests' answers are written in Latin-1.
    written = location.format(port=upstream.port).encode().decode("latin-1")
    upstream.answers |= {"/": redirect(written), path: answer()}
    assert fetcher(upstream).fetch(upstream.url()) == BODY
    assert upstream.paths == ["/", path]


def test_a_redirect_to_a_host_in_other_letters(serve: Callable[..., Upstream], internet: Internet) -> None:
    upstream = serve(index=redirect("http://b\u00fccher.test/next".encode().decode("latin-1")), next=answer())
    internet.names |= {"public.test": [[PUBLIC]], "xn--bcher-kva.test": [[PUBLIC]]}
    internet.routes[PUBLIC] = upstream.port
    assert Fetcher(CAP, 10).fetch("http://public.test/") == BODY
    assert b"Host: xn--bcher-kva.test" in upstream.requests[1]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/",
        "//127.0.0.1:{other}/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://public.test/",
        "data:image/png;base64,AAAA",
        "http://user@127.0.0.1:{port}/next",
        "http://127.0.0.1:{port}\\@127.0.0.1:{other}/",
        "http://127.0.0.1 :{port}/next",
        "http://127.0.0.1:{port} /next",
        "http://[::1/",
    ],
)
def test_redirects_are_checked(serve: Callable[..., Upstream], location: str) -> None:
    upstream, other = serve(), serve(index=answer())
    upstream.answers["/"] = redirect(location.format(port=upstream.port, other=other.port))
    with pytest.raises(ForbiddenUrl):
        fetcher(upstream).fetch(upstream.url())
    assert upstream.paths == ["/"]
    assert other.connections == 0


def test_a_redirect_to_itself(serve: Callable[..., Upstream]) -> None:
    upstream = serve(index=redirect("/"))
    with pytest.raises(UpstreamFailed, match="redirects more than 5 times"):
        fetcher(upstream).fetch(upstream.url())
    assert len(upstream.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("hops", [MAX_REDIRECTS, MAX_REDIRECTS + 1])
def test_how_many_redirects(serve: Callable[..., Upstream], hops: int) -> None:
    chain = {f"{hop}": redirect(f"/{hop + 1}") for hop in range(hops)}
    upstream = serve(**chain, **{f"{hops}": answer()})
    if hops <= MAX_REDIRECTS:
        assert fetcher(upstream).fetch(upstream.url("/0")) == BODY
    else:
        with pytest.raises(UpstreamFailed):
            fetcher(upstream).fetch(upstream.url("/0"))


def test_a_redirect_without_location_is_no_image(serve: Callable[..., Upstream]) -> None:
    upstream = serve(index=answer(b"", "302 Found"))
    with pytest.raises(UnusableUrl, match="302"):
        fetcher(upstream).fetch(upstream.url())


# --- answers -------------------------------------------------------------------------------------------------------


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    "found",
    [answer(), answer(Content_Encoding="identity"), chunked(BODY[:5], BODY[5:], b""), UNTIL_CLOSED + BODY],
    ids=["length", "identity", "chunked", "until closed"],
)
def test_bodies(serve: Callable[..., Upstream], found: bytes) -> None:
    upstream = serve(index=found)
    assert fetcher(upstream).fetch(upstream.url()) == BODY


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (answer(status="201 Created"), UnusableUrl),
        (answer(b"", "204 No Content"), UnusableUrl),
        (answer(status="206 Partial Content"), UnusableUrl),
        (answer(status="304 Not Modified"), UnusableUrl),
        (answer(status="401 Unauthorized"), UnusableUrl),
        (answer(status="403 Forbidden"), UnusableUrl),
        (answer(status="404 Not Found"), UnusableUrl),
        (answer(status="410 Gone"), UnusableUrl),
        (answer(status="429 Too Many Requests"), UpstreamFailed),
        (answer(status="500 Internal Server Error"), UpstreamFailed),
        (answer(status="503 Service Unavailable"), UpstreamFailed),
        (answer(Content_Encoding="gzip"), UnusableUrl),
        (answer(Content_Encoding="br"), UnusableUrl),
        (answer(Content_Encoding="identity, gzip"), UnusableUrl),
        (answer(length=len(BODY) + 1), UpstreamFailed),
        (chunked(BODY), UpstreamFailed),
        (chunked(BODY) + b"xyz\r\n", UpstreamFailed),
        (b"", UpstreamFailed),
        (b"SSH-2.0-OpenSSH_9.6\r\n", UpstreamFailed),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", UpstreamFailed),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", UpstreamFailed),
    ],
)
def test_answers_that_are_no_image(serve: Callable[..., Upstream], found: bytes, error: type[ServiceError]) -> None:
    upstream = serve(index=found)
    with pytest.raises(error) as caught:
        fetcher(upstream).fetch(upstream.url())
    assert type(caught.value) is error
    assert "127.0.0.1" not in caught.value.detail


@pytest.mark.parametrize("length", ["\xb2", "nine", "-1", ""])
def test_a_length_that_is_none(serve: Callable[..., Upstream], length: str) -> None:
    upstream = serve(index=f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode("latin-1") + BODY)
    assert fetcher(upstream).fetch(upstream.url()) == BODY


@pytest.mark.parametrize("framed", [answer, chunked, lambda body: UNTIL_CLOSED + body])
def test_the_largest_body(serve: Callable[..., Upstream], framed: Callable[[bytes], bytes]) -> None:
    end = b"0\r\n\r\n" if framed is chunked else b""
    upstream = serve(largest=framed(bytes(CAP)) + end, larger=framed(bytes(CAP + 1)) + end)
    assert fetcher(upstream).fetch(upstream.url("/largest")) == bytes(CAP)
    with pytest.raises(UnusableUrl, match=f"larger than {CAP} bytes"):
        fetcher(upstream).fetch(upstream.url("/larger"))


def test_a_length_over_the_limit_is_refused_unread(serve: Callable[..., Upstream]) -> None:
    upstream = serve()
    # No body comes: to wait for it would be to wait for the deadline.
    upstream.answers["/"] = upstream.trickle(answer(b"", length=CAP + 1), drop=b"")
    with pytest.raises(UnusableUrl, match="larger"):
        fetcher(upstream).fetch(upstream.url())


@pytest.mark.parametrize("head", [UNTIL_CLOSED, chunked()], ids=["until closed", "chunked"])
def test_an_endless_body(serve: Callable[..., Upstream], head: bytes) -> None:
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    cut_off = threading.Event()

    def pour(connection: socket.socket) -> None:
        connection.sendall(head)
        try:
            for _ in range(10_000):
                connection.sendall(piece)
        except OSError:
            cut_off.set()

    upstream = serve(index=pour)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableUrl, match="larger"):
            fetcher(upstream).fetch(upstream.url())
        assert tracemalloc.get_traced_memory()[1] < 20 * CAP
    finally:
        tracemalloc.stop()
    assert cut_off.wait(10)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection() -> None:
    with pytest.raises(UpstreamFailed):
        Fetcher(CAP, 10, allow_hosts=["127.0.0.1"]).fetch(f"http://127.0.0.1:{closed_port()}/")


def test_a_name_that_does_not_exist(internet: Internet) -> None:
    with pytest.raises(UpstreamFailed):
        Fetcher(CAP, 10).fetch("http://nowhere.test/")
    assert internet.asked == ["nowhere.test"]


def test_the_next_address_is_tried(serve: Callable[..., Upstream], internet: Internet) -> None:
    upstream = serve(index=answer())
    internet.names["twice.test"] = [[PUBLIC, "1.1.1.1"]]
    internet.routes = {PUBLIC: closed_port(), "1.1.1.1": upstream.port}
    assert Fetcher(CAP, 10).fetch("http://twice.test/") == BODY
    assert internet.dialled == [PUBLIC, "1.1.1.1"]


# --- time ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def timing_out() -> Iterator[None]:
    """Expect the total deadline, and not the five seconds that a trickling server takes."""
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout, match=r"took longer than 0\.3 seconds"):
        yield
    assert 0.3 <= time.monotonic() - started < 3


TRICKLES = {
    "length": (answer(b"", length=1000), b"x"),
    "until closed": (UNTIL_CLOSED, b"x"),
    "chunked": (chunked(), b"1\r\nx\r\n"),
    "one chunk": (chunked() + b"fff\r\n", b"x"),
    "size of a chunk": (chunked(), b"0"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status line": (b"HTTP/1.1 404", b""),
    "silence": (b"", b""),
    "silence after the head": (UNTIL_CLOSED, b""),
}


@pytest.mark.parametrize(("head", "drop"), TRICKLES.values(), ids=TRICKLES)
def test_a_server_that_trickles(serve: Callable[..., Upstream], head: bytes, drop: bytes) -> None:
    upstream = serve()
    upstream.answers["/"] = upstream.trickle(head, drop)
    with timing_out():
        fetcher(upstream, timeout=0.3).fetch(upstream.url())


def test_the_deadline_is_for_all_redirects_together(serve: Callable[..., Upstream]) -> None:
    upstream = serve()

    def slow(connection: socket.socket) -> None:
        upstream.over.wait(0.2)
        connection.sendall(redirect("/"))

    upstream.answers["/"] = slow
    with timing_out():
        fetcher(upstream, timeout=0.3).fetch(upstream.url())
    assert len(upstream.requests) < MAX_REDIRECTS


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere more connections wait than were asked for")
def test_a_server_that_does_not_accept() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Linux takes one more than it was told to; further ones wait.
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    waiting.connect(address)
            with timing_out():
                Fetcher(CAP, 0.3, allow_hosts=["127.0.0.1"]).fetch(f"http://127.0.0.1:{address[1]}/")


def test_dns_that_takes_longer_than_the_deadline(
    serve: Callable[..., Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver of the operating system knows nothing of the deadline."""
    upstream = serve()
    upstream.answers["/"] = upstream.trickle(UNTIL_CLOSED)
    resolve = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        upstream.over.wait(5)
        return resolve(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    with timing_out():
        fetcher(upstream, timeout=0.3).fetch(upstream.url())
    assert time.monotonic() - started < 2
    assert upstream.requests == []


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    return internet_of_tests.certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return internet_of_tests.tls_server(certificate)


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate[0]))


@pytest.mark.usefixtures("trusted")
def test_https(serve: Callable[..., Upstream], tls: ssl.SSLContext) -> None:
    upstream = serve(tls, index=redirect("next"), next=answer())
    assert fetcher(upstream).fetch(upstream.url(host="localhost")) == BODY


def test_a_certificate_that_is_not_trusted(
    serve: Callable[..., Upstream], tls: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = serve(tls, index=answer())
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate[0]))
    with pytest.raises(UpstreamFailed):
        fetcher(upstream).fetch(upstream.url(host="localhost"))
    assert upstream.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name(serve: Callable[..., Upstream], tls: ssl.SSLContext) -> None:
    upstream = serve(tls, index=answer())
    with pytest.raises(UpstreamFailed):
        fetcher(upstream).fetch(upstream.url(host="127.0.0.1"))
    assert upstream.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_https_to_http(serve: Callable[..., Upstream], tls: ssl.SSLContext) -> None:
    plain = serve(index=answer())
    upstream = serve(tls, index=redirect(plain.url()))
    with pytest.raises(ForbiddenUrl, match="from https to http"):
        fetcher(upstream, plain).fetch(upstream.url(host="localhost"))
    assert plain.connections == 0


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_http_to_https(serve: Callable[..., Upstream], tls: ssl.SSLContext) -> None:
    upstream = serve(tls, index=answer())
    plain = serve(index=redirect(upstream.url(host="localhost")))
    assert fetcher(upstream, plain).fetch(plain.url()) == BODY


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("head", "drop"), TRICKLES.values(), ids=TRICKLES)
def test_a_server_that_trickles_over_tls(
    serve: Callable[..., Upstream], tls: ssl.SSLContext, head: bytes, drop: bytes
) -> None:
    upstream = serve(tls)
    upstream.answers["/"] = upstream.trickle(head, drop)
    with timing_out():
        fetcher(upstream, timeout=0.3).fetch(upstream.url(host="localhost"))


def test_a_server_that_does_not_speak_tls(serve: Callable[..., Upstream]) -> None:
    upstream = serve()
    with timing_out():
        fetcher(upstream, timeout=0.3).fetch(f"https://{upstream.address}/")


# --- nothing stays open --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
def test_nothing_stays_open(serve: Callable[..., Upstream], internet: Internet) -> None:
    upstream = serve(
        index=answer(),
        moved=redirect("/"),
        away=redirect("http://169.254.169.254/"),
        gone=answer(status="404 Not Found"),
        short=answer(length=1000),
        large=answer(bytes(CAP + 1)),
        broken=b"",
    )
    internet.names = {"127.0.0.1": [["127.0.0.1"]], "169.254.169.254": [["169.254.169.254"]]}
    internet.names["refused.test"] = [[PUBLIC]]
    internet.routes[PUBLIC] = closed_port()
    fetching = fetcher(upstream, timeout=60)
    urls = [upstream.url(path) for path in upstream.answers] + ["http://refused.test/", "http://nowhere.test/"]

    def fetch_all() -> None:
        for url in urls:
            with contextlib.suppress(ServiceError):
                fetching.fetch(url)
        upstream.settle()

    fetch_all()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(6):
        fetch_all()
    assert len(os.listdir("/proc/self/fd")) == before
    watchdogs = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for watchdog in watchdogs:
        watchdog.join(5)
    assert not any(watchdog.is_alive() for watchdog in watchdogs)


# --- data: URLs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGVsbG8=", b"hello"),
        ("data:;base64,aGVsbG8=", b"hello"),
        ("DATA:image/png;BASE64,aGVsbG8=", b"hello"),
        ("data:image/png;name=a%2Cb;base64,aGVsbG8=", b"hello"),
        ("data:image/png;base64,aGVsbG8%3D", b"hello"),
        ("data:image/png;base64,+/+/", b"\xfb\xff\xbf"),
        ("data:image/png;base64,%2B%2f%2B/", b"\xfb\xff\xbf"),
        ("data:image/png;base64,aGVsbG8", b"hello"),
        ("data:image/png;base64,aGVsbG8===", b"hello"),
        ("data:image/png;base64,-_-_", b"\xfb\xff\xbf"),
        ("data:image/png;base64,aGVs\r\nbG8=\r\n", b"hello"),
        ("data:image/png;base64,aGVs\n\tbG8=", b"hello"),
        ("data:image/png;base64,aGVs\n    bG8", b"hello"),
        ("data:image/png;base64,aGVs%0D%0AbG8%3D", b"hello"),
        ("data:image/png;base64,aGVs bG8=", b"hello"),
        ("data:image/png;base64, aGVsbG8= ", b"hello"),
        (" \n data:image/png;base64,aGVsbG8=", b"hello"),
        ("data:image/png; Base64,aGVsbG8=", b"hello"),
        ("data:image/png;base64,AAA AAA=", b"\0\0\x3e\0\0"),
        ("data:image/png;base64,AA A  AA", base64.b64decode("AA+A++AA")),
        ("data:image/png;base64,AA A\r\nAA A", b"\0\x0f\x80\0\x0f\x80"),
        ("data:,hello", b"hello"),
        ("data:image/png,%89PNG%0d+%0A,", b"\x89PNG\r+\n,"),
        ("data:,100%", b"100%"),
        ("data:,", b""),
    ],
)
def test_data_urls(url: str, expected: bytes) -> None:
    assert Fetcher(CAP, 10).fetch(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        "data:image/png;base64,?",
        "data:image/png;base64,aGVsb",
        "data:image/png;base64,aGVs=bG8=",
        "data:image/png;base64,aGVs!bG8=",
        "data:image/png;base64,aGVsbG8=x",
        "data:image/png;base64,ééé=",
        "data:image/png;base64,\ud800",
        "data:,\ud800",
    ],
)
def test_data_urls_that_are_none(url: str) -> None:
    with pytest.raises(BadRequest):
        Fetcher(CAP, 10).fetch(url)


def test_the_largest_data_url() -> None:
    for size in range(95, 106):
        data = b"\xff" * size
        in_base64 = base64.b64encode(data).decode()
        escaped = "".join(f"%{byte:02X}" for byte in data)
        escaped_twice = "".join(f"%{ord(letter):02x}" for letter in in_base64)
        for url in (f"data:;base64,{in_base64}", f"data:;base64,{escaped_twice}", f"data:,{escaped}"):
            if size <= 100:
                assert decode_data_url(url, 100) == data
            else:
                with pytest.raises(TooLarge, match="larger than 100 bytes"):
                    decode_data_url(url, 100)


def test_every_spelling_of_base64_is_read() -> None:
    random = np.random.default_rng(0)
    for size in range(200, 230):
        data = random.bytes(size)
        plain = base64.b64encode(data).decode()
        wrapped = base64.encodebytes(data).decode()
        for spelling in (
            plain.rstrip("="),
            plain.replace("+", "-").replace("/", "_"),
            wrapped,
            wrapped.replace("\n", "\r\n"),
            wrapped.replace("\n", " "),
            wrapped.replace("\n", "\n        "),
            wrapped.replace("+", " "),
            plain.replace("+", " "),
        ):
            assert decode_data_url(f"data:image/png;base64,{spelling}", size) == data, spelling


def test_long_data_urls() -> None:
    """Escapes fall on both sides of where the text is cut into pieces."""
    for shift in range(4):
        data = b"a" * shift + bytes(range(256)) * 300
        escaped = "a" * shift + "".join(f"%{byte:02X}" for byte in data[shift:])
        assert decode_data_url(f"data:,{escaped}", len(data)) == data


def test_escapes_take_little_memory() -> None:
    url = "data:," + "%00" * 1_000_000
    tracemalloc.start()
    try:
        assert len(decode_data_url(url, 1_000_000)) == 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
