"""`python -m benchmarks.soak [NAME ...]` runs the checks of this package one after the other."""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks import soak
from benchmarks.machine import about
from benchmarks.report import write


def names() -> list[str]:
    """Return the names of all checks."""
    return [module.name for module in pkgutil.iter_modules(soak.__path__) if module.name != "__main__"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the checks measured, and what is not as it should be; return 1 where there is any."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Checks that take minutes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())} (default: all)")
    parser.add_argument("--minutes", type=float, default=10, help="for each (default: 10)")
    parser.add_argument("--model-paths", default="", help="as the setting MODEL_PATHS; tiny checkpoints if absent")
    parser.add_argument("--images", type=Path, help="a directory of photos; some that are drawn if absent")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names()):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    wrong = [line for name in options.names or names() for line in _run(name, options)]
    return 1 if wrong else 0


def _run(name: str, options: argparse.Namespace) -> list[str]:
    check = importlib.import_module(f"benchmarks.soak.{name}")
    machine = about()
    result: soak.Result = check.soak(soak.Options(options.minutes, options.model_paths, options.images))
    measured = f"{options.minutes:g} minutes. {machine}\n\n{result.measured}"
    print(f"## {name}\n\n{measured}", *result.wrong, sep="\n", flush=True)
    if options.write:
        write(f"soak-{name}", measured)
    return list(result.wrong)


if __name__ == "__main__":
    raise SystemExit(main())
