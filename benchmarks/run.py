"""Measure how fast the service is, beside others, in one run: `python -m benchmarks.run NAME=DIRECTORY ...`.

Each argument is a model and a directory with its checkpoint in the published layout. Needs Linux, and
`pip install -r requirements-bench.txt`. Markdown is printed; `--write` puts it into README.md in this folder.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.machine import about
from benchmarks.speed.context import Context
from benchmarks.speed.sections import NEEDS_BLIP, SECTIONS

HERE = Path(__file__).resolve().parent


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", nargs="*", metavar="NAME=DIRECTORY", help="a model and its checkpoint")
    parser.add_argument("--only", metavar="SECTION,...", help=f"some of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the requests; 0.1 for a quick look (default: 1)")
    parser.add_argument("--clients", default="1,4,16,64", help="at once, for captions (default: 1,4,16,64)")
    parser.add_argument("--write", action="store_true", help="put the results into benchmarks/README.md")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",") if options.only else list(SECTIONS)
    if unknown := set(options.only) - SECTIONS.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    try:
        options.clients = sorted({int(count) for count in options.clients.split(",")})
    except ValueError:
        options.clients = []
    if not options.clients or min(options.clients) < 1:
        parser.error("--clients must be numbers such as 1,16")
    if options.share <= 0:
        parser.error("--share must be more than 0")
    options.weights = {name: Path(path).resolve() for name, _, path in (one.partition("=") for one in options.weights)}
    for name, path in options.weights.items():
        if not (path / "config.json").is_file():
            parser.error(f"{name}: {path} is not a directory with a checkpoint: write NAME=DIRECTORY")
    if "blip-base" not in options.weights and (lacking := NEEDS_BLIP & set(options.only)):
        parser.error(f"{', '.join(sorted(lacking))}: blip-base=DIRECTORY is needed")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure section by section, and print each as soon as it is known."""
    options = parse(arguments)
    # Asked to end, it ends its servers first.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as directory:
        context = Context(options.weights, Path(directory), options.share, options.clients)
        for name in options.only:
            text = "\n\n".join([about(), *SECTIONS[name](context)])
            print(f"## {name}\n\n{text}\n", flush=True)
            if options.write:
                report.write(name, text)
        if options.write and context.throughput:
            report.plot(HERE / "throughput.svg", context.throughput)


if __name__ == "__main__":
    main()
