"""Faults 57 to 71: what happens while the service runs. Most with the models of `tests/odd.py`, which do as they are
told."""

import hashlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from tests.app.api.test_native import SMALL, assert_problem
from tests.conftest import encoded
from tests.server import ROOT, Server

LARGE = SMALL + bytes(300_000)
PATH = "/generate-text?model=odd&prompt="
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose queues hold two, and whose requests wait three seconds. The weights of its model `cut-off` are
    none."""
    broken = tmp_path_factory.mktemp("broken")
    (broken / "config.json").write_text('{"model_type": "blip"}')
    (broken / "model.safetensors").write_bytes(b"not weights at all" * 100)
    running = Server(
        tmp_path_factory.mktemp("odd"),
        [sys.executable, "-m", "tests.odd"],
        pythonpath=ROOT,
        model_paths=f"cut-off={broken}",
        queue_size=2,
        request_timeout=3,
        max_requests=20,
        result_cache_mb=0,
        log_level="DEBUG",
    )
    assert ask(running, "warm").ok
    yield running
    running.kill()


def ask(server: Server, prompt: str, image: bytes = SMALL, **options: Any) -> requests.Response:
    return server.generate(image, **({"model": "odd", "prompt": prompt} | options))


def said(server: Server, prompt: str) -> str:
    response = ask(server, prompt)
    assert response.status_code == 200, response.text
    return str(response.json()["text"])


def send(server: Server, prompt: str, request_id: str, **headers: str) -> http.client.HTTPConnection:
    """Send a request, and do not wait for its answer."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    path = PATH + prompt.replace(" ", "%20")
    connection.request("POST", path, SMALL, {"X-Request-ID": request_id, "Content-Type": "image/png", **headers})
    return connection


def batches(server: Server) -> int:
    return server.log.count("odd: batch of")


def occupied(server: Server, seconds: float) -> http.client.HTTPConnection:
    """Let the model sleep, and return when it does."""
    before = batches(server)
    connection = send(server, f"sleep {seconds}", "sleeper")
    while batches(server) == before:
        time.sleep(0.01)
    return connection


