"""Processes that decode: what they answer, what ends them, and what is left afterwards."""

import ctypes
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from app.config import FORMATS
from app.decoding.pool import Cage, Decoded
from app.decoding.protocol import receive
from app.errors import InvalidImage, Unavailable, UnsupportedMedia
from tests import drawn, hostile
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import ROOT

MEMORY = 1_500_000_000
Started = Callable[[], list[psutil.Process]]
PHOTO = encoded(Image.effect_noise((64, 48), 50).convert("RGB"), "PNG")


def decode(cage: Cage, data: bytes, max_pixels: int = 100_000_000) -> Decoded:
    return cage.run("image", data, formats=FORMATS, max_pixels=max_pixels, max_frames=10**6)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands back for others takes its time on a machine that does much else."""
    monkeypatch.setattr("app.decoding.process._WALL", 100)


@pytest.fixture
def strict() -> Iterator[Cage]:
    """One process that has a second and little memory."""
    cage = Cage(1, 1.0, MEMORY)
    yield cage
    cage.close()


@pytest.fixture
def started() -> Started:
    """Says which processes have been started since, and live."""
    before = psutil.Process().children()
    return lambda: [process for process in psutil.Process().children() if process not in before]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="of glibc alone")
def test_memory_is_kept_for_the_next_file_and_given_back_when_none_comes(strict: Cage, started: Started) -> None:
    photo = encoded(Image.effect_noise((1600, 1200), 50).convert("RGB"), "JPEG")
    for _ in range(3):
        decode(strict, photo)
    (process,) = started()
    before = minor_faults(process)
    for _ in range(5):
        decode(strict, photo)
    # The image alone has 1,875 pages of memory.
    assert (minor_faults(process) - before) / 5 < 500
    held = process.memory_info().rss
    wait_until(lambda: process.memory_info().rss < held - 8_000_000)


def minor_faults(process: psutil.Process) -> int:
    """Return how often a process was given a page of memory."""
    return int(Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[7])


def test_an_image_comes_as_it_was_decoded(cage: Cage) -> None:
    decoded = decode(cage, PHOTO)
    assert decoded.facts == {"format": "PNG", "frames": 1, "size": list(decoded.image.size)}
    assert decoded.image is not None
    with Image.open(io.BytesIO(PHOTO)) as expected:
        assert np.array_equal(np.asarray(decoded.image), np.asarray(expected))


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"hello", UnsupportedMedia, "not an image"),
        (PHOTO[:100], InvalidImage, "cut off"),
        (b"", InvalidImage, "empty"),
    ],
)
def test_an_error_comes_as_itself(cage: Cage, data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        decode(cage, data)


def test_a_process_is_used_again(started: Started, strict: Cage) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    with pytest.raises(InvalidImage):
        decode(strict, PHOTO[:100])
    decode(strict, PHOTO)
    assert started() == [process]


def test_an_image_does_not_wait_for_a_pdf(strict: Cage) -> None:
    data, refused = hostile.nested_pdf(), threading.Event()

    def render() -> None:
        with pytest.raises(InvalidImage):
            strict.run("pdf_page", data, number=0, dpi=72, max_pixels=1_000_000)
        refused.set()

    threading.Thread(target=render).start()
    time.sleep(0.2)
    decode(strict, PHOTO)
    assert not refused.is_set()
    assert refused.wait(100)


def test_what_takes_long_lets_others_go_first(started: Started) -> None:
    cage = Cage(1, 3.0, MEMORY)
    cage.warm()
    (process,) = started()
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(decode, cage, hostile.tiff_of_many_frames())
        wait_until(lambda: process.nice() == 19, 20)
        if sys.platform == "linux":
            wait_until(lambda: os.sched_getscheduler(process.pid) == os.SCHED_IDLE, 20)
            # Its priority counts only among those of the session.
            assert os.getsid(process.pid) == os.getsid(0)
        # Nor does the next one wait for its place, though there is but one.
        assert decode(cage, PHOTO).image is not None
        assert not refused.done()
        with pytest.raises(InvalidImage, match="too long"):
            refused.result(100)
    assert not psutil.pid_exists(process.pid), "who has stood back does so for good"
    assert decode(cage, PHOTO).image is not None
    cage.close()


def test_a_machine_too_busy_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr("app.decoding.process._WALL", 0.2)
    cage = Cage(1, 2.0, MEMORY)
    with pytest.raises(Unavailable, match="busy") as refused:
        decode(cage, hostile.tiff_of_many_frames())
    assert refused.value.retry_after
    assert started() == []


def test_images_that_wait_for_models_leave_room_for_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.decoding.pool._PATIENCE", 5)
    cage = Cage(2, 4.0, MEMORY, room=64 * 48 * 3 + 1)
    waiting = [decode(cage, PHOTO), decode(cage, PHOTO)]
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(decode, cage, PHOTO)
        time.sleep(0.3)
        assert not third.done()
        # It goes on when somebody lets go of an image.
        waiting.pop()
        waiting.append(third.result(5))
        del third
    monkeypatch.setattr("app.decoding.pool._PATIENCE", 0.1)
    with pytest.raises(Unavailable, match="room") as refused:
        decode(cage, PHOTO)
    assert refused.value.retry_after
    waiting.clear()
    assert decode(cage, PHOTO).image is not None
    cage.close()


def test_a_process_has_none_of_the_service_s_secrets(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: Cage
) -> None:
    monkeypatch.setenv("API_KEYS", "a-key")
    decode(strict, PHOTO)
    (process,) = started()
    # Python itself sets the last.
    harmless = {"OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}
    assert not process.environ().keys() - harmless


def test_what_takes_too_long(strict: Cage) -> None:
    with pytest.raises(InvalidImage, match="too long"):
        decode(strict, hostile.tiff_of_many_frames())
    assert decode(strict, PHOTO).facts["format"] == "PNG", "the next one has a new process"


def test_a_pdf_that_takes_too_long(strict: Cage) -> None:
    data = hostile.nested_pdf()
    assert len(data) < 3_000
    assert strict.run("pdf", data).facts == {"sizes": [[9, 9]]}
    with pytest.raises(InvalidImage, match="too long"):
        strict.run("pdf_page", data, number=0, dpi=72, max_pixels=1_000_000)
    assert strict.run("pdf", drawn.pdf([drawn.page(["words"])])).facts["sizes"]


def test_what_takes_too_much_memory() -> None:
    small = Cage(1, 4.0, 300_000_000)
    for data in (encoded(Image.new("L", (8_000, 8_000)), "PNG"), hostile.tiff_of_a_huge_tile()):
        with pytest.raises(InvalidImage):
            decode(small, data)
        assert decode(small, PHOTO).facts["format"] == "PNG"
    with pytest.raises(InvalidImage, match="more memory"):
        small.run("pdf_page", drawn.pdf([drawn.page(["words"])]), number=0, dpi=1200, max_pixels=100_000_000)
    assert decode(small, PHOTO).facts["format"] == "PNG"
    small.close()


def test_a_process_that_crashes_in_its_work(started: Started, strict: Cage) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    errors: list[Exception] = []

    def work() -> None:
        try:
            decode(strict, hostile.tiff_of_many_frames())
        except InvalidImage as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGSEGV)
    thread.join(20)
    assert "decoder fails" in str(errors[0])
    assert not psutil.pid_exists(process.pid), "no zombie"


def test_a_process_that_died_idle_is_not_the_next_file_s_fault(started: Started, strict: Cage) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    process.kill()
    time.sleep(0.1)
    assert decode(strict, PHOTO).facts["format"] == "PNG"


def test_many_threads_share_a_few_processes(started: Started) -> None:
    cage = Cage(2, 4.0, MEMORY)
    seen: list[int] = []

    def work() -> None:
        for _ in range(10):
            decode(cage, PHOTO)
            seen.append(len(started()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 80
    assert max(seen) <= 2
    cage.close()
    assert started() == []


def test_what_cannot_start_is_no_fault_of_the_file() -> None:
    with pytest.raises(Unavailable, match="does not start"):
        decode(Cage(1, 1.0, -5), PHOTO)


def test_what_the_system_does_not_start_is_no_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: Cage
) -> None:
    monkeypatch.setattr(sys, "executable", "/not/there")
    before = psutil.Process().num_fds()
    # The service starts all the same.
    strict.warm()
    with pytest.raises(Unavailable, match="No such file") as refused:
        decode(strict, PHOTO)
    assert "/not/there" not in str(refused.value)
    assert psutil.Process().num_fds() == before
    monkeypatch.undo()
    assert decode(strict, PHOTO).facts["format"] == "PNG"


def test_a_process_whose_answer_cannot_be_taken_is_ended(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: Cage
) -> None:
    decode(strict, PHOTO)
    (process,) = started()

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("app.decoding.process.receive", full)
    with pytest.raises(MemoryError):
        decode(strict, PHOTO)
    assert not psutil.pid_exists(process.pid)
    monkeypatch.undo()
    assert decode(strict, PHOTO).facts["format"] == "PNG"


def test_a_message_longer_than_agreed_is_not_read() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall((2).to_bytes(4) + (2**40).to_bytes(8) + b"{}")
        with pytest.raises(ValueError, match="bytes"):
            receive(here, 1_000_000)


PROGRAM = """
import sys, threading, time
from app.decoding.pool import Cage
from tests import hostile
cage = Cage(2, 1.5, 1_500_000_000)
cage.warm()
hang = threading.Thread(target=cage.run, args=("pdf_page", hostile.nested_pdf()), daemon=True,
                        kwargs=dict(number=0, dpi=72, max_pixels=1000))
other = threading.Thread(target=cage.run, args=("pdf", hostile.nested_pdf()), daemon=True)
hang.start()
other.start()
other.join()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_service_leaves_no_process_behind() -> None:
    service = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE)
    assert service.stdout is not None
    with service.stdout as output:
        assert output.readline() == b"ready\n"
    processes = psutil.Process(service.pid).children()
    assert len(processes) == 2
    os.kill(service.pid, signal.SIGKILL)
    service.wait(10)
    # The idle one at once, the busy one when its time is over.
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []
