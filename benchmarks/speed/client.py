"""A closed loop of clients over HTTP: each sends a request, waits for the answer, and sends the next."""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from statistics import median, quantiles

from benchmarks.speed.servers import Server

_BOUNDARY = "between-the-parts-of-a-form"
_PAUSE = 0.5
"""Seconds before a refused request is sent again."""
_TIMEOUT = 900.0


@dataclass(frozen=True)
class Request:
    """A request as it is sent."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Run:
    """What came of some requests: seconds of each that was answered, of all together, and how many were refused at
    first (429) or failed."""

    latencies: Sequence[float]
    seconds: float
    refused: int
    failed: int
    texts: Sequence[str]

    @property
    def p50(self) -> float:
        """Seconds of the median request."""
        return median(self.latencies)

    @property
    def p95(self) -> float:
        """Seconds within which 95 % of the requests were answered."""
        return quantiles(self.latencies, n=20, method="inclusive")[-1] if len(self.latencies) > 1 else self.p50

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def form(image: bytes, fields: Mapping[str, object]) -> Request:
    """Return an image and fields as the form that this service and the plain one take."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image_file"; filename="a.jpg"\r\n\r\n'.encode()
    body = b"".join([*parts, head, image, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    return Request("/generate-text", f"multipart/form-data; boundary={_BOUNDARY}", body)


def as_json(path: str, fields: Mapping[str, object]) -> Request:
    """Return fields as JSON."""
    return Request(path, "application/json", json.dumps(fields).encode())


def send(server: Server, request: Request) -> tuple[int, bytes, float]:
    """Send a request over a connection of its own; return the status, the body, and the seconds it took."""
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", request.path, request.body, {"Content-Type": request.content_type})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, body, time.perf_counter() - started


def load(server: Server, requests: Iterable[Request], clients: int) -> Run:
    """Let so many clients send requests, each request once and a refused one again a moment later.

    Raises:
        AssertionError: two requests are the same, or a server answered from memory: then it would not be a measurement.
    """
    todo = list(requests)
    assert len({request.body for request in todo}) == len(todo), "each request is a different one"
    waiting = iter(todo)
    lock = threading.Lock()
    latencies: list[float] = []
    texts: list[str] = []
    counts = {"refused": 0, "failed": 0}

    def client() -> None:
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            status, body, seconds = send(server, request)
            while status == 429:
                with lock:
                    counts["refused"] += 1
                time.sleep(_PAUSE)
                status, body, seconds = send(server, request)
            with lock:
                if status == 200:
                    answer = json.loads(body)
                    assert "cached" not in answer, "answered from memory"
                    latencies.append(seconds)
                    texts.append(str(answer.get("text", answer.get("tags"))))
                else:
                    counts["failed"] += 1

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    seconds = time.perf_counter() - started
    if not latencies:
        raise RuntimeError(f"{server.label} answered none of {len(todo)} requests")
    return Run(latencies, seconds, counts["refused"], counts["failed"], texts)
