"""Faults 1 to 25: what stands in image_url, and what answers there."""

import gzip
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.app.api.test_native import SMALL, assert_problem, data_url
from tests.faults.conftest import CAP, Online
from tests.internet import answer, redirect

FORBIDDEN = {
    1: "169.254.169.254 [fd00:ec2::254] 168.63.129.16",
    2: "127.0.0.1 127.8.8.8 localhost LOCALHOST 0.0.0.0 [::] [::1]",
    3: "10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 [fc00::1] [fd12::1] 169.254.1.1 [fe80::1]",
    4: "2130706433 0177.0.0.1 017700000001 0x7f.1 0x7f000001 127.1 127.0.1 0 １２７.０.０.１ ①②⑦.⓪.⓪.① 127。0。0。1",
    5: "[::ffff:127.0.0.1] [::ffff:a00:1] [::127.0.0.1] [::a00:1] [64:ff9b::a00:1] [64:ff9b:1::a00:1] [2002:7f00:1::] "
    "[2001:0:4136:e378:8000:63bf:80ff:fffe] [2600::5efe:10.0.0.1]",
    6: "224.0.0.1 [ff02::1] 255.255.255.255 240.0.0.1 192.0.0.192 192.88.99.1 [fec0::1] [3fff::1] [2001:20::1]",
}


def refused(online: Online, host: str) -> None:
    for scheme in ("http", "https"):
        assert_problem(online.fetch(f"{scheme}://{host}/photo.jpg"), 422, "forbidden-url")


@pytest.mark.parametrize("host", FORBIDDEN[1].split())
def test_01_metadata(online: Online, host: str) -> None:
    """Metadata addresses 169.254.169.254, fd00:ec2::254, 168.63.129.16: 422"""
    refused(online, host)


@pytest.mark.parametrize("host", FORBIDDEN[2].split())
def test_02_loopback(online: Online, host: str) -> None:
    """Loopback, `localhost`, 0.0.0.0, `[::]`: 422"""
    refused(online, host)


@pytest.mark.parametrize("host", FORBIDDEN[3].split())
def test_03_private_networks(online: Online, host: str) -> None:
    """RFC 1918, CGNAT 100.64/10, ULA, link-local: 422"""
    refused(online, host)


@pytest.mark.parametrize("host", FORBIDDEN[4].split())
def test_04_other_spellings(online: Online, host: str) -> None:
    """Decimal, octal, hex, short or full-width spellings (`2130706433`, `0177.0.0.1`, `0x7f.1`, `127.1`): 422"""
    refused(online, host)


@pytest.mark.parametrize("host", FORBIDDEN[5].split())
def test_05_ipv4_inside_ipv6(online: Online, host: str) -> None:
    """IPv4 inside IPv6: mapped, compatible, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), 6to4, Teredo, ISATAP: 422"""
    refused(online, host)


@pytest.mark.parametrize("host", FORBIDDEN[6].split())
def test_06_multicast_and_reserved(online: Online, host: str) -> None:
    """Multicast, broadcast, reserved, fec0::/10: 422"""
    refused(online, host)


def test_07_a_name_with_both(online: Online) -> None:
    """A name with both public and private answers: 422"""
    public = online.host("both.test", index=answer(SMALL))
    for addresses in ([online.address("both.test"), "127.0.0.1"], ["10.0.0.1", online.address("both.test")]):
        online.name("both.test", addresses)
        refused(online, "both.test")
    assert public.connections == 0


def test_08_dns_that_changes(online: Online) -> None:
    """DNS that changes between check and connect: 422, and not one byte sent. The check belongs to the address that is
    dialled, not to the name."""
    private = online.host("private.test", index=answer(SMALL))
    online.route("127.0.0.99", private.port)
    public = online.host("rebinding.test", index=answer(SMALL), moved=redirect("http://rebinding.test/"))
    online.name("rebinding.test", [online.address("rebinding.test")], ["127.0.0.99"])
    # Were the name looked up once to be checked and again to be dialled, this would reach the private one.
    assert online.fetch("http://rebinding.test/").status_code == 200
    assert len(public.requests) == 1
    refused(online, "rebinding.test")
    online.host("moved.test", index=redirect("http://again.test/"))
    online.name("again.test", ["127.0.0.99"])
    assert_problem(online.fetch("http://moved.test/"), 422, "forbidden-url")
    assert private.connections == 0


