"""The process: how it starts, what it does under load, how it stops."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import serving
from app.config import Settings
from tests.app.api.test_native import SMALL, assert_problem
from tests.server import ROOT, Server

SLOW = {"model": "blip-base", "min_new_tokens": 480, "max_new_tokens": 480, "num_beams": 2}


def test_a_full_queue_answers_429_and_healthz_goes_on(make_server: Callable[..., Server], model_paths: str) -> None:
    server = make_server(model_paths=model_paths, result_cache_mb=0, queue_size=3, max_requests=20)
    server.generate(SMALL, model="blip-base", max_new_tokens=1)
    with ThreadPoolExecutor(40) as pool:
        flood = [pool.submit(server.generate, SMALL, **SLOW) for _ in range(40)]
        server.wait_for_log("429")
        waits = []
        for _ in range(20):
            started = time.monotonic()
            assert server.get("/healthz").ok
            waits.append(time.monotonic() - started)
        answers = [job.result() for job in flood]
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert_problem(answer, 429, "queue-full")
    # Generous: it is the order of magnitude that shows a health check that waits behind requests.
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_the_grace_period_ends(make_server: Callable[..., Server], model_paths: str) -> None:
    server = make_server(model_paths=model_paths, result_cache_mb=0, shutdown_grace=0.2, log_level="DEBUG")
    server.generate(SMALL, model="blip-base", max_new_tokens=1)
    with ThreadPoolExecutor(20) as pool:
        running = [pool.submit(server.generate, SMALL, **SLOW) for _ in range(20)]
        server.wait_for_log("batch of 1.*batch of", flags=re.DOTALL)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10
        statuses = [job.result().status_code for job in running if not job.exception()]
    assert 503 in statuses, "what still waited was answered"


def test_asked_twice_it_ends_at_once(make_server: Callable[..., Server], model_paths: str) -> None:
    server = make_server(model_paths=model_paths, result_cache_mb=0, log_level="DEBUG")
    server.generate(SMALL, model="blip-base", max_new_tokens=1)
    with ThreadPoolExecutor(20) as pool:
        for _ in range(20):
            pool.submit(server.generate, SMALL, **SLOW | {"num_beams": 10})
        server.wait_for_log("batch of 1.*batch of", flags=re.DOTALL)
        server.process.send_signal(signal.SIGINT)
        server.wait_for_log("SIGINT: finishing")
        # The same signal on two ways, as make and a supervisor of the whole group send it.
        server.process.send_signal(signal.SIGINT)
        time.sleep(1.1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 0
    assert "SIGINT again: stopping at once" in server.log


def test_ctrl_c_while_it_starts_leaves_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, env={"PRELOAD": ""}, stderr=subprocess.PIPE, text=True)
    try:
        while "pydantic_core" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in said
    # It may have got as far as serving.
    assert process.returncode in (130, 0)


def test_an_idle_service_stops_at_once_and_leaves_nothing_half(make_server: Callable[..., Server]) -> None:
    server = make_server()
    (server.directory / "images" / ".partial-left-by-a-killed-process").write_bytes(b"half")
    assert server.stop() == 0
    again = Server(server.directory)
    try:
        assert list((server.directory / "images").iterdir()) == []
    finally:
        again.kill()


def test_no_dependency_leaves_traces_for_telemetry(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(home=tmp_path)
    assert server.generate(SMALL, model="rapidocr").ok
    assert list(tmp_path.iterdir()) == []
    assert "telemetry" not in server.log


def start(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the service with settings that it cannot start with."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py")],
        cwd=directory,
        env={"PRELOAD": ""} | {name.upper(): value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_busy_port_is_one_clear_line_that_names_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = start(tmp_path, port=str(port))
    assert result.returncode == 2
    assert result.stderr.startswith(f"PORT: {port} on 127.0.0.1 is taken")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"port": "many"}, ["PORT: "]),
        ({"port": "99999", "device": "gpu", "precision": "int3"}, ["PORT: ", "DEVICE: ", "PRECISION: "]),
        ({"default_model": "nonesuch"}, ["DEFAULT_MODEL: "]),
        ({"default_model": "t5-tags"}, ["DEFAULT_MODEL: t5-tags does not turn images into text"]),
        ({"host": "no.such.host.invalid"}, ["HOST: "]),
        ({"host": "a..b"}, ["HOST: "]),
        ({"cors_origins": "https://a.example/"}, ["CORS_ORIGINS: "]),
        ({"cors_origins": "https://a.*.example,*.example"}, ["CORS_ORIGINS: "]),
        ({"fetch_allow_hosts": "http://nas.local"}, ["FETCH_ALLOW_HOSTS: "]),
        ({"fetch_allow_hosts": "nas:abc", "trusted_hosts": "fd00::1"}, ["FETCH_ALLOW_HOSTS: ", "TRUSTED_HOSTS: "]),
        ({"preload": "blip-base,nonesuch"}, ["PRELOAD: "]),
        ({"models_allowed": "*,nonesuch"}, ["MODELS_ALLOWED: no model nonesuch"]),
        ({"device": "cuda:7"}, ["DEVICE, PRECISION: cuda:7 is missing"]),
        ({"device": "cpu", "precision": "float16"}, ["DEVICE, PRECISION: float16 is not for CPUs: use one of "]),
        ({"model_paths": "mine"}, ["MODEL_PATHS: "]),
        ({"model_revisions": "rapidocr=v2"}, ["MODEL_REVISIONS: rapidocr: "]),
        ({"model_paths": "mine=/nowhere"}, ["MODEL_PATHS: mine: /nowhere is not a directory"]),
    ],
)
def test_each_mistake_in_the_settings_is_one_line(tmp_path: Path, settings: dict[str, str], lines: list[str]) -> None:
    result = start(tmp_path, port=settings.pop("port", "0"), **settings)
    assert result.returncode == 2
    printed = result.stderr.splitlines()
    assert len(printed) == len(lines), result.stderr
    for line, begin in zip(sorted(printed), sorted(lines), strict=True):
        assert line.startswith(begin)


def test_it_says_where_it_listens_and_what_is_there(make_server: Callable[..., Server], model_paths: str) -> None:
    server = make_server(model_paths=model_paths, default_model="kosmos-2")
    server.wait_for_log(f"listening on {server.url}")
    found = server.wait_for_log(r"models on this machine: (.*); default: (.*)")
    assert "rapidocr" in found[1].split(", ")
    assert "blip-base" in found[1].split(", ")
    assert found[2] == "kosmos-2"
    assert server.get("/readyz").json()["model"] == "kosmos-2"


def test_it_says_which_model_auto_is_and_what_of_env_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PRESICION=int8\nCOLOUR=red\nlog_level=info\n")
    server = Server(tmp_path)
    try:
        assert server.wait_for_log("default: (.*)")[1] == server.get("/models").json()["default"] == "efficientnet-gru"
        assert "WARNING .env: PRESICION is not a setting; did you mean PRECISION?" in server.log
        assert "INFO    .env also sets COLOUR, which" in server.log
    finally:
        server.kill()


def test_a_former_name_of_a_model_works_in_settings_and_addresses(make_server: Callable[..., Server]) -> None:
    former, name = "flickr8k-gru", "efficientnet-gru"
    server = make_server(default_model=former, preload=former, models_allowed=former)
    server.wait_for_state(name, "ready")
    assert server.get("/readyz").json()["model"] == name
    unloaded = server.post(f"/models/{former}/unload").json()
    assert (unloaded["name"], unloaded["state"]) == (name, "on_disk")
    assert server.post(f"/models/{former}/load").status_code == 202
    assert server.generate(SMALL).json()["model"] == name


def test_cors(make_server: Callable[..., Server], server: Server) -> None:
    friend, stranger = {"Origin": "https://friend.example"}, {"Origin": "https://stranger.example"}
    open_server = make_server(cors_origins="https://friend.example,https://*.friends.example", trusted_hosts="*")
    answer = open_server.post("/generate-text", files={"image_file": SMALL}, headers=friend)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert_problem(open_server.post("/generate-text", files={"image_file": SMALL}, headers=stranger), 403)
    assert "Access-Control-Allow-Origin" not in server.get("/models", headers=friend).headers
    for origin, status in {
        "https://a.friends.example": 200,
        "https://a.b.Friends.example": 200,
        "https://friends.example": 403,
        "https://afriends.example": 403,
        "http://a.friends.example": 403,
        "https://a.friends.example.evil.example": 403,
        "https://evil.example/.friends.example": 403,
        "https://evil.example?a.friends.example": 403,
    }.items():
        answer = open_server.post("/generate-text", files={"image_file": SMALL}, headers={"Origin": origin})
        assert answer.status_code == status, origin
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if status == 200 else None)
    assert open_server.get("/models", headers={"Host": "anything.example"}).ok


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:5000", 200),
        ("photos.localhost:5000", 200),
        ("127.0.0.2:5000", 200),
        ("[::1]:5000", 200),
        ("192.168.1.5", 200),
        ("my-machine:5000", 200),
        ("evil.example", 400),
        ("evil.example:5000", 400),
        ("evil.example.", 400),
        ("10.0.0.1.evil.example", 400),
        ("localhost.evil.example", 400),
        ("[::1", 400),
        ("evil.example:x", 400),
    ],
)
def test_names_that_lead_to_a_service_of_this_machine_alone(server: Server, host: str, status: int) -> None:
    answer = server.get("/models", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert "TRUSTED_HOSTS" in assert_problem(answer, 400)["detail"]


def test_settings_of_a_file_in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("QUEUE_SIZE=7\nPRELOAD=\nLOG_LEVEL=debug\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    monkeypatch.setenv("QUEUE_SIZE", "7")
    monkeypatch.delenv("PRELOAD", raising=False)
    settings = Settings.read()
    monkeypatch.setenv("PRELOAD", "")  # so that what .env put into the environment is undone
    assert (settings.queue_size, settings.preload, settings.log_level) == (7, (), "ERROR")


def test_old_images_are_removed_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = threading.Semaphore(0)

    class Failing:
        calls = 0

        def tidy(self) -> None:
            calls.release()
            self.calls += 1
            # The last one ends the thread.
            raise OSError("stale file handle") if self.calls < 3 else SystemExit

    monkeypatch.setattr(serving, "TIDY_EVERY", 0.01)
    threading.Thread(target=serving.tidy_regularly, args=(Failing(),), daemon=True).start()
    assert all(calls.acquire(timeout=10) for _ in range(3))
    assert "cannot remove old images" in caplog.text
