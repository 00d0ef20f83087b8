"""Servers as processes of their own: started on a free port, watched while they work, and ended."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 600.0
"""Seconds to wait for a server: converting a large model takes minutes."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a server and its children have: anonymous (their own), and resident (with files that are mapped); and
    what of the anonymous ones the server has without its children."""

    anonymous: int
    resident: int
    alone: int = 0


class Server:
    """A server while it runs, as a context. `peak` is the most memory that it was seen to have, twice a second: looking
    more often would take time from what is measured."""

    def __init__(
        self, label: str, command: Sequence[str], ready: str, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.label = label
        self.port = _free_port()
        self.peak = Memory(0, 0)
        self.started_in = 0.0
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._ready = ready
        self._directory = directory
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": str(self.port), **environment}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Start it, and wait until it can answer.

        Raises:
            RuntimeError: it ended, or took too long; with the end of its log.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._directory, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        threading.Thread(target=self._watch, daemon=True).start()
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() - started > _PATIENCE:
                self.__exit__(None, None, None)
                log_end = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{self.label} did not start:\n{log_end}")
            time.sleep(0.02)
        self.started_in = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and its children."""
        self._ended.set()
        # Not all of them end their children when they are asked to end.
        for pid in reversed(list(_tree(self._process.pid))):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self._process.wait()

    def memory(self) -> Memory:
        """Return what it has now."""
        fields = [_status(pid) for pid in _tree(self._process.pid)]
        anonymous = [one.get("RssAnon", 0) for one in fields]
        return Memory(sum(anonymous), sum(one.get("VmRSS", 0) for one in fields), anonymous[0])

    def get(self, path: str, timeout: float = 30) -> tuple[int, bytes]:
        """Return the status and the body of what is at a path."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    def _is_ready(self) -> bool:
        try:
            return self.get(self._ready)[0] == 200
        except (OSError, HTTPException):
            return False

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            now = self.memory()
            pairs = zip(astuple(self.peak), astuple(now), strict=True)
            self.peak = Memory(*(max(pair) for pair in pairs))


def ours(directory: Path, weights: Mapping[str, Path], **settings: object) -> Server:
    """Return this service with its defaults, but no memory of results: every picture is computed."""
    return _ours("this service", [str(ROOT / "run.py")], directory, weights, settings)


def idle(directory: Path, **settings: object) -> Server:
    """Return this service with a model that does nothing."""
    return _ours("a model that does nothing", ["-m", "benchmarks.speed.idle"], directory, {}, settings)


def _ours(
    label: str, program: list[str], directory: Path, weights: Mapping[str, Path], settings: Mapping[str, object]
) -> Server:
    environment = {
        "MODEL_PATHS": ",".join(f"{name}={path}" for name, path in weights.items()),
        "PRELOAD": "",
        "RESULT_CACHE_MB": "0",
        "LOG_LEVEL": "WARNING",
        "HF_HUB_OFFLINE": "1",
        # The benchmark's own, shared by the servers that it starts.
        "NETWORK_CACHE": str(directory.parent / "networks"),
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    return Server(label, [sys.executable, *program], "/healthz", directory, environment)


def plain(directory: Path, weights: Path) -> Server:
    """Return Flask and transformers in float32, one request at a time in each of its threads."""
    command = [sys.executable, "-m", "benchmarks.speed.plain", str(weights), "{port}"]
    return Server("Flask + transformers", command, "/healthz", directory, {})


def litserve(directory: Path, weights: Path) -> Server:
    """Return LitServe with transformers in bfloat16, and its batching."""
    command = [sys.executable, "-m", "benchmarks.speed.lit", str(weights), "{port}"]
    return Server("LitServe", command, "/health", directory, {})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = children.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in below:
            yield from _tree(int(child))


def _status(pid: int) -> dict[str, int]:
    """Return the sizes that the kernel tells of a process, in bytes; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in lines if line.endswith("kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}
