"""image_url -> bytes: the only code that opens outbound connections for users.

The guard (`app/fetching/ssrf.py`) checks every connection when it is opened. A name is resolved once, all its addresses
are checked, and the socket is opened to a checked address, so a later answer of DNS has no effect. Each redirect opens
a new connection.

requests-hardened 1.3 does part of this for requests and is not enough: it checks only the first address, allows
168.63.129.16, fec0::/10 and IPv4 in IPv4-compatible and ISATAP addresses, does not restrict ports, follows redirects
from https to http, obeys HTTP_PROXY, and leaves the total deadline, lengths and encodings to its caller.
"""

import socket
import string
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from app import metrics
from app.errors import ForbiddenUrl, ServiceError, UnusableUrl, UpstreamFailed, UpstreamTimeout
from app.fetching.data_url import decode_data_url, is_data_url
from app.fetching.ssrf import Guard, check_url

MAX_REDIRECTS = 5
_CHUNK = 65_536
_REDIRECTS = (301, 302, 303, 307, 308)

_Found = TypeVar("_Found")


class Fetcher:
    """Fetches images by URL within limits.

    Args:
        max_bytes: the largest body, in bytes.
        timeout: seconds that a fetch may take in all, redirects included.
        ports: the ports of public hosts that may be dialled.
        allow_hosts: `host` or `host:port` of private hosts that may be dialled all the same.
        own_port: the port at which this service listens, where that is known.
    """

    def __init__(
        self,
        max_bytes: int,
        timeout: float,
        ports: Sequence[int] = (80, 443),
        allow_hosts: Sequence[str] = (),
        own_port: int | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._guard = Guard.of(ports, allow_hosts, own_port)

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind an http, https or `data:` URL.

        Raises:
            BadRequest: a `data:` URL that is not one.
            TooLarge: a `data:` URL over the limit.
            ForbiddenUrl: a scheme, host or port that is not fetched, at any redirect.
            UnusableUrl: the server refuses, or sends more than the limit.
            UpstreamFailed: the server cannot be reached, or breaks off.
            UpstreamTimeout: the deadline has passed.
        """
        with metrics.timed("fetch"), metrics.counting(metrics.FETCH_REFUSALS):
            return decode_data_url(url, self._max_bytes) if is_data_url(url) else self._download(url)

    def _download(self, url: str) -> bytes:
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
            # The redirect opens a new connection, because the server may have closed this one without notice.
            session.close()
            target = urljoin(url, _as_browsers_read(location))
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
            raise UnusableUrl("the server of the image compresses it although the request forbids that")
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
        # A connection that the watchdog has shut looks like the end of the headers, or of a body of unknown length.
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


def _as_browsers_read(location: str) -> str:
    """Return the value of a Location header as a URL: browsers percent-encode spaces and raw UTF-8 in it.

    Args:
        location: as `http.client` decodes headers, in Latin-1.

    Raises:
        ValueError: its host cannot be read.
    """
    scheme, host, *rest = urlsplit(location.strip())
    # The host is not percent-encoded: what is no name there stays one that check_url refuses.
    host = host.encode("latin-1").decode("utf-8", "replace")
    encoded = [quote(part.encode("latin-1"), safe=string.punctuation) for part in rest]
    return urlunsplit([scheme, host, *encoded])


def _within(seconds: float, work: Callable[[], _Found]) -> _Found:
    """Return what `work` returns. The operating system's resolver cannot be stopped: it goes on in its thread.

    Raises:
        TimeoutError: it takes longer.
    """
    future: Future[_Found] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    return future.result(seconds)


@contextmanager
def _guarded_session(guard: Guard, deadline: float) -> Iterator[tuple[requests.Session, list[socket.socket]]]:
    """Yield a session that dials through the guard, and the sockets that it has opened."""
    sockets: list[socket.socket] = []

    def dial(host: str, port: int) -> socket.socket:
        last: OSError | None = None
        found = _within(max(deadline - time.monotonic(), 0.001), lambda: guard.addresses(host, port))
        for family, kind, protocol, _, address in found:
            connection = socket.socket(family, kind, protocol)
            # TLS takes over the socket, so the watchdog gets a duplicate to shut.
            sockets.append(connection.dup())
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection.connect(address)
                guard.refuse_itself(host, address, connection.getsockname())
                if time.monotonic() >= deadline:
                    # The watchdog ran before this socket was connected, and could not shut it.
                    raise TimeoutError
                return connection
            except OSError as error:
                connection.close()
                last = error
            except ForbiddenUrl:
                connection.close()
                raise
        raise last or OSError("the host has no address")

    class GuardedHTTPConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            try:
                return dial(self._dns_host, self.port)
            except OSError as error:
                # urllib3 ignores some OSErrors that are not wrapped, and continues without a socket.
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
    """Shut the sockets at the deadline. The timeout of a socket never ends a server that sends a byte a second."""

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
