"""Processes that decode: what they answer, what ends them, and what is left afterwards."""

import ctypes
import dataclasses
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from app.decoding.documents import Limits, open_pages
from app.decoding.pool import Decoded, DecodingPool
from app.decoding.protocol import receive, send
from app.errors import InvalidImage, Unavailable, UnsupportedMedia
from app.setting_types import FORMATS
from tests import drawn, hostile
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import ROOT

MEMORY = 1_500_000_000
Started = Callable[[], list[psutil.Process]]
PHOTO = encoded(Image.effect_noise((64, 48), 50).convert("RGB"), "PNG")


def decode(pool: DecodingPool, data: bytes, max_pixels: int = 100_000_000) -> Decoded:
    """Decode the first page of an image."""
    with closing(pool.open("image", data)) as file:
        return file.ask({"formats": FORMATS, "max_pixels": max_pixels, "max_frames": 10**6})


def sizes(pool: DecodingPool, data: bytes) -> Any:
    """Return the sizes of the pages of a PDF."""
    with closing(pool.open("pdf", data)) as file:
        return file.ask().facts["sizes"]


def render(pool: DecodingPool, data: bytes, dpi: int = 72, max_pixels: int = 1_000_000) -> Decoded:
    """Render the first page of a PDF."""
    with closing(pool.open("pdf", data)) as file:
        return file.ask({"number": 0, "dpi": dpi, "max_pixels": max_pixels})


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands back for others takes its time on a machine that does much else."""
    monkeypatch.setattr("app.decoding.process._WALL_SECONDS", 100)


@pytest.fixture
def strict() -> Iterator[DecodingPool]:
    """One process that has a second and little memory."""
    pool = DecodingPool(1, 1.0, MEMORY)
    yield pool
    pool.close()


@pytest.fixture
def started() -> Started:
    """Says which processes have been started since, and live."""
    before = psutil.Process().children()
    return lambda: [process for process in psutil.Process().children() if process not in before]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="of glibc alone")
def test_memory_is_kept_for_the_next_file_and_given_back_when_none_comes(
    strict: DecodingPool, started: Started
) -> None:
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


def test_an_image_comes_as_it_was_decoded(pool: DecodingPool) -> None:
    decoded = decode(pool, PHOTO)
    size = list(decoded.image.size)
    assert decoded.facts == {"format": "PNG", "frames": 1, "size": size, "warnings": [], "jpeg": None}
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
def test_an_error_comes_as_itself(pool: DecodingPool, data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        decode(pool, data)


def test_a_process_is_used_again(started: Started, strict: DecodingPool) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    with pytest.raises(InvalidImage):
        decode(strict, PHOTO[:100])
    decode(strict, PHOTO)
    assert started() == [process]


def test_an_image_does_not_wait_for_a_pdf(strict: DecodingPool) -> None:
    data, refused = hostile.nested_pdf(), threading.Event()

    def work() -> None:
        with pytest.raises(InvalidImage):
            render(strict, data)
        refused.set()

    threading.Thread(target=work).start()
    time.sleep(0.2)
    decode(strict, PHOTO)
    assert not refused.is_set()
    assert refused.wait(100)


def test_a_machine_too_busy_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr("app.decoding.process._WALL_SECONDS", 0.2)
    pool = DecodingPool(1, 2.0, MEMORY)
    with pytest.raises(Unavailable, match="busy") as refused:
        decode(pool, hostile.tiff_of_many_frames())
    assert refused.value.retry_after
    assert started() == []


def test_images_that_wait_for_models_leave_room_for_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.decoding.pool._PATIENCE", 5)
    pool = DecodingPool(2, 4.0, MEMORY, max_decoded_bytes=64 * 48 * 4 + 1)
    waiting = [decode(pool, PHOTO), decode(pool, PHOTO)]
    with ThreadPoolExecutor(1) as threads:
        third = threads.submit(decode, pool, PHOTO)
        time.sleep(0.3)
        assert not third.done()
        # It goes on when somebody lets go of an image.
        waiting.pop()
        waiting.append(third.result(5))
        del third
    monkeypatch.setattr("app.decoding.pool._PATIENCE", 0.1)
    with pytest.raises(Unavailable, match="memory") as refused:
        decode(pool, PHOTO)
    assert refused.value.retry_after
    waiting.clear()
    assert decode(pool, PHOTO).image is not None
    pool.close()


def test_a_process_has_none_of_the_service_s_secrets(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: DecodingPool
) -> None:
    monkeypatch.setenv("API_KEYS", "a-key")
    decode(strict, PHOTO)
    (process,) = started()
    # Python itself sets the last.
    harmless = {"OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}
    assert not process.environ().keys() - harmless


def test_what_takes_too_long(strict: DecodingPool) -> None:
    with pytest.raises(InvalidImage, match="too long"):
        decode(strict, hostile.tiff_of_many_frames())
    assert decode(strict, PHOTO).facts["format"] == "PNG", "the next one has a new process"


def test_a_pdf_that_takes_too_long(strict: DecodingPool) -> None:
    data = hostile.nested_pdf()
    assert len(data) < 3_000
    assert sizes(strict, data) == [[9, 9]]
    with pytest.raises(InvalidImage, match="too long"):
        render(strict, data)
    assert sizes(strict, drawn.pdf([drawn.page(["words"])]))


def test_what_takes_too_much_memory() -> None:
    small = DecodingPool(1, 4.0, 300_000_000)
    for data in (encoded(Image.new("L", (8_000, 8_000)), "PNG"), hostile.tiff_of_a_huge_tile()):
        with pytest.raises(InvalidImage):
            decode(small, data)
        assert decode(small, PHOTO).facts["format"] == "PNG"
    with pytest.raises(InvalidImage, match="more memory"):
        render(small, drawn.pdf([drawn.page(["words"])]), dpi=1200, max_pixels=100_000_000)
    assert decode(small, PHOTO).facts["format"] == "PNG"
    small.close()


def test_a_process_that_crashes_in_its_work(started: Started, strict: DecodingPool) -> None:
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


def test_a_process_that_the_system_killed_is_no_fault_of_the_file(started: Started, strict: DecodingPool) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(decode, strict, hostile.tiff_of_many_frames())
        time.sleep(0.3)
        process.kill()
        with pytest.raises(Unavailable, match="memory") as refused:
            killed.result(20)
    assert refused.value.retry_after
    assert decode(strict, PHOTO).facts["format"] == "PNG"


def test_a_process_that_died_idle_is_not_the_next_file_s_fault(started: Started, strict: DecodingPool) -> None:
    decode(strict, PHOTO)
    (process,) = started()
    process.kill()
    time.sleep(0.1)
    assert decode(strict, PHOTO).facts["format"] == "PNG"


def test_many_threads_share_a_few_processes(started: Started) -> None:
    pool = DecodingPool(2, 4.0, MEMORY)
    seen: list[int] = []

    def work() -> None:
        for _ in range(10):
            decode(pool, PHOTO)
            seen.append(len(started()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 80
    assert max(seen) <= 2
    pool.close()
    assert started() == []


def test_what_cannot_start_is_no_fault_of_the_file() -> None:
    with pytest.raises(Unavailable, match="no worker starts"):
        decode(DecodingPool(1, 1.0, -5), PHOTO)


def test_what_the_system_does_not_start_is_no_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: DecodingPool
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
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: DecodingPool
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
    here, there = Pipe()
    with here, there:
        send(there, {}, bytes(2_000))
        with pytest.raises(OSError, match="message length"):
            receive(here, 1_000)


# Files of several pages


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the bytes of each file that is sent to a worker."""
    sizes: list[int] = []

    def note(connection: Any, header: Any, payload: bytes = b"") -> None:
        if payload:
            sizes.append(len(payload))
        send(connection, header, payload)

    monkeypatch.setattr("app.decoding.process.send", note)
    return sizes


