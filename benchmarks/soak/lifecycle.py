"""All models are loaded and unloaded in turn, in memory for two of them.

Each is loaded by a request and taken out again, and what comes back of its memory is counted. Then two clients ask all
models in turn, so that each displaces others. No request may fail, and of real checkpoints (`--model-paths`) at least
85 % of the memory must come back after each unload; tiny ones take too little to tell.
"""

import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.report import megabytes, table
from benchmarks.soak import Options, Result
from benchmarks.soak.clients import line
from models import weights
from tests.checkpoints import make_all
from tests.server import Server

REQUESTS = 200
LEAST_SHARE = 0.85
_PATIENCE = 900.0
_REAL = 100_000_000
"""Bytes in memory of a model that is no tiny one."""


class Taken(NamedTuple):
    """Anonymous memory of the service in bytes: before a model was loaded, with it, and after it was unloaded."""

    before: int
    loaded: int
    after: int

    @property
    def share(self) -> float:
        """The share of what the model took that came back."""
        return (self.loaded - self.after) / max(self.loaded - self.before, 1)


def soak(options: Options) -> Result:
    """Load and unload each model twice, and then send requests for so many minutes, or until all are sent."""
    with tempfile.TemporaryDirectory() as directory:
        paths = _paths(options.model_paths) or make_all(Path(directory, "checkpoints"))
        sizes = sorted(weights.size(path) for path in paths.values())
        server = Server(
            Path(directory),
            model_paths=",".join(f"{name}={path}" for name, path in paths.items()),
            max_model_memory_mb=sum(sizes[-2:]) / 1e6 + 1,
            precision="auto",
            result_cache_mb=0,
        )
        try:
            # What is imported and converted once is not what a model takes.
            for name in paths:
                _ask(server, name)
                _unload(server, name)
            taken = {name: _turn(server, name) for name in paths}
            statuses = _crowd(server, list(paths), time.monotonic() + options.minutes * 60)
        finally:
            server.kill()
    return Result(text(taken, statuses), list(wrong(taken, statuses)))


def text(taken: Mapping[str, Taken], statuses: Counter[int]) -> str:
    """Return what was seen, in Markdown."""
    rows = (
        (f"`{name}`", *(megabytes(size) for size in one), f"{one.share:.0%}" if _is_real(one) else "too little to tell")
        for name, one in taken.items()
    )
    header = ["model", "before, MB", "loaded, MB", "unloaded, MB", "came back"]
    return (
        f"{table(header, rows)}\n\nRequests in turn, two at a time: {statuses.total()}, of which {statuses[200]} 200."
    )


def wrong(taken: Mapping[str, Taken], statuses: Counter[int]) -> Iterator[str]:
    """Yield what is not as it should be."""
    if not statuses:
        yield "no request was sent"
    if failed := {status: count for status, count in statuses.items() if status != 200}:
        yield f"requests failed: {failed}"
    for name, one in taken.items():
        if _is_real(one) and one.share < LEAST_SHARE:
            yield f"{name}: {one.share:.0%} of its memory came back"


def _is_real(taken: Taken) -> bool:
    return taken.loaded - taken.before > _REAL


def _paths(setting: str) -> dict[str, Path]:
    return {name: Path(path) for name, _, path in (part.partition("=") for part in setting.split(",") if part)}


def _turn(server: Server, name: str) -> Taken:
    before = _anonymous(server)
    _ask(server, name)
    loaded = _anonymous(server)
    _unload(server, name)
    return Taken(before, loaded, _anonymous(server))


def _crowd(server: Server, names: Sequence[str], end: float) -> Counter[int]:
    """Ask all models in turn until all requests are sent, or a time."""

    def ask(number: int) -> int | None:
        return _ask(server, names[number % len(names)]) if time.monotonic() < end else None

    with ThreadPoolExecutor(2) as pool:
        return Counter(status for status in pool.map(ask, range(REQUESTS)) if status is not None)


def _ask(server: Server, name: str) -> int:
    """Ask a model for little, and return the status."""
    if name == "t5-tags":
        text = {"text": "a dog on a beach", "tagger": name}
        return requests.post(f"{server.url}/generate-tags", json=text, timeout=_PATIENCE).status_code
    options = {"model": name, "max_new_tokens": "4"}
    return requests.post(
        f"{server.url}/generate-text", files={"image_file": line("soak")}, data=options, timeout=_PATIENCE
    ).status_code


def _unload(server: Server, name: str) -> None:
    server.post(f"/models/{name}/unload").raise_for_status()


def _anonymous(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found, "it needs Linux"
    return int(found[1]) * 1024
