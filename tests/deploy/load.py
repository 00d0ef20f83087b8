"""Requests of every kind that the metrics tell apart, until they are enough."""

import contextlib
import io
import threading
import time
from collections.abc import Callable

import requests
from PIL import Image

from tests.server import ROOT, Server

SIGN = (ROOT / "Input" / "sign.jpg").read_bytes()


def _good(server: Server, number: int) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (number % 256, 80, 160)).save(picture, "PNG")
    server.generate(picture.getvalue(), model="efficientnet-gru")
    server.generate(SIGN, model="rapidocr", format="pdf")


def _bad(server: Server, number: int) -> None:
    server.generate(b"GIF89a nonsense", model="rapidocr")
    server.post("/generate-text", json={"image_url": f"http://10.0.0.1/{number}"})
    server.generate(SIGN, model=f"none-{number}")
    server.get("/models")


def send(server: Server, seconds: float, clients: int = 2) -> int:
    """Let so many clients of each kind send requests one after another; return how many rounds there were."""
    end = time.monotonic() + seconds
    rounds: list[int] = []

    def work(kind: Callable[[Server, int], None]) -> None:
        number = 0
        while time.monotonic() < end:
            kind(server, number)
            number += 1
        rounds.append(number)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in (_good, _bad) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rounds)


def fill_queue(server: Server, model: str, jobs: int, seconds: int) -> list[threading.Thread]:
    """Send jobs to a model of `tests/odd.py`, each of which takes so many seconds, without waiting for them; again when
    they are refused."""

    def ask(job: int) -> None:
        # The service may be killed before it answers.
        with contextlib.suppress(requests.RequestException):
            while server.generate(SIGN, model=model, prompt=f"sleep {seconds}.{job}").status_code == 429:
                time.sleep(0.5)

    threads = [threading.Thread(target=ask, args=(job,)) for job in range(jobs)]
    for thread in threads:
        thread.start()
    return threads
