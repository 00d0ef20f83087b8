"""`--dry-run`: how many inputs there are, how many bytes, and how long they will take, from a few that are measured."""

import os
import threading
import time
from collections.abc import Iterable

from app.cli import inputs
from app.cli.exits import Exit
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.outputs import ItemFailed
from app.cli.progress import duration
from app.cli.work import Answerer, key_of

_MEASURED = 8
_LONGEST = 20.0
"""Seconds that measuring may take."""


def estimate(items: Iterable[Item | None], answerer: Answerer, journal: Journal, stopped: threading.Event) -> Exit:
    """Print an estimate to stdout, and write nothing."""
    found = [item for item in items if item is not None and not stopped.is_set()]
    refused = sum(item.error is not None for item in found)
    todo = [item for item in found if item.error is None and not _is_known(item, answerer, journal)]
    size = sum(_size(item) for item in todo)
    print(f"{len(found)} inputs, of which {len(todo)} are new ({size / 1e6:.1f} MB) and {refused} cannot be read")
    # Spread over all of them: the first may be small.
    sample = todo[:: max(1, len(todo) // _MEASURED)][:_MEASURED]
    if (seconds := _measure(sample, answerer, stopped)) is not None:
        print(f"about {duration(seconds * len(todo))}: {seconds:.2f} s each, one at a time, of {len(sample)} measured")
    return Exit.INTERRUPTED if stopped.is_set() else Exit.DONE if todo else Exit.NOTHING_TO_DO


def _measure(sample: list[Item], answerer: Answerer, stopped: threading.Event) -> float | None:
    began, count = time.monotonic(), 0
    for item in sample:
        try:
            data = None if item.is_url else inputs.read(item.path, answerer.most_bytes)
            answerer.answer(item, data)
        except (ItemFailed, OSError):
            continue
        count += 1
        if time.monotonic() > began + _LONGEST or stopped.is_set():
            break
    return (time.monotonic() - began) / count if count else None


def _is_known(item: Item, answerer: Answerer, journal: Journal) -> bool:
    if not item.is_file or not os.path.exists(item.path):
        return False
    there = os.stat(item.path)
    content = journal.content_of(item.path, there.st_size, there.st_mtime_ns)
    return content is not None and journal.answer(key_of(content, answerer)) is not None


def _size(item: Item) -> int:
    return os.path.getsize(item.path) if item.is_file and os.path.isfile(item.path) else 0
