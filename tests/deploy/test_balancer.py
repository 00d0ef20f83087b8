"""Two copies of the service behind a real nginx, with a real Redis and a store that speaks S3's protocol."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.app.api.test_native import SMALL
from tests.deploy.nginx import BALANCER, Balancer
from tests.deploy.prometheus import free_port
from tests.fakes import wait_until
from tests.server import ROOT, Server
from tests.shared import RedisServer, S3Server

ANALYZE = "/documentintelligence/documentModels/prebuilt-read:analyze"
Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, s3_server: S3Server) -> Iterator[Start]:
    """Start copies of the service, which share what they can."""
    redis_server.client.flushall()
    bucket = s3_server.make_bucket("copies")
    servers = []

    def make(port: int = 0, **settings: Any) -> Server:
        shared = {
            "command": [sys.executable, "-m", "tests.odd"],
            "pythonpath": ROOT,
            "trusted_proxies": "127.0.0.1",
            "rate_limit": "none",
            "result_cache": redis_server.url,
            "shared_state": redis_server.url,
            "storage": "s3",
            "s3_bucket": bucket,
            **s3_server.environment,
            "port": port,
        }
        servers.append(Server(tmp_path_factory.mktemp("copy"), **shared | settings))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def copies(start: Start, ports: tuple[int, int]) -> list[Server]:
    return [start(port) for port in ports]


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory, copies: list[Server], ports: tuple[int, int]) -> Iterator[Any]:
    running = Balancer(tmp_path_factory.mktemp("balancer"), [f"127.0.0.1:{port}" for port in ports])
    yield running
    running.stop()


def ask(url: str, prompt: str, **options: Any) -> requests.Response:
    form = {"model": "odd", "prompt": prompt, **options}
    return requests.post(f"{url}/generate-text", files={"image_file": SMALL}, data=form, timeout=120)


def test_each_answers_with_what_the_other_computed_and_kept(copies: list[Server]) -> None:
    first, second = (ask(copy.url, "only once") for copy in copies)
    assert "cached" not in first.json()
    assert second.json()["cached"] is True
    assert second.json()["text"] == first.json()["text"] == "only once"
    name = first.json()["image"]["saved_as"]
    for copy in copies:
        found = copy.get(f"/{name}")
        assert found.content == SMALL
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert name.rpartition("/")[2] in found.headers["Content-Disposition"]
    assert copies[1].process.pid != copies[0].process.pid
    assert requests.delete(f"{copies[1].url}/{name}", timeout=30).status_code == 204
    assert copies[0].get(f"/{name}").status_code == 404


def test_an_operation_and_its_export_are_found_by_either(copies: list[Server]) -> None:
    sign = (ROOT / "Input" / "sign.jpg").read_bytes()
    one, other = copies
    begun = one.post(f"{ANALYZE}?output=pdf", data=sign, headers={"Content-Type": "image/jpeg"})
    assert begun.status_code == 202
    path = begun.headers["Operation-Location"].removeprefix(one.url)
    assert other.get(path).json()["status"] in ("notStarted", "running", "succeeded")
    wait_until(lambda: other.get(path).json()["status"] == "succeeded", 120)
    assert "PLATFORM 4" in other.get(path).json()["analyzeResult"]["content"]
    pdf = path.partition("?")[0] + "/pdf"
    assert other.get(pdf).content == one.get(pdf).content
    assert other.get(pdf).content.startswith(b"%PDF")
    assert requests.delete(other.url + path, timeout=30).status_code == 204
    assert [copy.get(path).status_code for copy in copies] == [404, 404]

    events = one.post(
        "/generate-text?model=rapidocr&format=hocr",
        data=sign,
        headers={"Accept": "text/event-stream", "Content-Type": "image/jpeg"},
    )
    export = events.text.partition('"export":"')[2].partition('"')[0]
    assert "ocr_page" in other.get(f"/{export}").text


def test_clients_have_their_limits_over_all_copies(start: Start, redis_server: RedisServer) -> None:
    limited = [start(rate_limit="2/hour", client_requests=1) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(ask, limited[0].url, "sleep 4")
        wait_until(lambda: redis_server.client.exists("i2t:in-work:requests:127.0.0.1") == 1)
        refused = ask(limited[1].url, "at once")
        assert refused.status_code == 429
        assert "in work already" in refused.json()["detail"]
        assert slow.result().status_code == 200
    # What was refused for that is none of the two.
    assert ask(limited[1].url, "after that").status_code == 200
    for copy in limited:
        refused = ask(copy.url, "too often")
        assert refused.status_code == 429
        assert "RATE_LIMIT" in refused.json()["detail"]


def metrics(server: Server) -> str:
    return requests.get(f"{server.url}/metrics", timeout=30).text


def test_a_refusal_of_one_is_not_seen_while_the_other_has_room(start: Start, tmp_path: Path) -> None:
    small = [start(max_requests=1, result_cache_mb=0) for _ in range(2)]
    balancer = Balancer(tmp_path, [copy.url.removeprefix("http://") for copy in small])
    try:
        with ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(ask, balancer.url, f"sleep 3.{i}") for i in range(2)]
            wait_until(lambda: all("i2t_requests_in_work 1.0" in metrics(copy) for copy in small))
            # Both are full, and the client is told so with what the service says.
            refused = ask(balancer.url, "at once")
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
            assert [one.result().status_code for one in slow] == [200, 200]
        assert ask(balancer.url, "after that").status_code == 200
    finally:
        balancer.stop()


def test_one_is_killed_and_the_other_answers(start: Start, copies: list[Server], balancer: Balancer) -> None:
    end = threading.Event()
    statuses: list[tuple[int, str]] = []

    def client(number: int) -> None:
        turn = 0
        while not end.is_set():
            turn += 1
            answer = ask(balancer.url, f"sleep 0.0{number}{turn}")
            statuses.append((answer.status_code, answer.text))

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(1, 9)]
        time.sleep(1)
        copies[0].kill()
        before = len(statuses)
        wait_until(lambda: len(statuses) > before + 30, 120)
        end.set()
        for one in clients:
            one.result()
    assert {status for status, _ in statuses} == {200}, statuses
    assert requests.get(f"{balancer.url}/readyz", timeout=30).ok


def test_copies_are_restarted_one_after_the_other(tmp_path: Path) -> None:
    """The script waits until each answers at `/readyz`, and leaves the others where one does not."""
    script, ports = BALANCER.with_name("restart.sh"), [str(free_port()) for _ in range(3)]
    # Serves its directory: the second has no readyz.
    restart = tmp_path / "restart"
    restart.write_text(
        "#!/bin/sh\nport=${1#*@}; echo $port >>said; mkdir -p $port; [ $port = $SICK ] || : >$port/readyz\n"
        f"{sys.executable} -m http.server $port --bind 127.0.0.1 --directory $port 2>/dev/null >&2 &\necho $! >>pids\n",
        encoding="utf-8",
    )
    restart.chmod(0o755)
    try:
        result = subprocess.run(
            [script, *ports],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "RESTART": str(restart), "PATIENCE": "2", "SICK": ports[1]},
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            subprocess.run(["kill", pid], check=True)
    assert result.returncode == 1
    assert f"port {ports[1]} does not answer" in result.stderr
    assert (tmp_path / "said").read_text().split() == ports[:2]