def on_disk(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_57_a_full_disk(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """Disk full: 507, and no partial file left"""
    alone = next((way for way in (["--mount"], ["--map-root-user", "--mount"]) if may_unshare(way, tmp_path)), None)
    if alone is None:
        pytest.skip("needs unshare, and the permission to mount")
    mount = f"mount -t tmpfs -o size=200k tmpfs {tmp_path} && exec {sys.executable} -m tests.odd"
    server = make_server(
        command=["unshare", *alone, "sh", "-c", mount], pythonpath=ROOT, images_dir=tmp_path, log_level="DEBUG"
    )
    # As the service sees it.
    directory = Path(f"/proc/{server.process.pid}/root{tmp_path}")
    for image in (LARGE, LARGE + b"\0"):
        problem = assert_problem(ask(server, "a", image), 507, "storage-full")
        assert str(tmp_path) not in problem["detail"]
        assert on_disk(directory) == []
    # Found out before a model works in vain; and what fits goes on.
    assert batches(server) == 0
    assert ask(server, "a", SMALL).ok
    assert on_disk(directory) == [f"{hashlib.sha256(SMALL).hexdigest()}.png"]


def may_unshare(way: list[str], directory: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", *way, "mount", "-t", "tmpfs", "tmpfs", str(directory)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_58_a_directory_that_is_read_only(make_odd: Callable[..., Server]) -> None:
    """images/ read-only: said at start; 507"""
    server = make_odd(images_dir="/proc/none")
    assert "IMAGES_DIR /proc/none cannot be written" in server.log
    assert_problem(ask(server, "a"), 507, "storage-failed")
    assert server.get("/healthz").ok
    assert server.get("/readyz").ok


def test_59_fifty_first_requests(
    make_server: Callable[..., Server], model_paths: str, pictures: list[Image.Image]
) -> None:
    """Fifty first requests at once: one load, all answered"""
    server = make_server(model_paths=model_paths, queue_size=50)
    assert server.state("blip-base")["state"] == "on_disk"
    images = [encoded(pictures[i % 8]) for i in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda image: server.generate(image, model="blip-base"), images))
    assert [answer.status_code for answer in answers] == [200] * 50
    texts = [answer.json()["text"] for answer in answers]
    assert all(texts[i] == texts[i % 8] for i in range(50))
    assert len(set(texts)) == 8
    assert server.log.count("blip-base: loaded") == 1


def test_60_weights_that_cannot_be_had(odd: Server) -> None:
    """Weights missing, hub unreachable: 503 with Retry-After for that model; live stays 200; others go on"""
    for _ in range(3):
        problem = assert_problem(odd.generate(SMALL, model="blip-base"), 503, "unavailable")
        assert "blip-base" in problem["detail"]
        assert odd.get("/healthz").ok
        assert said(odd, "others") == "others"


def test_61_a_corrupt_weights_file(odd: Server) -> None:
    """A corrupt weights file: 503, no storm of retries"""
    answers = [odd.generate(SMALL, model="cut-off") for _ in range(20)]
    for answer in answers:
        assert_problem(answer, 503, "unavailable")
    # What is tried again waits, twice as long each time; nothing but the first request loaded anything.
    assert int(answers[-1].headers["Retry-After"]) > 15
    assert odd.log.count("cut-off: model.safetensors is cut off or damaged") == 1
    assert "Traceback" not in odd.log
    assert odd.state("cut-off")["state"] == "failed"
    assert ask(odd, "others").ok


def test_62_out_of_memory(odd: Server) -> None:
    """A model out of memory: 503; the next request works"""
    for prompt in ("memory", "memory early"):
        assert "memory" in assert_problem(ask(odd, prompt), 503, "unavailable")["detail"]
        assert said(odd, "next") == "next"
    assert "memory" in assert_problem(odd.generate(SMALL, model="heavy"), 503, "unavailable")["detail"]
    assert ask(odd, "next").ok


def test_63_a_full_queue(odd: Server) -> None:
    """Queue full: 429 with Retry-After"""
    with closing(occupied(odd, 1.5)) as sleeper, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: ask(odd, f"waiting {number}"), range(12)))
        assert sleeper.getresponse().status == 200
    statuses = [answer.status_code for answer in answers]
    # Two had room; on a slow machine one more came when the sleeper was awake.
    assert 2 <= statuses.count(200) <= 4
    for answer in answers:
        if answer.status_code != 200:
            assert_problem(answer, 429, "queue-full")


def test_64_a_deadline(odd: Server) -> None:
    """Deadline passed in the queue: 503"""
    with closing(occupied(odd, 4.5)) as sleeper:
        started = time.monotonic()
        assert_problem(ask(odd, "too late"), 503, "queue-timeout")
        assert 2.9 < time.monotonic() - started < 4.5
        assert sleeper.getresponse().status == 200


@pytest.mark.parametrize("headers", [{}, EVENTS])
def test_65_a_client_that_has_gone(odd: Server, headers: dict[str, str]) -> None:
    """Client gone while queued: the job is dropped"""
    with closing(occupied(odd, 2.5)) as sleeper:
        before = batches(odd)
        client = send(odd, "left", "left", **headers)
        if headers:
            assert client.getresponse().readline() == b"event: queued\n"
        else:
            time.sleep(0.3)
        client.close()
        assert sleeper.getresponse().status == 200
    # The model has slept for less than a request waits: what was still queued would have been run.
    assert said(odd, "afterwards") == "afterwards"
    assert batches(odd) == before + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_66_sigterm(make_odd: Callable[..., Server], number: signal.Signals) -> None:
    """SIGTERM: not ready first, what runs finishes, exit 0 within the grace period"""
    server = make_odd(log_level="DEBUG")
    with closing(occupied(server, 1.5)) as sleeper:
        server.process.send_signal(number)
        server.wait_for_log(f"{number.name}: finishing 1 requests")
        assert_problem(server.get("/readyz"), 503)
        assert_problem(ask(server, "too late"), 503, "unavailable")
        assert server.process.poll() is None
        answer = sleeper.getresponse()
        assert (answer.status, json.load(answer)["text"]) == (200, "sleep 1.5")
    assert server.process.wait(10) == 0


