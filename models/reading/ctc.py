"""Decodes the output of a CTC recogniser, and restores spaces that it narrowly missed.

A recogniser trained on tight crops often prefers the blank symbol to a space by a small margin. Where two characters
are far apart and a space has some probability between them, the space is restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BLANK = 0
SPACE_PROBABILITY = 0.05  # least probability of a space between two characters for it to be restored
SPACE_STEPS = 4  # least distance of those characters, in time steps (8 pixels at a height of 48)


@dataclass(frozen=True)
class Reading:
    """What a recogniser reads in one crop, character by character, spaces among them."""

    characters: tuple[str, ...]
    places: NDArray[
        np.float64
    ]  # (n,), where the middle of each is, between the crop's left end, 0, and its right end, 1
    scores: NDArray[np.float64]  # (n,), the probability of each; of a space, nothing (NaN)
    view: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """What tells its script; see `models.reading.scripts`."""
    spaces: NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32))
    """(steps,), the probability of a space at each step from the crop's left end to its right end."""

    @property
    def text(self) -> str:
        """The text on one line, without doubled spaces and spaces around it."""
        return " ".join("".join(self.characters).split())

    @property
    def confidence(self) -> float:
        """The mean probability of the characters, 0..1; 0 where there are none."""
        scores = self.scores[~np.isnan(self.scores)]
        return float(scores.mean()) if self.text else 0.0

    def part(self, start: float, end: float) -> "Reading":
        """Return what is read from one place to another."""
        kept = np.flatnonzero((self.places >= start) & (self.places < end))
        return Reading(tuple(self.characters[number] for number in kept), self.places[kept], self.scores[kept])


def decode(probabilities: NDArray[np.float32], characters: Sequence[str]) -> Reading:
    """Return what the probabilities (steps, characters) of one crop say."""
    best = probabilities.argmax(axis=1)
    changes = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(changes[1:], len(best)) - 1
    space = len(characters) - 1
    found: list[tuple[str, float, float]] = []
    previous_end = -1
    for start, end in zip(changes, ends, strict=True):
        if best[start] == BLANK:
            continue
        if found and is_lost_space(probabilities[previous_end : start + 1, space]):
            found.append((" ", (previous_end + start + 1) / 2, np.nan))
        score = float(probabilities[start, best[start]])
        found.append((characters[best[start]], (start + end + 1) / 2, score))
        previous_end = end
    texts, places, scores = zip(*found, strict=True) if found else ((), (), ())
    return Reading(texts, np.array(places, np.float64) / len(best), np.array(scores, np.float64))


def is_lost_space(between: NDArray[np.float32]) -> bool:
    """Return whether a space was missed, from its probabilities between two characters, of shape (steps,)."""
    return len(between) > SPACE_STEPS and float(between.max()) >= SPACE_PROBABILITY
