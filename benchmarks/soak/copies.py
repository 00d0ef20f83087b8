"""Two copies of the service behind nginx, of which one is killed and one is restarted, again and again.

Clients that repeat what is refused send pictures for some minutes. Meanwhile one copy is killed, started again and
waited for by `/readyz`; then the other is stopped as a system stops it, and started. Each request must be answered in
the end, once, with what its picture says, and either copy must have the image.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from benchmarks.report import table
from benchmarks.soak import Options, Result
from benchmarks.soak.clients import line, p95
from tests.deploy.nginx import Balancer
from tests.deploy.prometheus import free_port
from tests.server import Server
from tests.shared import RedisServer, S3Server

CLIENTS = 32
KNOWN = 40
"""How many different pictures there are: most requests are answered from the shared cache."""
_LEFT_ALONE = 5.0
"""Seconds between two interruptions, so that clients work with both copies, too."""


@dataclass
class Seen:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    repeated: int = 0
    cached: int = 0
    wrong: list[str] = field(default_factory=list)


class Copy:
    """A copy of the service that can be started again on its port."""

    def __init__(self, home: Path, settings: dict[str, Any]) -> None:
        self.port = free_port()
        self._home = home
        self._settings = settings
        self.start()

    def end(self) -> None:
        """Kill it."""
        self.server.kill()

    def start(self) -> None:
        """Start it, and wait until `/readyz` says that it answers."""
        self.server = Server(self._home, port=self.port, **self._settings)
        end = time.monotonic() + 120
        while not self.server.get("/readyz").ok:
            if time.monotonic() > end:
                raise RuntimeError(self.server.log[-2000:])
            time.sleep(0.1)


class Crowd:
    """Clients that repeat what is refused or breaks off."""

    def __init__(self, url: str, copies: Sequence[Copy]) -> None:
        self.seen = Seen()
        self._url = url
        self._copies = copies
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]
        self._texts: dict[int, str] = {}

    def start(self) -> None:
        """Let them work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each get its last answer."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        with requests.Session() as session:
            repeat = Retry(
                20, backoff_factor=0.2, status_forcelist=(429, 502, 503), allowed_methods=None, raise_on_status=False
            )
            session.mount("http://", HTTPAdapter(max_retries=repeat))
            while not self._end.is_set():
                which = chance.randrange(KNOWN)
                began = time.monotonic()
                try:
                    answer = session.post(
                        f"{self._url}/generate-text?model=rapidocr", data=line(str(which)), timeout=120
                    )
                except requests.RequestException as error:
                    self._note(which, time.monotonic() - began, None, f"{which}: {type(error).__name__}")
                    continue
                self._note(which, time.monotonic() - began, answer)
                if answer.ok and chance.random() < 0.1:
                    self._look(answer, which, chance)

    def _note(self, which: int, seconds: float, answer: requests.Response | None, wrong: str = "") -> None:
        with self._lock:
            self.seen.seconds.append(seconds)
            self.seen.statuses[0 if answer is None else answer.status_code] += 1
            if answer is not None:
                self.seen.repeated += len(answer.raw.retries.history if answer.raw.retries else ())
                if answer.ok:
                    said = answer.json()
                    self.seen.cached += said.get("cached", False)
                    if self._texts.setdefault(which, said["text"]) != said["text"]:
                        wrong = f"{which}: {said['text']!r} after {self._texts[which]!r}"
            if wrong:
                self.seen.wrong.append(wrong)

    def _look(self, answer: requests.Response, which: int, chance: random.Random) -> None:
        """Look for the image of an answer at one copy; at the time, that one may be gone."""
        name = answer.json()["image"]["saved_as"]
        try:
            found = requests.get(f"http://127.0.0.1:{chance.choice(self._copies).port}/{name}", timeout=60)
        except requests.ConnectionError:
            return
        if found.ok and found.content != line(str(which)):
            self._note(which, 0, None, f"{name}: other bytes")
        elif found.status_code not in (200, 503):
            self._note(which, 0, None, f"{name}: {found.status_code}")


def soak(options: Options) -> Result:
    """Send requests for so many minutes."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        homes = [Path(directory, name) for name in ("redis", "one", "other", "nginx")]
        for home in homes:
            home.mkdir()
        redis, store = RedisServer(homes[0]), S3Server()
        stack.callback(redis.stop)
        stack.callback(store.stop)
        settings: dict[str, Any] = {
            "shared_state": redis.url,
            "result_cache": redis.url,
            "storage": "s3",
            "s3_bucket": store.make_bucket("images"),
            "trusted_proxies": "127.0.0.1",
            "rate_limit": "none",
            "client_requests": 0,
            **store.environment,
        }
        copies = []
        for home in homes[1:3]:
            copies.append(Copy(home, settings))
            stack.callback(copies[-1].end)
        balancer = Balancer(homes[3], [f"127.0.0.1:{copy.port}" for copy in copies])
        stack.callback(balancer.stop)
        crowd = Crowd(balancer.url, copies)
        crowd.start()
        stack.callback(crowd.stop)
        interruptions = _interrupt(copies, time.monotonic() + options.minutes * 60)
        crowd.stop()
    return Result(text(crowd.seen, interruptions), list(wrong(crowd.seen, interruptions)))


def _interrupt(copies: Sequence[Copy], end: float) -> Counter[str]:
    """Kill one copy and stop the other in turns, each when the one before answers again."""
    done: Counter[str] = Counter()
    while time.monotonic() < end:
        for copy, how in zip(copies, ("killed", "stopped"), strict=True):
            time.sleep(_LEFT_ALONE)
            if how == "killed":
                copy.server.kill()
            else:
                copy.server.stop()
            copy.start()
            done[how] += 1
    return done


def text(seen: Seen, interruptions: Counter[str]) -> str:
    """Return what was seen, in Markdown."""
    rows = (
        ("requests of 32 clients", str(len(seen.seconds))),
        ("statuses in the end", ", ".join(f"{status or 'none'}: {n}" for status, n in sorted(seen.statuses.items()))),
        ("repeated by clients", str(seen.repeated)),
        ("answered from the shared cache", str(seen.cached)),
        ("a copy was killed, stopped", f"{interruptions['killed']}, {interruptions['stopped']} times"),
        ("p95, s", f"{p95(seen.seconds):.2f}"),
    )
    return table(["what", "seen"], rows)


def wrong(seen: Seen, interruptions: Counter[str]) -> Iterator[str]:
    """Yield what is not as it should be."""
    if set(seen.statuses) != {200}:
        yield f"not all requests were answered: {dict(seen.statuses)}"
    if not seen.cached or min(interruptions["killed"], interruptions["stopped"]) < 1:
        yield "nothing was answered from the shared cache, or no copy was killed"
    yield from seen.wrong[:10]
