"""Tags of an image: the words that a captioner expects in a caption, and what its encoder's classifier names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Calibration = tuple[float, float]
"""Slope and offset of a logistic function that turns what a network computes into the chance that it is right (Platt
1999, "Probabilistic outputs for support vector machines")."""

Floats = NDArray[np.floating[Any]]

_LEAST = 1e-6


def calibrated(scores: Floats, calibration: Calibration) -> Floats:
    """Return chances between 0 and 1 of scores of any size, such as log-probabilities."""
    slope, offset = calibration
    return np.asarray(1 / (1 + np.exp(-(slope * scores + offset))))


@dataclass(frozen=True)
class Tagger:
    """Turns the probabilities of words and of classes into tags.

    words, classes: the tag of each probability. Classes of one tag add up, such as all breeds of dogs; "" is no tag.
    word_calibration, class_calibration: of the logits of the probabilities.
    threshold: the lowest score of a tag. most: how many tags an image has at most.
    """

    words: tuple[str, ...]
    classes: tuple[str, ...]
    word_calibration: Calibration
    class_calibration: Calibration
    threshold: float
    most: int

    def __call__(self, probabilities: Sequence[float]) -> list[tuple[str, float]]:
        """Return tags with their scores, the surest first, from the probabilities of words, then of classes. A tag that
        is a word and a class has the mean of both scores."""
        words = np.asarray(probabilities[: len(self.words)], np.float64)
        scores = dict(zip(self.words, calibrated(_logits(words), self.word_calibration), strict=True))
        seen = self.seen(probabilities)
        chances = calibrated(_logits(np.array(list(seen.values()))), self.class_calibration)
        for name, score in zip(seen, chances, strict=True):
            # The words' score alone would call much a dog: most photos that they were learned from show one.
            scores[name] = (score + scores.get(name, score)) / 2
        return self._best(scores)

    def seen(self, probabilities: Sequence[float]) -> dict[str, float]:
        """Return the probability of each tag of classes, from the same probabilities."""
        names, places = self._class_tags
        sums = np.zeros(len(names))
        np.add.at(sums, places, np.asarray(probabilities[len(self.words) :], np.float64))
        return {name: total for name, total in zip(names, sums.tolist(), strict=True) if name}

    def unsaid(self, caption: str, probabilities: Sequence[float]) -> float:
        """Return the probability of the likeliest thing that the classifier sees and the caption does not name."""
        said = set(caption.split())
        said |= {self._singulars.get(word, word) for word in said}
        return max(
            (chance for name, chance in self.seen(probabilities).items() if said.isdisjoint(name.split())), default=0.0
        )

    def _best(self, scores: dict[str, float]) -> list[tuple[str, float]]:
        kept: dict[str, tuple[str, float]] = {}
        for name, score in sorted(scores.items(), key=lambda item: -item[1]):
            if score < self.threshold or len(kept) == self.most:
                break
            # Of "dog" and "dogs", the surer one.
            kept.setdefault(self._singulars.get(name, name), (name, float(score)))
        return list(kept.values())

    @cached_property
    def _class_tags(self) -> tuple[list[str], NDArray[np.intp]]:
        """The tags of classes, each once, and the place of each class's tag among them."""
        names = list(dict.fromkeys(self.classes))
        where = {name: place for place, name in enumerate(names)}
        return names, np.array([where[name] for name in self.classes], np.intp)

    @cached_property
    def _singulars(self) -> dict[str, str]:
        names = {*self.words, *self.classes}
        return {f"{name}{ending}": name for name in names for ending in ("s", "es") if f"{name}{ending}" in names}


def _logits(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))