def test_09_a_redirect_to_any_of_these(online: Online) -> None:
    """A redirect to any of these, checked at every hop: 422"""
    for number, host in enumerate(host for hosts in FORBIDDEN.values() for host in hosts.split() if host.isascii()):
        online.host(f"hop{number}.test", index=redirect("/next"), next=redirect(f"http://{host}/"))
        assert_problem(online.fetch(f"http://hop{number}.test/"), 422, "forbidden-url")


def test_10_a_redirect_to_another_scheme(online: Online) -> None:
    """A redirect to `file:` or from https to http: 422"""
    online.host("files.test", index=redirect("file:///etc/passwd"))
    assert_problem(online.fetch("http://files.test/"), 422, "forbidden-url")
    plain = online.host("plain.test", index=answer(SMALL))
    online.host("tls.test", tls=online.tls, index=redirect("http://plain.test/"), photo=answer(SMALL))
    assert_problem(online.fetch("https://tls.test/"), 422, "forbidden-url")
    assert plain.connections == 0
    assert online.fetch("https://tls.test/photo").status_code == 200


def test_11_too_many_hops(online: Online) -> None:
    """More than five hops, or a loop: 502"""
    hops = {f"hop{number}": redirect(f"/hop{number + 1}") for number in range(6)}
    online.host("hops.test", **hops, hop6=answer(SMALL))
    assert_problem(online.fetch("http://hops.test/hop0"), 502, "upstream-failed")
    assert online.fetch("http://hops.test/hop1").status_code == 200
    looping = online.host("loop.test", index=redirect("/"))
    assert_problem(online.fetch("http://loop.test/"), 502, "upstream-failed")
    assert len(looping.requests) == 6


@pytest.mark.parametrize("scheme", ["file", "gopher", "ftp", "dict", "FILE", "javascript"])
def test_12_other_schemes(online: Online, scheme: str) -> None:
    """file, gopher, ftp, dict schemes: 422"""
    assert_problem(online.fetch(f"{scheme}://public.test/etc/passwd"), 422, "forbidden-url")


@pytest.mark.parametrize(
    "host", ["user@{}", "user:password@{}", "{}\\@127.0.0.1", "{}\r\nX: y", "{}\n", "a b@{}", "{} ", "\t{}"]
)
def test_13_odd_authorities(online: Online, host: str) -> None:
    r"""User info, `\@`, CR or LF, white space in the authority: 422"""
    upstream = online.host("odd.test", index=answer(SMALL))
    assert_problem(online.fetch(f"http://{host.format('odd.test')}/"), 422, "forbidden-url")
    assert upstream.connections == 0


def test_14_the_service_itself(online: Online) -> None:
    """The service's own address and port: 422"""
    own_port = urlsplit(online.server.url).port
    for name in ("itself.test", "allowed.test"):
        # Allowed or not: a service that fetches from itself could be made to do so without end.
        online.name(name, ["127.0.0.1"])
        refused(online, f"{name}:{own_port}")
    refused(online, f"127.0.0.1:{own_port}")
    neighbour = online.host("neighbour.test", photo=answer(SMALL))
    assert online.fetch(neighbour.url("/photo", host="allowed.test")).status_code == 200


@pytest.mark.parametrize("port", [1, 22, 25, 81, 5000, 8080, 65535])
def test_15_other_ports(online: Online, port: int) -> None:
    """A port outside the allowed list (80, 443 by default; configurable): 422"""
    online.host("ports.test", index=answer(SMALL))
    assert_problem(online.fetch(f"http://ports.test:{port}/"), 422, "forbidden-url")
    assert online.fetch("http://ports.test:80/").status_code == 200


def test_16_proxies_of_the_environment(online: Online) -> None:
    """`HTTP_PROXY` in the environment: ignored"""
    online.host("direct.test", index=answer(SMALL))
    assert online.fetch("http://direct.test/").status_code == 200
    # The service was started with a proxy for every scheme.
    assert online.proxy.connections == 0


def test_17_nobody_there(online: Online) -> None:
    """No such name, refused, TLS failure: 502"""
    assert_problem(online.fetch("http://nowhere.test/"), 502, "upstream-failed")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        online.route("93.184.217.1", closed.getsockname()[1])
    online.name("refuses.test", ["93.184.217.1"])
    assert_problem(online.fetch("http://refuses.test/"), 502, "upstream-failed")
    # Its certificate is that of tls.test.
    upstream = online.host("impostor.test", tls=online.tls, index=answer(SMALL))
    assert_problem(online.fetch("https://impostor.test/"), 502, "upstream-failed")
    assert upstream.requests == []


