"""Which script a text is in, as far as the recogniser's own view of it tells: a linear classifier of that view.

The recogniser maps a line to 120 numbers at each step, from which it scores its characters. Scripts that it has no
characters of look different there, too: the mean and the deviation of these numbers over a line tell them apart.
`python -m models.training.scripts` fits the classifier.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KNOWN = "known"  # the class of the scripts that the recogniser reads
FILE = Path(__file__).with_name("scripts.npz")
SURE = 0.4  # least probability of a script for its texts not to be read; pages that were tried have 0.52 and more, or 0
# In heights: what a detector takes for text in a photo is short, and looks like no script that is known.
WORD = 2.5  # shortest line that counts
LEAST = 7.0  # length of all that count, at least

View = NDArray[np.float32]  # (2 * channels,)


def view_of(steps: NDArray[np.float32]) -> View:
    """Return what tells scripts apart in what the recogniser sees of a line, of shape (steps, channels)."""
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0)]).astype(np.float32)


def unknown_script(lines: Sequence[tuple[View, float]]) -> str | None:
    """Return the script of some lines of one page, each with its length in heights, by its code in ISO 15924; None for
    one that the recogniser reads, and where the lines are too short to tell."""
    counted = [(view, length) for view, length in lines if length >= WORD]
    if sum(length for _, length in counted) < LEAST:
        return None
    names, mean, scale, weights, bias = _classifier()
    scores = (np.stack([view for view, _ in counted]) - mean) / scale @ weights + bias
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    share = (probabilities / probabilities.sum(axis=1, keepdims=True)).mean(axis=0)
    unknown = 1 - share[names.index(KNOWN)]
    best = max((name for name in names if name != KNOWN), key=lambda name: float(share[names.index(name)]))
    return best if unknown >= SURE else None


@cache
def _classifier() -> tuple[
    list[str], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]
]:
    with np.load(FILE) as file:
        kept = (file[name].astype(np.float32) for name in ("mean", "scale", "weights", "bias"))
        return [str(name) for name in file["names"]], *kept
