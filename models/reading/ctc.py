"""Text from a CTC recogniser's output, with the spaces it nearly saw.

A recogniser trained on tight crops often prefers "no character" to a space by a small margin. Where two characters
lie far apart and the space was a serious candidate in between, the space is put back.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLANK = 0
SPACE_PROBABILITY = 0.05  # least probability of a space between two characters for it to be put back
SPACE_STEPS = 4  # least distance of those characters, in time steps (8 pixels at a height of 48)


def decode(probabilities: NDArray[np.float32], characters: Sequence[str]) -> tuple[str, float]:
    """Return text and confidence (mean probability of its characters) of one line: (steps, characters) -> str, 0..1."""
    best = probabilities.argmax(axis=1)
    changes = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(changes[1:], len(best)) - 1
    space = len(characters) - 1
    pieces: list[str] = []
    scores: list[float] = []
    previous_end = -1
    for start, end in zip(changes, ends, strict=True):
        if best[start] == BLANK:
            continue
        if pieces and is_lost_space(probabilities[previous_end : start + 1, space]):
            pieces.append(" ")
        pieces.append(characters[best[start]])
        scores.append(float(probabilities[start, best[start]]))
        previous_end = end
    text = " ".join("".join(pieces).split())
    return text, float(np.mean(scores)) if text else 0.0


def is_lost_space(between: NDArray[np.float32]) -> bool:
    """Tell from the space's probabilities, from one character to the next (steps,), whether a space lies between."""
    return len(between) > SPACE_STEPS and float(between.max()) >= SPACE_PROBABILITY