def test_18_an_upstream_that_trickles(online: Online) -> None:
    """An upstream that trickles a byte a second: 504 on a **total** deadline"""
    upstream = online.host("trickle.test")
    upstream.answers["/"] = upstream.trickle(answer(b"", length=1000))
    started = time.monotonic()
    assert_problem(online.fetch("http://trickle.test/"), 504, "upstream-timeout")
    # Twenty bytes came in this time, one every 50 ms: no pause between two of them was long.
    assert 1 <= time.monotonic() - started < 3


def test_19_an_endless_body(online: Online) -> None:
    """An endless body: 422 at the cap plus one byte; memory stays flat"""
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(CAP))
            sent += CAP

    online.host("endless.test", index=pour)
    before = online.server.memory()
    for _ in range(3):
        assert_problem(online.fetch("http://endless.test/"), 422, "unusable-url")
    # What lies in the buffers of sockets was sent as well.
    assert sent < 3 * (CAP + 10_000_000)
    assert online.server.memory() - before < 10_000_000


def test_20_a_length_over_the_cap(online: Online) -> None:
    """Content-Length over the cap: 422, body unread"""
    upstream = online.host("long.test")
    # No body comes: to wait for it would be to wait for the deadline.
    upstream.answers["/"] = upstream.trickle(answer(b"", length=CAP + 1), drop=b"")
    assert_problem(online.fetch("http://long.test/"), 422, "unusable-url")


def test_21_a_body_cut_off(online: Online) -> None:
    """A body shorter than its Content-Length: 502"""
    online.host("short.test", index=answer(SMALL, length=len(SMALL) + 1))
    assert_problem(online.fetch("http://short.test/"), 502, "upstream-failed")


def test_22_a_gzip_bomb(online: Online) -> None:
    """A gzip bomb: ask for `identity`; refuse an encoding that comes all the same: 422"""
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < CAP
    upstream = online.host("bomb.test", index=answer(bomb, Content_Encoding="gzip", Content_Type="image/png"))
    before = online.server.memory()
    assert_problem(online.fetch("http://bomb.test/"), 422, "unusable-url")
    assert b"\r\nAccept-Encoding: identity\r\n" in upstream.requests[0]
    assert online.server.memory() - before < 10_000_000


@pytest.mark.parametrize(
    ("status", "expected"), [(401, 422), (403, 422), (404, 422), (410, 422), (429, 502), (500, 502), (503, 502)]
)
def test_23_an_upstream_that_says_no(online: Online, status: int, expected: int) -> None:
    """Upstream 4xx: 422; upstream 429 and 5xx: 502"""
    online.host("no.test", index=answer(SMALL, status=f"{status} No"))
    assert_problem(online.fetch("http://no.test/"), expected)


def test_24_html(online: Online) -> None:
    """200 with HTML: 422"""
    online.host("html.test", index=answer(b"<!doctype html><title>404</title>", Content_Type="image/png"))
    assert_problem(online.fetch("http://html.test/"), 422, "unusable-url")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("data:image/png;base64,%%%", 400),
        ("data:image/png;base64,aGVsb", 400),
        ("data:image/png;base64,aGVs=bG8=", 400),
        ("data:image/png;base64", 400),
        ("data:text/plain,hello", 415),
        ("data:image/png;base64,aGVsbG8=", 415),
        (data_url(bytes(CAP + 1)), 413),
        (data_url(SMALL).replace(",", ",\n").replace("A", "A\r\n"), 200),
        (data_url(SMALL).rstrip("="), 200),
        (data_url(SMALL).replace("+", "-").replace("/", "_").replace("image_png", "image/png"), 200),
        (data_url(SMALL).replace("+", " "), 200),
    ],
)
def test_25_data_urls(online: Online, url: str, status: int) -> None:
    """`data:` with bad base64 (other characters, data after padding, a length that no data has): 400; not an image:
    415; too large: 413. Line breaks, missing padding, the URL-safe alphabet, and a space for a "+": 200"""
    if status == 200:
        assert online.fetch(url).status_code == 200
    else:
        assert_problem(online.fetch(url), status)
