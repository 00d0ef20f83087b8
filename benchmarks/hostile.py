"""Send every file of a directory to the service, and say what came of it: `python -m benchmarks.hostile DIRECTORY`.

Made for collections of broken and hostile images, such as the test images of Pillow, of PngSuite or of a fuzzer. Each
file should get 200, 413, 415 or 422, within five seconds besides inference, and leave no memory behind.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from benchmarks.machine import Usage, about, left_behind, usage, usages
from benchmarks.report import table, write
from tests.server import Server

EXPECTED = {200, 413, 415, 422}
LONGEST = 5.0
"""Seconds that a file may take besides inference."""


@dataclass(frozen=True)
class Outcome:
    """What came of one file with one model: the status, and the seconds besides waiting for the model and its work."""

    path: Path
    model: str
    status: int
    seconds: float

    @property
    def as_it_should_be(self) -> bool:
        return self.status in EXPECTED and self.seconds <= LONGEST


def send(server: Server, path: Path, model: str) -> Outcome:
    """Send a file as a form."""
    started = time.monotonic()
    try:
        answer = server.post(
            "/generate-text",
            files={"image_file": (path.name, path.read_bytes())},
            data={"model": model},
            headers={"Cache-Control": "no-cache"},
        )
    except requests.RequestException:
        return Outcome(path, model, 0, time.monotonic() - started)
    seconds = time.monotonic() - started
    if answer.ok:
        timings = answer.json()["timings_ms"]
        seconds -= (timings["load"] + timings["queue"] + timings["inference"]) / 1000
    return Outcome(path, model, answer.status_code, seconds)


def text(outcomes: Sequence[Outcome], taken: Mapping[str, Usage]) -> str:
    """Return what came of the files, and what the service took in between, in Markdown."""
    header = ["model", "requests", "status", "median besides inference, ms", "longest, ms"]
    return "\n\n".join([table(header, _rows(outcomes)), usages(taken)])


def _rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[object, ...]]:
    for model in dict.fromkeys(one.model for one in outcomes):
        mine = [one for one in outcomes if one.model == model]
        for status, count in sorted(Counter(one.status for one in mine).items()):
            times = [one.seconds * 1000 for one in mine if one.status == status]
            yield f"`{model}`", count, status or "none", f"{statistics.median(times):.0f}", f"{max(times):.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and what is not as it should be; return 1 where there is any."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, help="with the files, in it or below")
    parser.add_argument("--models", default="rapidocr", help="comma-separated (default: rapidocr)")
    parser.add_argument("--model-paths", default="", help="as the setting MODEL_PATHS")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args(arguments)
    files = sorted(path for path in options.directory.rglob("*") if path.is_file())
    if not files:
        parser.error(f"{options.directory} has no files")
    models, machine = options.models.split(","), about()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory), model_paths=options.model_paths)
        try:
            process = psutil.Process(server.process.pid)
            outcomes: list[Outcome] = []
            taken: dict[str, Usage] = {}
            # What is made ready once, for each size of image, is not what is left behind.
            for when in ("all files once", "and again"):
                outcomes += [send(server, path, model) for model in models for path in files]
                taken[when] = usage(process)
        finally:
            server.kill()
    measured = f"{len(files):,} files. {machine}\n\n{text(outcomes, taken)}"
    print(measured)
    if options.write:
        write("hostile", measured)
    wrong = [one for one in outcomes if not one.as_it_should_be]
    for one in wrong:
        print(f"{one.status} after {one.seconds:.1f} s: {one.model} {one.path}")
    left = list(left_behind(*taken.values()))
    print(*left, sep="\n")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    raise SystemExit(main())
