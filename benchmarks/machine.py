"""The machine that is measured on, and what a service takes of it, as the operating system counts it."""

import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.report import table

_MEGABYTE = 1_000_000
_LIBRARIES = ("torch", "transformers", "openvino")


def about() -> str:
    """Return what was measured on."""
    cores = len(os.sched_getaffinity(0))
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{time.strftime('%Y-%m-%d')}, {cores} cores of {_processor()}, load {os.getloadavg()[0]:.1f} before; Python "
        f"{platform.python_version()}, {libraries}."
    )


def _processor() -> str:
    """Return the processor's name and, where Linux tells them, its family and model: in a virtual machine, generations
    that differ by a factor of two have the same name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", platform.processor())
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


@dataclass(frozen=True)
class Usage:
    """Megabytes in memory of the service alone and with its children, open files, threads, children."""

    megabytes: int
    megabytes_in_all: int
    files: int
    threads: int
    children: int


def usage(process: psutil.Process) -> Usage:
    """Return what a process takes now."""
    children = process.children(recursive=True)
    own = process.memory_info().rss
    return Usage(
        round(own / _MEGABYTE),
        round((own + sum(map(_resident, children))) / _MEGABYTE),
        process.num_fds(),
        process.num_threads(),
        len(children),
    )


def _resident(child: psutil.Process) -> int:
    try:
        return int(child.memory_info().rss)
    except psutil.NoSuchProcess:
        # It ended just now.
        return 0


def usages(taken: Mapping[str, Usage]) -> str:
    """Return a table of what was taken at which time."""
    rows = ((when, one.megabytes, one.megabytes_in_all, one.files, one.threads) for when, one in taken.items())
    return table(["", "memory, MB", "with what decodes, MB", "open files", "threads"], rows)


def left_behind(before: Usage, after: Usage) -> Iterator[str]:
    """Yield in words what is taken after some work that was not before it."""
    if after.megabytes > before.megabytes * 1.1 + 50:
        yield f"memory grew from {before.megabytes} to {after.megabytes} MB"
    if after.files > before.files + 5 or after.threads > before.threads + 5:
        yield f"open files or threads are left: {before} to {after}"
