"""A model in this service's way beside plain transformers, in float32 and bfloat16: picture by picture in turn, so that
what else the machine does slows down all of them alike.

`python -m benchmarks.speed.beside WAY NAME DIRECTORY CACHE` is one of them: it reads the number of a photograph from
each line, and writes what it took.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks import report
from benchmarks.speed import NEW_TOKENS, pictures
from benchmarks.speed.context import Context

_OURS = "ours"
_TIMES = ("seconds", "cpu")
_WAYS = {_OURS: "this service's way", "float32": "transformers, float32", "bfloat16": "transformers, bfloat16"}


class _Way:
    """A process that captions photographs in one of the ways."""

    def __init__(self, way: str, name: str, directory: Path, cache: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.speed.beside", way, name, str(directory), str(cache)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def caption(self, number: int) -> dict[str, float]:
        """Caption a photograph, and return what it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


def beside(context: Context) -> Iterator[str]:
    """Each model in all ways, one photograph after the other."""
    rows = []
    for name, directory in context.weights.items():
        took: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
        with ExitStack() as stack:
            ways = {way: stack.enter_context(_Way(way, name, directory, context.directory / "cache")) for way in _WAYS}
            for number in range(1 + context.some(5)):
                for way, process in ways.items():
                    took[way].append(process.caption(number))
        # The first warms up.
        seconds, cpu = ({way: median(each[what] for each in some[1:]) for way, some in took.items()} for what in _TIMES)
        rows += [
            (
                name,
                label,
                report.seconds(seconds[way]),
                report.seconds(cpu[way]),
                report.megabytes(max(each["peak"] for each in took[way])),
                "" if way == _OURS else f"{seconds[way] / seconds[_OURS]:.1f} times",
                "" if way == _OURS else f"{cpu[way] / cpu[_OURS]:.1f} times",
            )
            for way, label in _WAYS.items()
        ]
    header = ("model", "way", "a caption, p50", "processor time", "peak resident, MB", "ratio", "of processor time")
    yield report.table(header, rows)


def _ours(name: str, directory: Path, cache: Path) -> Callable[[bytes], object]:
    from benchmarks.speed import plain
    from models.base import Job, Options, Placement
    from models.discovery import discover

    loaded = discover()[name].load(directory, Placement("cpu", cache=cache))
    options = Options(min_new_tokens=NEW_TOKENS, max_new_tokens=NEW_TOKENS)
    return lambda image: loaded.predict([Job(plain.opened(image), options=options)])


def _plain(precision: str, directory: Path) -> Callable[[bytes], object]:
    import torch

    from benchmarks.speed import plain
    from models.backends.threads import cores

    torch.set_num_threads(cores())
    predict = plain.load(directory, getattr(torch, precision))
    return torch.inference_mode()(lambda image: predict([plain.opened(image)]))


def main(way: str, name: str, directory: str, cache: str) -> None:
    """Caption the photographs whose numbers come on stdin."""
    caption = _ours(name, Path(directory), Path(cache)) if way == _OURS else _plain(way, Path(directory))
    for line in sys.stdin:
        image: Any = pictures.photograph(int(line))
        started, cpu = time.perf_counter(), time.process_time()
        caption(image)
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(took | {"peak": peak}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
