"""Mix good, bad, slow, cancelled and huge requests at 32 clients for a while.

Twelve clients send good requests one after another, first alone and then beside twenty others that do harm. No request
may stay unanswered, none may fail with 500, the good ones may take twice as long as alone at the 95th percentile, and
in the end memory, open files and threads are back to where they were.
"""

import io
import random
import socket
import statistics
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests
from PIL import Image, ImageDraw, ImageFont

from benchmarks.machine import Usage, left_behind, usage, usages
from benchmarks.report import table
from benchmarks.soak import Options, Result
from tests import hostile
from tests.server import Server

GOOD_CLIENTS, OTHER_CLIENTS = 12, 20
PATIENCE = 180.0
"""Seconds after which a request counts as unanswered."""
FRESH = {"Cache-Control": "no-cache"}


@dataclass
class Seen:
    """What clients of one kind saw: statuses, 0 where no answer came, and the seconds that the answers took."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(seconds)


Request = Callable[[str, random.Random], int]


def good(url: str, chance: random.Random) -> int:
    """Send a line of text."""
    return _post(url, line(str(chance.randrange(100))), headers=FRESH)


def bad(url: str, chance: random.Random) -> int:
    """Send what is no image, is broken, or asks for what there is not."""
    form, json = ({"Content-Type": f"application/{kind}"} for kind in ("x-www-form-urlencoded", "json"))
    wrong: list[tuple[bytes, dict[str, object]]] = [
        (b"no image", {}),
        (line("broken")[:700], {}),
        (line("what"), {"params": {"model": "nonesuch"}}),
        (b"a=1&" * 200_000, {"headers": form}),
        (b'{"image_url": "http://127.0.0.1/"}', {"headers": json}),
    ]
    data, options = chance.choice(wrong)
    return _post(url, data, **options)


def huge(url: str, chance: random.Random) -> int:
    """Send what takes long to decode, much memory, or many bytes."""
    return _post(url, chance.choice(enormous()))


def slow(url: str, chance: random.Random) -> int:
    """Send a request over some seconds, piece by piece."""
    data = line("slow")

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), len(data) // 8):
            time.sleep(chance.random())
            yield data[start : start + len(data) // 8]

    return _post(url, pieces())


def cancelled(url: str, chance: random.Random) -> int:
    """Hang up in the middle of a request, or before its answer; 499 stands for what nobody reads."""
    host, port = urlsplit(url).netloc.split(":")
    data = line("gone")
    head = f"POST /generate-text?model=rapidocr HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + data[: chance.choice([0, 100, len(data)])])
        time.sleep(chance.random())
        # With a reset, as a client that crashed.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return 499


OTHERS: tuple[Request, ...] = (bad, bad, huge, slow, cancelled)


def clients(url: str, kinds: Sequence[Request], end: float) -> dict[str, Seen]:
    """Let a client of each kind send requests until a time, and return what they saw, by kind."""
    seen = {kind.__name__: Seen() for kind in kinds}

    def work(number: int, kind: Request) -> None:
        chance = random.Random(number)
        while time.monotonic() < end:
            started = time.monotonic()
            try:
                status = kind(url, chance)
            except OSError:
                # Those of requests are such, too.
                status = 0
            seen[kind.__name__].add(status, time.monotonic() - started)
            # A refusal is no reason to ask again at once.
            time.sleep(0.05 if kind is good else chance.random())

    threads = [threading.Thread(target=work, args=each) for each in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def settled(process: psutil.Process) -> Usage:
    """Return what the service takes once all connections are closed."""
    end = time.monotonic() + 60
    last = usage(process)
    while time.monotonic() < end:
        time.sleep(3)
        last, before = usage(process), last
        if last == before:
            break
    return last


def _post(url: str, data: bytes | Iterator[bytes], **options: object) -> int:
    arguments = {"params": {"model": "rapidocr"}, "timeout": PATIENCE, **options}
    return requests.post(f"{url}/generate-text", data=data, **arguments).status_code  # type: ignore[arg-type]


# Drawn once: what is measured is not how fast clients draw.
@cache
def line(text: str) -> bytes:
    """Return a picture of a line of text."""
    image = Image.new("L", (320, 48), "white")
    ImageDraw.Draw(image).text((12, 8), text, "black", ImageFont.load_default(size=28))
    return _encoded(image)


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@cache
def enormous() -> list[bytes]:
    """Return files that take long to decode, much memory, or many bytes."""
    return [
        hostile.nested_pdf(),
        hostile.exif_in_pieces(500),
        hostile.tiff_of_a_huge_tile(),
        hostile.tiff_of_many_frames(),
        _encoded(Image.new("1", (10_001, 10_000), 1)),
        bytes(210_000_000),
    ]


def p95(seconds: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(seconds, n=20)[-1]


def text(alone: Seen, mixed: dict[str, Seen], before: Usage, after: Usage) -> str:
    """Return what was seen, in Markdown."""
    header = ["clients", "requests", "statuses", "median, s", "p95, s"]
    rows = (
        (
            name,
            seen.statuses.total(),
            ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(seen.statuses.items())),
            f"{statistics.median(seen.seconds):.2f}",
            f"{p95(seen.seconds):.2f}",
        )
        for name, seen in (("good, alone", alone), *mixed.items())
    )
    return "\n\n".join([table(header, rows), usages({"before": before, "after": after})])


def wrong(alone: Seen, mixed: dict[str, Seen], before: Usage, after: Usage) -> Iterator[str]:
    """Yield what is not as it should be."""
    for name, seen in (("good, alone", alone), *mixed.items()):
        if bad_ones := {status: seen.statuses[status] for status in (0, 500) if seen.statuses[status]}:
            yield f"{name}: {bad_ones}"
    if (ratio := p95(mixed["good"].seconds) / p95(alone.seconds)) > 2:
        yield f"good requests take {ratio:.1f} times as long beside the others"
    yield from left_behind(before, after)


def soak(options: Options) -> Result:
    """Send requests for so many minutes, half of them with good clients alone."""
    half = options.minutes * 30
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory))
        try:
            process = psutil.Process(server.process.pid)
            enormous()
            # What is loaded once is not what is left behind.
            kinds = [good] * GOOD_CLIENTS + [OTHERS[number % len(OTHERS)] for number in range(OTHER_CLIENTS)]
            clients(server.url, kinds, time.monotonic() + min(half, 60))
            before = settled(process)
            alone = clients(server.url, [good] * GOOD_CLIENTS, time.monotonic() + half)["good"]
            mixed = clients(server.url, kinds, time.monotonic() + half)
            after = settled(process)
        finally:
            server.kill()
    return Result(text(alone, mixed, before, after), list(wrong(alone, mixed, before, after)))
