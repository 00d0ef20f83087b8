"""Two instances keep images in one directory, and clients without a key send half of a body.

Four clients with a key send pictures to one instance and get them from the other; eight without one send half of 20 MB,
wait, and hang up. No picture may be lost, all without a key get 401, and in the end memory, open files and threads are
back to where they were.
"""

import hashlib
import random
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests

from benchmarks.machine import Usage, left_behind, usages
from benchmarks.report import table
from benchmarks.soak import Options, Result
from benchmarks.soak.clients import PATIENCE, Seen, clients, line, settled
from tests.server import Server

KEY = "a-key-of-the-soak"
KEEPING, HALVES = 4, 8
BODY = 20_000_000
_HEADERS = {"X-API-Key": KEY}


class Crowd:
    """What clients send to two instances."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls

    def keep(self, _: str, chance: random.Random) -> int:
        """Send a picture to one instance, and get it from the other; 0 stands for one that is not as it was."""
        one, other = chance.sample(self._urls, 2)
        picture = line(str(chance.randrange(10**6)))
        sent = requests.post(
            f"{one}/generate-text", data=picture, params={"model": "rapidocr"}, headers=_HEADERS, timeout=PATIENCE
        )
        if not sent.ok:
            return sent.status_code
        name = sent.json()["image"]["saved_as"]
        found = requests.get(f"{other}/{name}", headers=_HEADERS, timeout=PATIENCE)
        same = hashlib.sha256(found.content).hexdigest() == hashlib.sha256(picture).hexdigest()
        if chance.random() < 0.5:
            removed = requests.delete(f"{one}/{name}", headers=_HEADERS, timeout=PATIENCE)
            same = same and removed.status_code == 204
        return found.status_code if same else 0

    def half(self, _: str, chance: random.Random) -> int:
        """Send half of a body without a key, wait, and hang up."""
        host, port = urlsplit(chance.choice(self._urls)).netloc.split(":")
        head = f"POST /generate-text HTTP/1.1\r\nHost: {host}\r\nContent-Length: {BODY}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(head.encode() + bytes(BODY // 2))
            answer = connection.recv(12)
            time.sleep(5 * chance.random())
        return int(answer[-3:] or 0)


def soak(options: Options) -> Result:
    """Send requests to both instances for so many minutes."""
    with tempfile.TemporaryDirectory() as directory:
        servers = []
        try:
            for name in ("one", "other"):
                (home := Path(directory, name)).mkdir()
                servers.append(Server(home, images_dir=Path(directory, "images"), api_keys=KEY))
            processes = [psutil.Process(server.process.pid) for server in servers]
            crowd = Crowd([server.url for server in servers])
            kinds = [crowd.keep] * KEEPING + [crowd.half] * HALVES
            # What is loaded once is not what is left behind.
            clients("", kinds, time.monotonic() + min(60, options.minutes * 15))
            before = [settled(process) for process in processes]
            seen = clients("", kinds, time.monotonic() + options.minutes * 60)
            after = [settled(process) for process in processes]
        finally:
            for server in servers:
                server.kill()
        partial = [path.name for path in Path(directory, "images").glob(".*")]
    return Result(text(seen, before, after), list(wrong(seen, before, after, partial)))


def text(seen: dict[str, Seen], before: Sequence[Usage], after: Sequence[Usage]) -> str:
    """Return what was seen, in Markdown."""
    rows = (
        (
            name,
            one.statuses.total(),
            ", ".join(f"{status or 'lost'}: {count}" for status, count in one.statuses.items()),
        )
        for name, one in seen.items()
    )
    taken = {
        f"instance {number}, {when}": usage
        for when, usages_then in (("before", before), ("after", after))
        for number, usage in enumerate(usages_then, 1)
    }
    return "\n\n".join([table(["clients", "requests", "statuses"], rows), usages(taken)])


def wrong(
    seen: dict[str, Seen], before: Sequence[Usage], after: Sequence[Usage], partial: Sequence[str]
) -> Iterator[str]:
    """Yield what is not as it should be."""
    for name, expected in (("keep", 200), ("half", 401)):
        statuses = seen[name].statuses
        if set(statuses) != {expected}:
            yield f"{name}: not only {expected}: {dict(statuses)}"
    for number, usages_of_one in enumerate(zip(before, after, strict=True), 1):
        yield from (f"instance {number}: {what}" for what in left_behind(*usages_of_one))
    if partial:
        yield f"left in the directory: {', '.join(partial)}"
