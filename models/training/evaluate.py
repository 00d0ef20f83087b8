"""Measure models of the registry: captions against those of people, or lines read against what is written on them.

    python -m models.training.evaluate efficientnet-gru --images DIR --captions FILE --split dev.txt --num-beams 1 3
    python -m models.training.evaluate rapidocr --lines DIR

Prints a table; `--json` keeps every prediction, `--html` shows the best and the worst. `metrics` describes the scores.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.backends import check_placement
from models.base import Options, Placement
from models.discovery import discover, with_local_paths
from models.errors import InvalidJob, ModelError
from models.registry import Entry, Registry
from models.training import report
from models.training.command import Parser
from models.training.formats import DatasetError
from models.training.measure import CAPTIONERS, READERS, Run, measure
from models.training.samples import Sample, captioned, written


class EvaluationError(Exception):
    """The arguments ask for something that cannot be measured. The message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate as the command line asks, and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    asked = _parser().parse_args(arguments)
    try:
        _check_outputs([asked.json, asked.html])
        entries = find_models(asked)
        samples = read_samples(asked)[: asked.limit]
        runs = [run for entry in entries for run in measure(entry, samples, _variants(asked), asked.batch)]
        _write(runs, asked, len(samples))
    except (EvaluationError, DatasetError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.table(runs))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m models.training.evaluate",
        description="Measure captioners by BLEU, ROUGE-L and CIDEr, or readers by character and word error rate.",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names, as in the registry or in --model-paths")
    parser.add_argument("--model-paths", type=_paths, default={}, metavar="NAME=DIR,...", help="read from directories")
    data = parser.add_argument_group("what to measure captioners on")
    data.add_argument("--images", type=Path, metavar="DIR", help="folder of the pictures")
    data.add_argument("--captions", type=Path, metavar="FILE", help="captions of Flickr8k, Flickr30k or COCO")
    data.add_argument("--split", type=Path, metavar="FILE", help="names of the pictures to use, one a line; else all")
    data.add_argument("--skip-missing", action="store_true", help="leave out pictures that are not in the folder")
    lines = parser.add_argument_group("what to measure readers on")
    lines.add_argument("--lines", type=Path, metavar="DIR", help="folder with lines.tsv: file, tab, text")
    how = parser.add_argument_group("how")
    how.add_argument("--num-beams", type=_count, nargs="+", default=[None], metavar="N", help="one run for each")
    how.add_argument("--max-new-tokens", type=_count, metavar="N", help="longest text")
    how.add_argument("--limit", type=_count, metavar="N", help="only the first N images")
    how.add_argument("--batch", type=_count, metavar="N", help="images at once; else what the service hands over")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    how.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16", "int8"])
    how.add_argument("--download", action="store_true", help="fetch weights that are not on this machine")
    out = parser.add_argument_group("what to write besides the table")
    out.add_argument("--json", type=Path, metavar="FILE", help="scores and every prediction")
    out.add_argument("--html", type=Path, metavar="FILE", help="a page of pictures, the best and the worst")
    out.add_argument("--pictures", type=_count, default=12, metavar="N", help="how many of each (12)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _paths(text: str) -> dict[str, Path]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not name.strip() or not path.strip() for name, _, path in pairs):
        raise argparse.ArgumentTypeError("write name=directory, and commas between several")
    return {name.strip(): Path(path.strip()).expanduser() for name, _, path in pairs}


def _check_outputs(paths: Sequence[Path | None]) -> None:
    """Check that the outputs can be written, before an hour of predictions."""
    for path in filter(None, paths):
        if path.is_dir():
            raise EvaluationError(f"{path} cannot be written: it is a folder")
        if not path.parent.is_dir():
            raise EvaluationError(f"{path} cannot be written: its folder is missing")


def find_models(asked: argparse.Namespace) -> list[Entry]:
    """Return the entries of the models asked for, none of them loaded.

    Raises:
        EvaluationError, ModelError: one is unknown, not here, or cannot do what is asked.
    """
    placement = Placement(asked.device, asked.precision)
    try:
        check_placement(placement)
        registry = Registry(with_local_paths(discover(), asked.model_paths).values(), placement)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    entries = [registry.entry(name) for name in dict.fromkeys(asked.models)]
    for entry in entries:
        _check_model(entry, asked)
        if not entry.on_machine and not asked.download:
            name = entry.model.name
            raise EvaluationError(
                f"the weights of {name} are not on this machine: --model-paths {name}=DIR names a directory that "
                "holds them, --download fetches them"
            )
    return entries


def _check_model(entry: Entry, asked: argparse.Namespace) -> None:
    model = entry.model
    if asked.lines is not None and model.task not in READERS:
        raise EvaluationError(f"{model.name} does not read: its task is {model.task}. Captioners take --images")
    if asked.lines is None and model.task not in CAPTIONERS:
        raise EvaluationError(f"{model.name} does not caption: its task is {model.task}. Readers take --lines")
    for options in _variants(asked):
        for name in ("num_beams", "max_new_tokens"):
            if getattr(options, name) is not None and not model.takes(name):
                raise InvalidJob(f"{model.name} takes no --{name.replace('_', '-')}")
        model.check(options)


def _variants(asked: argparse.Namespace) -> list[Options]:
    return [Options(num_beams=beams, max_new_tokens=asked.max_new_tokens) for beams in dict.fromkeys(asked.num_beams)]


def read_samples(asked: argparse.Namespace) -> list[Sample]:
    """Return the samples to measure on.

    Raises:
        EvaluationError: the arguments do not name them.
        DatasetError: they are missing or cannot be used.
    """
    if asked.lines is not None:
        if asked.images or asked.captions or asked.split:
            raise EvaluationError("--lines is for readers; --images, --captions and --split are for captioners")
        return written(asked.lines)
    if asked.images is None or asked.captions is None:
        raise EvaluationError("captioners need --images and --captions, readers --lines")
    return captioned(asked.images, asked.captions, asked.split, asked.skip_missing)


def _write(runs: Sequence[Run], asked: argparse.Namespace, count: int) -> None:
    dataset: dict[str, Any] = {
        name: str(value) for name in ("images", "captions", "split", "lines") if (value := getattr(asked, name))
    }
    dataset["count"] = count
    if asked.json:
        asked.json.write_text(report.as_json(runs, dataset), encoding="utf-8")
    if asked.html:
        asked.html.write_text(report.as_html(runs, dataset, asked.pictures), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