def test_67_killed_during_a_write(make_odd: Callable[..., Server]) -> None:
    """kill -9 during a write: no half image is ever listed; leftovers are swept at start"""
    server = make_odd(log_level="DEBUG")
    images = server.directory / "images"
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(ask, server, "sleep 30", LARGE)
        while not on_disk(images):
            time.sleep(0.001)
        server.process.kill()
        server.process.wait(10)
        assert lost.exception()
    (leftover,) = on_disk(images)
    assert leftover.startswith(".partial-")
    again = Server(server.directory)
    try:
        assert on_disk(images) == []
        assert_problem(again.get(f"/images/{leftover}"), 404)
        assert_problem(again.get(f"/images/{hashlib.sha256(LARGE).hexdigest()}.png"), 404)
    finally:
        again.kill()


@pytest.mark.parametrize("prompt", ["raise", "crash"])
def test_68_a_model_that_raises(odd: Server, prompt: str) -> None:
    """A model that raises: 500, no detail leaks, the worker goes on"""
    for _ in range(2):
        response = ask(odd, prompt)
        assert_problem(response, 500, "prediction-failed")
        assert "secret" not in response.text
        assert said(odd, "goes on") == "goes on"
    # In the log, for whoever runs it.
    assert "/a/secret/path" in odd.log
    # One bad job fails alone, whatever shares its batch.
    with closing(occupied(odd, 0.5)), ThreadPoolExecutor(2) as pool:
        bad, good = pool.submit(ask, odd, prompt), pool.submit(ask, odd, "good")
        assert (bad.result().status_code, good.result().status_code) == (500, 200)


def test_69_a_failure_in_the_middle_of_a_stream(odd: Server) -> None:
    """A failure in the middle of a stream: an error event, then the end"""
    response = odd.post(PATH + "raise", data=SMALL, headers=EVENTS)
    assert response.status_code == 200
    *_, last = response.text.strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: error"
    problem = json.loads(data.removeprefix("data: "))
    assert (problem["status"], problem["code"]) == (500, "prediction-failed")
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert "secret" not in response.text


def test_70_slow_uploads(odd: Server) -> None:
    """A slow upload: holds neither a worker thread nor a model"""
    host, port = urlsplit(odd.url).netloc.split(":")
    head = (
        f"POST {PATH}slow HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: {len(SMALL)}\r\n\r\n"
    )
    slow = []
    # More than there are threads.
    for _ in range(60):
        slow.append(socket.create_connection((host, int(port)), timeout=30))
        slow[-1].sendall(head.encode() + SMALL[:10])
    started = time.monotonic()
    for number in range(5):
        assert ask(odd, f"fast {number}").ok
    assert time.monotonic() - started < 3
    slow[0].sendall(SMALL[10:])
    assert slow[0].recv(100).startswith(b"HTTP/1.1 200")
    for connection in slow:
        connection.close()


def test_71_a_thousand_bad_requests(odd: Server) -> None:
    """A thousand requests to an unknown model or a bad image: memory flat, metrics' label values bounded"""

    def bad(number: int) -> int:
        if number % 2:
            return odd.generate(SMALL, model=f"unknown-{number}").status_code
        return ask(odd, "bad", SMALL[:50] + str(number).encode()).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(bad, range(200))) == {404, 422}
        before = odd.memory()
        assert set(pool.map(bad, range(200, 1200))) == {404, 422}
        assert odd.memory() - before < 10_000_000


@pytest.mark.parametrize("seconds", [-400_000_000, 800_000_000])
def test_a_clock_that_jumps(odd: Server, seconds: int) -> None:
    assert ask(odd, f"clock {seconds}").ok
    assert ask(odd, "afterwards").ok
    with closing(occupied(odd, 0.5)) as sleeper:
        assert ask(odd, "a deadline is a time that passes, and not one of the clock").ok
        assert sleeper.getresponse().status == 200
    assert odd.get("/readyz").ok
