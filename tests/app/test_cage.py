"""Processes that decode: what they answer, what ends them, and what is left afterwards."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
from PIL import Image

from app.cage.keeper import Cage, Decoded
from app.cage.wire import receive
from app.config import FORMATS
from app.errors import InvalidImage, Unavailable, UnsupportedMedia
from tests import drawn, hostile
from tests.conftest import encoded
from tests.server import ROOT

MEMORY = 1_500_000_000
Started = Callable[[], list[psutil.Process]]
PHOTO = encoded(Image.effect_noise((64, 48), 50).convert("RGB"), "PNG")


def decode(cage: Cage, data: bytes, max_pixels: int = 100_000_000) -> Decoded:
    return cage.run("image", data, formats=FORMATS, max_pixels=max_pixels, max_frames=10**6)


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
    assert refused.wait(30)


def test_what_takes_long_lets_others_go_first(started: Started) -> None:
    cage = Cage(1, 3.0, MEMORY)
    cage.warm()
    (process,) = started()
    errors: list[str] = []

    def work() -> None:
        try:
            decode(cage, hostile.tiff_of_many_frames())
        except InvalidImage as error:
            errors.append(error.detail)

    refused = threading.Thread(target=work)
    refused.start()
    end = time.monotonic() + 20
    while process.nice() == 0:
        assert time.monotonic() < end
        time.sleep(0.05)
    refused.join()
    assert "too long" in errors[0]
    cage.close()


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

    monkeypatch.setattr("app.cage.keeper.receive", full)
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
from app.cage.keeper import Cage
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
    _, alive = psutil.wait_procs(processes, timeout=40)
    assert alive == []