LIMITS = Limits(FORMATS, max_pixels=4_000_000, max_pages=60, pdf_dpi=20)


@pytest.mark.parametrize("make", [drawn.pdf, drawn.tiff])
def test_a_file_is_sent_once_for_all_its_pages(
    make: Callable[[list[Image.Image]], bytes], strict: DecodingPool, sent: list[int]
) -> None:
    data = make([Image.new("RGB", (60, 40 + number)) for number in range(50)])
    with open_pages(data, LIMITS, strict) as pages:
        assert [pages.image(number).mode for number in range(50)] == ["RGB"] * 50
    assert sent == [len(data)]


def test_others_decode_between_the_pages_of_a_file(strict: DecodingPool, sent: list[int], started: Started) -> None:
    data = drawn.tiff([Image.new("RGB", (60, 40))] * 5)
    with open_pages(data, LIMITS, strict) as pages:
        for number in range(5):
            pages.image(number)
            decode(strict, PHOTO)
    assert sorted(sent) == sorted([len(data)] + [len(PHOTO)] * 5)
    assert len(started()) == 2


def test_more_files_are_open_than_there_are_workers(strict: DecodingPool, started: Started) -> None:
    files = [drawn.tiff([Image.new("RGB", (60, 40), (each, 0, 0))] * 3) for each in range(8)]
    opened = [open_pages(data, LIMITS, strict) for data in files]
    for _ in range(2):
        assert [pages.image(2).getpixel((0, 0)) for pages in opened] == [(each, 0, 0) for each in range(8)]
    assert len(started()) == 3


def test_a_closed_file_is_not_kept(strict: DecodingPool, started: Started) -> None:
    data = encoded(Image.new("RGB", (6_000, 4_000)), "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))])
    with open_pages(data, dataclasses.replace(LIMITS, max_pixels=30_000_000), strict) as pages:
        (process,) = started()
        pages.image(1)
        held = process.memory_info().rss
        assert held > len(data)
    wait_until(lambda: process.memory_info().rss < held - len(data) * 0.9)


def test_a_refused_file_is_not_kept(strict: DecodingPool) -> None:
    with pytest.raises(InvalidImage):
        open_pages(PHOTO, dataclasses.replace(LIMITS, max_pixels=10), strict)
    assert [worker.file for worker in strict._idle] == [None]


@pytest.mark.parametrize("answer", [{}, {"is_open": True}, {"is_open": True, "facts": {}, "size": [10**6] * 2}, []])
def test_a_worker_that_does_not_keep_to_the_protocol_is_ended(
    monkeypatch: pytest.MonkeyPatch, started: Started, strict: DecodingPool, answer: Any
) -> None:
    monkeypatch.setattr("app.decoding.process.WorkerProcess.ask", lambda *_: (answer, b"pixels"))
    with pytest.raises(InvalidImage):
        decode(strict, PHOTO)
    assert started() == []


PROGRAM = """
import sys, threading, time
from app.decoding.pool import DecodingPool
from tests import hostile
pool = DecodingPool(2, 1.5, 1_500_000_000)
pool.warm()
file = pool.open("pdf", hostile.nested_pdf())
hang = threading.Thread(target=file.ask, args=(dict(number=0, dpi=72, max_pixels=1000),), daemon=True)
other = threading.Thread(target=pool.open("pdf", hostile.nested_pdf()).ask, daemon=True)
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
