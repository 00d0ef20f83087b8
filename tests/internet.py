"""An internet of the tests' own: servers of raw sockets that answer as they are told, and names that lead to them."""

import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BODY = b"the bytes of an image"
# A public address, which no test may reach.
PUBLIC = "93.184.216.34"

Answer = bytes | Callable[[socket.socket], None]


def answer(body: bytes = BODY, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """Return an answer of HTTP, whose Content-Length may lie."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, Location=location)


class Upstream:
    """A server of raw sockets that answers each path as it was told, and keeps what it was sent."""

    def __init__(self, answers: dict[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [request.split()[1].decode() for request in self.requests]

    def trickle(self, head: bytes, drop: bytes = b"x") -> Callable[[socket.socket], None]:
        """Answer with a head, and then with a drop every 50 ms for five seconds."""

        def drip(connection: socket.socket) -> None:
            connection.sendall(head)
            for _ in range(100):
                if self.over.wait(0.05):
                    break
                connection.sendall(drop)

        return drip

    def settle(self) -> None:
        """Wait until every connection has been closed."""
        for thread in self._threads[1:]:
            thread.join(10)

    def close(self) -> None:
        self.over.set()
        # Wakes up accept, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        # The client may go at any time.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            connection.settimeout(10)
            if self._tls is not None:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            request = b""
            while b"\r\n\r\n" not in request:
                if not (piece := connection.recv(65_536)):
                    return
                request += piece
            self.requests.append(request)
            found = self.answers[request.split()[1].decode()]
            if callable(found):
                found(connection)
            else:
                connection.sendall(found)


class Internet:
    """Stands in for DNS and for what lies beyond this machine."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        """Names and their answers: the first is given first, the last again and again."""
        self.routes: dict[str, int] = {}
        """Addresses, and the ports of the servers here that play them."""
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self._resolve, self._connect = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        self.asked.append(host)
        if host not in self.names:
            return self.unknown(host, port, *arguments, **options)
        answers = self.names[host]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answers[min(self.asked.count(host), len(answers)) - 1]
        ]

    def unknown(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def connect(self, connection: socket.socket, address: tuple[str, int]) -> None:
        self.dialled.append(address[0])
        if address[0] in self.routes:
            address = ("127.0.0.1", self.routes[address[0]])
        assert ipaddress.ip_address(address[0]).is_loopback, f"{address} would have been dialled"
        self._connect(connection, address)


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for a name that signs itself, and its key, and return their files."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    files = ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return certificate, key


def tls_server(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return what a server with that certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
