"""Commands as processes: pipes, signals, kills, and the service in the process itself."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fakes import wait_until
from tests.server import NETWORKS, ROOT, Server

Start = Callable[..., subprocess.Popen[bytes]]
COMMAND = [sys.executable, "-m", "app.cli"]


@pytest.fixture
def many(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A directory of forty different pictures."""
    directory = tmp_path / "photos"
    directory.mkdir()
    for number in range(40):
        pictures[number % 8].rotate(number).save(directory / f"{number:02}.jpg")
    return directory


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start commands in a directory of the test's own; they end with it."""
    processes: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NETWORK_CACHE": str(NETWORKS), "PRECISION": "float32"}

    def run(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [*COMMAND, *map(str, arguments)]
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **piped))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_the_service_in_the_process_says_what_the_server_says(
    start: Start, server: Server, many: Path, tmp_path: Path
) -> None:
    process = start("caption", "-r", many, "-m", "efficientnet-gru", "-o", "out.jsonl")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    found = lines(tmp_path / "out.jsonl")
    assert [Path(each["path"]).name for each in found] == [f"{number:02}.jpg" for number in range(40)]
    for each in found[::10]:
        picture = Path(each["path"]).read_bytes()
        assert each["text"] == server.generate(picture, model="efficientnet-gru").json()["text"]


def slow(server: Server) -> list[object]:
    """Return a command that takes long enough to be interrupted: one request at a time."""
    return ["caption", "--server", server.url, "-m", "kosmos-2", "--jobs", 1, "-f", "jsonl"]


def test_head_ends_it_quietly(start: Start, server: Server, many: Path) -> None:
    process = start(*slow(server), "-q", "-r", many)
    assert process.stdout is not None
    assert len([process.stdout.readline() for _ in range(3)]) == 3
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_ctrl_c_ends_it_soon_and_the_same_command_goes_on(
    start: Start, server: Server, many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    process = start(*slow(server), "-r", many, "-o", out)
    wait_until(lambda: len(lines(out)) >= 3, 120)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    assert process.wait(30) == 130
    assert time.monotonic() - asked < 2
    done = len(lines(out))
    assert 3 <= done < 40
    process = start(*slow(server), "-r", many, "-o", out, "--limit", 2)
    assert process.wait(100) == 0
    assert [Path(each["path"]).name for each in lines(out)] == [f"{number:02}.jpg" for number in range(done + 2)]


def test_a_second_ctrl_c_ends_it_at_once(start: Start, server: Server, many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    process = start(*slow(server), "-r", many, "-o", out)
    wait_until(lambda: bool(lines(out)), 120)
    # Stopped, it has both signals before it can end on the first.
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(2) == 130
    assert start(*slow(server), "-r", many, "-o", out, "--limit", 1).wait(100) == 0


def test_kill_at_any_moment_loses_nothing_and_doubles_nothing(
    start: Start, server: Server, many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    command = ["caption", "--server", server.url, "-m", "efficientnet-gru", "-r", many, "-o", out]
    for number in range(4):
        process = start(*command)
        already = len(lines(out))
        wait_until(lambda: process.poll() is not None or len(lines(out)) > already + number, 100)  # noqa: B023
        process.kill()
        process.wait()
    process = start(*command)
    assert process.wait(200) in (0, 5)
    assert [Path(each["path"]).name for each in lines(out)] == [f"{number:02}.jpg" for number in range(40)]


def test_two_processes_share_the_work(start: Start, server: Server, many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    before = server.log.count("batch of")
    command = ["caption", "--server", server.url, "-m", "efficientnet-gru", "--jobs", 2, "-r", many, "-o", out]
    both = [start(*command), start(*command)]
    assert {process.wait(200) for process in both} <= {0, 5}
    assert sorted(Path(each["path"]).name for each in lines(out)) == [f"{number:02}.jpg" for number in range(40)]
    assert server.log.count("batch of") - before <= 40


def test_a_directory_is_watched_until_sigterm(start: Start, server: Server, many: Path, tmp_path: Path) -> None:
    out, inbox = tmp_path / "out.jsonl", tmp_path / "inbox"
    inbox.mkdir()
    shutil.copy(many / "00.jpg", inbox / "there.jpg")
    process = start(
        *("caption", "--server", server.url, "-m", "efficientnet-gru", "--watch", inbox, "-o", out),
    )
    wait_until(lambda: len(lines(out)) == 1, 100)
    # A copy that takes a while is taken when it is complete, and what is no image is said.
    whole = (many / "01.jpg").read_bytes()
    with (inbox / "slow.jpg").open("wb") as file:
        file.write(whole[:100])
        file.flush()
        (inbox / "bad.jpg").write_text("no image")
        time.sleep(1.0)
        file.write(whole[100:])
    wait_until(lambda: len(lines(out)) == 2, 60)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert [Path(each["path"]).name for each in lines(out)] == ["there.jpg", "slow.jpg"]
    assert b"bad.jpg: " in err
    assert b"slow.jpg: " not in err


def test_paths_of_a_pipe_are_taken_as_they_come(start: Start, server: Server, many: Path) -> None:
    process = start(
        *("caption", "--server", server.url, "-m", "efficientnet-gru", "--files-from", "-", "-f", "jsonl"),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (5, 3):
        process.stdin.write(os.fsencode(many / f"{number:02}.jpg") + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"].endswith(f"{number:02}.jpg")
    process.stdin.close()
    assert process.wait(30) == 0


def test_an_image_on_stdin(start: Start, server: Server, many: Path) -> None:
    with (many / "00.jpg").open("rb") as picture:
        process = start("caption", "--server", server.url, "-m", "efficientnet-gru", "-", stdin=picture)
        out, _ = process.communicate(timeout=60)
    said = server.generate((many / "00.jpg").read_bytes(), model="efficientnet-gru").json()["text"]
    assert out.decode() == f"{said}\n"


def test_a_disk_that_fills_up_is_4_and_the_journal_is_whole(
    start: Start, server: Server, many: Path, tmp_path: Path
) -> None:
    out, journal = tmp_path / "out.jsonl", tmp_path / "journal"
    command = ["caption", "--server", server.url, "-m", "efficientnet-gru", "-r", many, "-o", out, "--journal", journal]

    def limit() -> None:
        # No file of this process may grow beyond this: the system's answer to a full quota.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start(*command, preexec_fn=limit)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 4, err
    assert b"cannot be written" in err
    done = lines(out)
    assert len(done) < 40
    process = start(*command)
    assert process.wait(200) == 0
    assert [Path(each["path"]).name for each in lines(out)] == [f"{number:02}.jpg" for number in range(40)]


def test_a_full_stdout_is_4(start: Start, server: Server, many: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start(*slow(server), many / "00.jpg", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"stdout cannot be written (No space left on device)" in err
