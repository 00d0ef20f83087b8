"""image_url -> bytes: the only code that opens outbound connections for users.

The guard sits where a connection is dialled. A name is resolved once, every address that it has is checked, and the
socket is opened to a checked address; what DNS says a moment later does not matter, and each redirect dials anew.
"""

import base64
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from app.errors import (
    BadRequest,
    ForbiddenUrl,
    ServiceError,
    TooLarge,
    UnusableUrl,
    UpstreamFailed,
    UpstreamTimeout,
)

MAX_REDIRECTS = 5
_CHUNK = 65_536
_REDIRECTS = (301, 302, 303, 307, 308)
# What some cloud answers on although the address counts as global: Azure's metadata and DNS service.
_NOT_FOR_USERS = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GIVEN_OUT = ipaddress.ip_network("2000::/3")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """True for an address that anyone on the internet could have named; whatever it embeds is checked too."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(_low_bits(address))
        # Only 2000::/3 is given out; the rest is local, reserved or not in use. Of it, two tunnels hold IPv4 addresses.
        if address not in _GIVEN_OUT or address.teredo is not None or address.sixtofour is not None:
            return False
        # So does ISATAP, behind any prefix: it ends in 0:5efe and an IPv4 address.
        if (int(address) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NOT_FOR_USERS if network.version == address.version)
    )


def _low_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Guard:
    """Which hosts and ports may be dialled: public ones, and private hosts that the settings name."""

    ports: frozenset[int]
    allowed: frozenset[tuple[str, int | None]]

    def addresses(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        """Resolve a host, and return what to dial, as `getaddrinfo` does.

        Raises:
            ForbiddenUrl: the port, or any one of the addresses, is not allowed.
        """
        named = (host.lower(), None) in self.allowed or (host.lower(), port) in self.allowed
        if not named and port not in self.ports:
            raise ForbiddenUrl(f"port {port} is not among FETCH_PORTS; for a server of your own see FETCH_ALLOW_HOSTS")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not named and not all(is_public(ipaddress.ip_address(str(info[4][0]).split("%")[0])) for info in found):
            raise ForbiddenUrl("the host is not a public one: see FETCH_ALLOW_HOSTS")
        return found


class Fetcher:
    """Fetches images by URL within limits.

    Args:
        max_bytes: the largest body, in bytes.
        timeout: seconds that a fetch may take in all, redirects included.
        ports: the ports of public hosts that may be dialled.
        allow_hosts: `host` or `host:port` of private hosts that may be dialled all the same.
    """

    def __init__(
        self, max_bytes: int, timeout: float, ports: Sequence[int] = (80, 443), allow_hosts: Sequence[str] = ()
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._guard = Guard(frozenset(ports), frozenset(_host_and_port(host) for host in allow_hosts))

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind an http, https or `data:` URL.

        Raises:
            BadRequest: a `data:` URL that is not one.
            TooLarge: a `data:` URL over the limit.
            ForbiddenUrl: a scheme, host or port that is not fetched, at any redirect.
            UnusableUrl: the server says no, or sends more than the limit.
            UpstreamFailed: the server cannot be reached, or breaks off.
            UpstreamTimeout: the deadline has passed.
        """
        if url[:5].lower() == "data:":
            return decode_data_url(url, self._max_bytes)
        deadline = time.monotonic() + self._timeout
        with _guarded_session(self._guard, deadline) as (session, sockets), _watchdog(sockets, self._timeout):
            try:
                return self._follow(session, url, deadline)
            except ServiceError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise self._failure(error, deadline) from error

    def _follow(self, session: requests.Session, url: str, deadline: float) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            check_url(url)
            with session.get(
                url,
                stream=True,
                allow_redirects=False,
                timeout=max(deadline - time.monotonic(), 0.001),
                headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "image-to-text"},
            ) as response:
                self._check_time(deadline)
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or location is None:
                    return self._body(response, deadline)
            # The next hop dials anew: this connection may be at its end without having said so.
            session.close()
            target = urljoin(url, location)
            if url.lower().startswith("https:") and target.lower().startswith("http:"):
                raise ForbiddenUrl("the URL redirects from https to http")
            url = target
        raise UpstreamFailed(f"the URL redirects more than {MAX_REDIRECTS} times")

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        if response.status_code == 429 or response.status_code >= 500:
            raise UpstreamFailed(f"the server of the image answered {response.status_code}")
        if response.status_code != 200:
            raise UnusableUrl(f"the server of the image answered {response.status_code}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnusableUrl("the server of the image compresses it although asked not to")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        while chunk := response.raw.read(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        self._check_time(deadline)
        return bytes(body)

    def _check_time(self, deadline: float) -> None:
        # The watchdog's end of the connection looks like the end of the headers, or of a body of unknown length.
        if time.monotonic() >= deadline:
            raise self._too_late()

    def _too_large(self) -> UnusableUrl:
        return UnusableUrl(f"the image at the URL is larger than {self._max_bytes} bytes")

    def _too_late(self) -> UpstreamTimeout:
        return UpstreamTimeout(f"the server of the image took longer than {self._timeout:g} seconds")

    def _failure(self, error: Exception, deadline: float) -> ServiceError:
        if isinstance(error, ValueError):
            return ForbiddenUrl("this is not a URL of http or https")
        if time.monotonic() >= deadline or isinstance(error, requests.Timeout):
            return self._too_late()
        return UpstreamFailed("the server of the image could not be reached, or broke off")


def check_url(url: str) -> None:
    """Refuse what is not a plain http or https URL: parsers that read the rest differently are an attacker's friend.

    Raises:
        ForbiddenUrl: with what is wrong.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ForbiddenUrl("the URL holds white space, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenUrl("the URL's host or port cannot be read") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise ForbiddenUrl("only http, https and data URLs are fetched")
    if "@" in parts.netloc:
        raise ForbiddenUrl("the URL holds a user name or password")
    if not parts.hostname or port == 0:
        raise ForbiddenUrl("the URL has no host, or port 0")


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """Return the bytes that a `data:` URL holds.

    Raises:
        BadRequest: no comma, bad base64, or half a surrogate pair.
        TooLarge: more than `max_bytes`.
    """
    header, comma, payload = url.partition(",")
    if not comma:
        raise BadRequest("the data: URL has no comma before its data")
    in_base64 = header.lower().endswith(";base64")
    # Refused by its length before it is decoded: %2B is one character, four characters of base64 hold three bytes.
    length = len(payload) - 2 * payload.count("%")
    if (length // 4 * 3 if in_base64 else length) > max_bytes + 3:
        raise TooLarge(f"the image is larger than {max_bytes} bytes")
    try:
        data = _unquoted(payload)
        if in_base64:
            data = base64.b64decode(data, validate=True)
    except ValueError as error:
        # Not base64, or half a surrogate pair, which JSON can hold and UTF-8 cannot.
        raise BadRequest("the data: URL is not valid base64, or not text") from error
    if len(data) > max_bytes:
        raise TooLarge(f"the image is larger than {max_bytes} bytes")
    return data


def _unquoted(text: str) -> bytes:
    """Undo percent-encoding, piece by piece: `unquote_to_bytes` takes two hundred bytes of memory for an escape."""
    pieces = []
    start = 0
    while start < len(text):
        end = start + _CHUNK
        # Cut before an escape, not within.
        if (escape := text.rfind("%", end - 2, end)) != -1:
            end = escape
        pieces.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(pieces)


def _host_and_port(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    return (parts.hostname or "", parts.port)


@contextmanager
def _guarded_session(guard: Guard, deadline: float) -> Iterator[tuple[requests.Session, list[socket.socket]]]:
    """Yield a session that dials through the guard, and the sockets that it has opened."""
    sockets: list[socket.socket] = []

    def dial(host: str, port: int) -> socket.socket:
        last: OSError | None = None
        for family, kind, protocol, _, address in guard.addresses(host, port):
            connection = socket.socket(family, kind, protocol)
            # TLS takes the socket over; a duplicate stays ours to shut.
            sockets.append(connection.dup())
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection.connect(address)
                if time.monotonic() >= deadline:
                    # The watchdog has been and gone, and found nothing connected to shut.
                    raise TimeoutError
                return connection
            except OSError as error:
                connection.close()
                last = error
        raise last or OSError("the host has no address")

    class GuardedHTTPConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            try:
                return dial(self._dns_host, self.port)
            except OSError as error:
                # urllib3 swallows some that are bare, and goes on without a socket.
                raise NewConnectionError(self, str(error)) from error

    class GuardedHTTPSConnection(GuardedHTTPConnection, HTTPSConnection):
        pass

    class GuardedHTTPPool(HTTPConnectionPool):
        ConnectionCls = GuardedHTTPConnection

    class GuardedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = GuardedHTTPSConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": GuardedHTTPPool, "https": GuardedHTTPSPool}

    with requests.Session() as session:
        # No proxy, no .netrc and no certificate store that the environment names.
        session.trust_env = False
        adapter = Adapter(max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            yield session, sockets
        finally:
            for duplicate in sockets:
                duplicate.close()


@contextmanager
def _watchdog(sockets: list[socket.socket], seconds: float) -> Iterator[None]:
    """Shut the sockets at the deadline: a server that sends a byte a second never meets a timeout between bytes."""

    def shut() -> None:
        for connection in sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
