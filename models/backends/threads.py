"""The number of threads of networks, for torch and OpenVINO alike, and the locks under which networks run."""

import math
import os
import threading
from pathlib import Path

_turns: dict[str, threading.Lock] = {}
_most: list[int] = []


def turn_of(device: str) -> threading.Lock:
    """Return the lock that is held while a network runs on a device, such as `cpu` or `cuda:0`.

    Each run takes all cores of a CPU for some milliseconds, or all of a GPU; two at once would compete for them.
    """
    return _turns.setdefault(device, threading.Lock())


TURN = turn_of("cpu")
"""The lock of the CPU."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def limit(cpus: float) -> None:
    """Let networks that are loaded from now on use so many cores at most, wherever the system runs them."""
    _most[:] = [max(1, math.ceil(cpus))]


def is_limited() -> bool:
    """Return whether other processes use the other cores."""
    return bool(_most)


def cores() -> int:
    """Return how many cores this process may use: those that it is bound to, up to its container's limit and to that
    of `limit`."""
    return min([_cores(), *_most])


def _cores() -> int:
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = _allowed()
    return min(bound, max(1, math.ceil(allowed))) if allowed else bound


def _allowed() -> float | None:
    """Return the container's limit in cores, from cgroups version 2 or 1, or None if it has none."""
    try:
        if _QUOTA.exists():
            quota, period = _QUOTA.read_text(encoding="ascii").split()
        else:
            quota, period = (path.read_text(encoding="ascii").strip() for path in _QUOTA_V1)
        return int(quota) / int(period) if quota.isdigit() else None
    except (OSError, ValueError):
        return None
