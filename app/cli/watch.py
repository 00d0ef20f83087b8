"""What arrives in a directory: files that are complete, which is when their size and time have been at rest."""

import os
import threading
import time
from collections.abc import Iterator, Sequence

import click

from app.cli.inputs import Finder, Item

AT_REST = 2.0
"""Seconds without a change after which a file is complete."""
_STEP_MS = 300


def arrivals(directories: Sequence[str], finder: Finder, stopped: threading.Event) -> Iterator[Item | None]:
    """Yield the files below some directories, those that are there first, then each that arrives or changes; None while
    none does. Ends when `stopped` is set.

    Raises:
        click.UsageError: one is no directory.
    """
    for directory in directories:
        if not os.path.isdir(directory):
            raise click.UsageError(f"--watch: {directory} is no directory")
    return _arrivals(directories, finder, stopped)


def _arrivals(directories: Sequence[str], finder: Finder, stopped: threading.Event) -> Iterator[Item | None]:
    from watchfiles import watch

    restless: dict[str, tuple[tuple[int, int], float, str]] = {}
    """By path: size and time of the file, since when, and the directory that is watched."""
    changes = watch(
        *directories,
        watch_filter=None,
        step=_STEP_MS,
        debounce=_STEP_MS,
        rust_timeout=_STEP_MS,
        yield_on_timeout=True,
        stop_event=stopped,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    for directory in directories:
        for item in finder.below(directory):
            _look(restless, item.path, directory)
    for changed in changes:
        for _, path in changed:
            root = next((each for each in directories if _is_below(path, each)), directories[0])
            if finder.wants(os.path.basename(path)):
                _look(restless, os.path.join(root, os.path.relpath(path, os.path.abspath(root))), root)
        yield from filter(finder.takes, _settled(restless))
        yield None


def _look(restless: dict[str, tuple[tuple[int, int], float, str]], path: str, root: str) -> None:
    try:
        there = os.stat(path)
    except OSError:
        # It was moved away, or is a part of a copy that has its name now.
        restless.pop(path, None)
        return
    now = there.st_size, there.st_mtime_ns
    if path not in restless or restless[path][0] != now:
        # A file that has long been at rest, as one that was moved here, need not be waited for.
        since = time.monotonic() - max(0.0, min(time.time() - there.st_mtime, AT_REST))
        restless[path] = now, since, root


def _settled(restless: dict[str, tuple[tuple[int, int], float, str]]) -> Iterator[Item]:
    for path in [*restless]:
        _look(restless, path, restless[path][2])
        if path in restless and restless[path][1] + AT_REST <= time.monotonic():
            _, _, root = restless.pop(path)
            yield Item(path, root)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(os.path.join(os.path.abspath(directory), ""))
