"""A folder of photos by `i2t run --ray` on a cluster of two nodes, killed and started again.

A hundred photos for each minute. The run is killed when a third of the photos have their lines, and started again; each
photo must have one line in the end, and the lines must be those of `i2t run` without a cluster.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import table
from benchmarks.soak import Options, Result
from benchmarks.soak.folder import MODEL, gather
from tests.cluster import make_cluster
from tests.server import ROOT

_PER_MINUTE = 100
_NODES, _CPUS = 2, 1
_PATIENCE = 3600.0


def soak(options: Options) -> Result:
    """Caption the photos on the cluster, and then alone."""
    count = int(_PER_MINUTE * options.minutes)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        gather(options.images, home / "photos", count)
        with make_cluster(nodes=_NODES, cpus=_CPUS, serve=False) as cluster:
            before_kill = _killed(home, cluster.address, count // 3)
            began = time.monotonic()
            _finish(_start(home, "cluster.jsonl", cluster.address))
            on_cluster = time.monotonic() - began
        began = time.monotonic()
        _finish(_start(home, "alone.jsonl", None))
        alone = time.monotonic() - began
        cluster_lines, alone_lines = (_lines(home / f"{name}.jsonl") for name in ("cluster", "alone"))
    rows = [
        ("photos", str(count)),
        ("lines when it was killed", str(before_kill)),
        ("lines in the end, different ones", f"{len(cluster_lines)}, {len(set(cluster_lines))}"),
        ("lines that `i2t run` alone has as well", str(len(set(cluster_lines) & set(alone_lines)))),
        ("photos/s of the rest, on two nodes, starts included", f"{(count - before_kill) / on_cluster:.1f}"),
        ("photos/s alone, start included", f"{count / alone:.1f}"),
    ]
    wrong = []
    if not 0 < before_kill < count:
        wrong.append(f"it was killed after {before_kill} lines")
    if len(cluster_lines) != count or set(cluster_lines) != set(alone_lines):
        wrong.append("the lines are not those of a run without a cluster, each once")
    return Result(table(["what", "seen"], rows), wrong)


def _start(home: Path, output: str, address: str | None) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-W", "ignore", "-m", "app.cli", "run", "-q", "-m", MODEL, "-r", "photos", "-o", output]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if address is not None:
        command.append("--ray")
        environment["RAY_ADDRESS"] = address
    return subprocess.Popen(command, cwd=home, env=environment)


def _finish(process: "subprocess.Popen[bytes]") -> None:
    if (status := process.wait(_PATIENCE)) != 0:
        raise RuntimeError(f"i2t ended with {status}")


def _killed(home: Path, address: str, lines: int) -> int:
    """Kill a run when so many lines are written; return how many there were."""
    process = _start(home, "cluster.jsonl", address)
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end and len(_lines(home / "cluster.jsonl")) < lines:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(_lines(home / "cluster.jsonl"))


def _lines(path: Path) -> list[bytes]:
    """Return the whole lines of a file, if there is one."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
