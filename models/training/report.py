"""What an evaluation found, for people and programs: a table, JSON, and a page of the best and the worst."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from models.training.measure import Outcome, Run
from models.training.samples import Sample

_TEMPLATE = Path(__file__).with_name("report.html")
_THUMBNAIL = (360, 240)  # pixels, at most
_WIDE = 2.5  # times as wide as high: an image of a line, which has a row of the page to itself


def rows(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table. The time is that of predicting, without reading files."""
    head = ["model", "beams", "images", *runs[0].scores, "ms/image"]
    body = [
        [
            run.model,
            str(run.options.num_beams or "default"),
            str(len(run.outcomes)),
            *(f"{value:.2%}" if run.reads else f"{value:.4f}" for value in run.scores.values()),
            f"{1000 * run.seconds / len(run.outcomes):.0f}",
        ]
        for run in runs
    ]
    return head, body


def table(runs: Sequence[Run]) -> str:
    """Return the scores as a Markdown table whose columns line up."""
    head, body = rows(runs)
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([line(head), rule, *(line(row) for row in body)])


def as_json(runs: Sequence[Run], dataset: Mapping[str, Any]) -> str:
    """Return the scores in full precision, and the text for every image."""
    found = [
        {
            "model": run.model,
            "task": run.task,
            "num_beams": run.options.num_beams,
            "max_new_tokens": run.options.max_new_tokens,
            "device": run.device,
            "precision": run.precision,
            "images": len(run.outcomes),
            "seconds": round(run.seconds, 3),
            "scores": run.scores,
            "predictions": [
                {
                    "image": outcome.sample.image.name,
                    "text": outcome.text,
                    "references": outcome.sample.texts,
                    run.metric: outcome.score,
                }
                for outcome in run.outcomes
            ],
        }
        for run in runs
    ]
    return json.dumps({"dataset": dataset, "runs": found}, indent=2, ensure_ascii=False) + "\n"


def as_html(runs: Sequence[Run], dataset: Mapping[str, Any], pictures: int) -> str:
    """Return a self-contained page: the table, and the `pictures` best and worst pictures of each run."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["thumbnail"] = lru_cache(maxsize=None)(thumbnail)
    head, body = rows(runs)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        dataset={name: value for name, value in dataset.items() if value is not None},
        head=head,
        body=body,
        runs=[(run, best_and_worst(run, pictures)) for run in runs],
    )


def best_and_worst(run: Run, count: int) -> dict[str, list[Outcome]]:
    """Return at most `count` of each, the most extreme first. No image is in both."""
    ranked = run.from_best()
    best = ranked[: min(count, (len(ranked) + 1) // 2)]
    return {"Best": best, "Worst": ranked[len(best) :][::-1][:count]}


def thumbnail(sample: Sample) -> tuple[str, bool]:
    """Return a small JPEG of an image as a data URI, and whether it is wide."""
    image = sample.open()
    wide = image.width > _WIDE * image.height
    image.thumbnail((2 * _THUMBNAIL[0], _THUMBNAIL[1]) if wide else _THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), wide
