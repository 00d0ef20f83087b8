"""What a service takes of the machine, as the operating system counts it."""

from dataclasses import dataclass

import psutil

_MEGABYTE = 1_000_000


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
        round((own + sum(child.memory_info().rss for child in children)) / _MEGABYTE),
        process.num_fds(),
        process.num_threads(),
        len(children),
    )
