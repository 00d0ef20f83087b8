"""Checks that take minutes: `make soak`, or `python -m benchmarks.soak clients --minutes 2` for one of them.

Each module of this package is a check, found by itself: a function `soak(options)` that returns a `Result`. What it
measured can stand in benchmarks/README.md, between the marks `soak-NAME`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What a check is told.

    Attributes:
        minutes: how long it should take, about.
        model_paths: checkpoints to serve, as in MODEL_PATHS; empty for tiny ones that the check makes itself.
        images: a directory of photos; None for some that the check draws itself.
    """

    minutes: float = 10
    model_paths: str = ""
    images: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check: what it measured, in Markdown, and in words what is not as it should be."""

    measured: str
    wrong: Sequence[str]
