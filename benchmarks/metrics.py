"""What is counted: characters read wrongly, lines found in their place, words found; and shares of such counts."""

import string
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import jiwer
import numpy as np
from numpy.typing import NDArray

SAME_LINE = 0.4  # least intersection over union of a line read with the line written
RESAMPLES = 2000

Polygon = NDArray[np.float64]  # (4, 2), pixels, convex
Count = tuple[int, int]  # how many, of how many


@dataclass(frozen=True)
class Share:
    """A share of something over several documents, with one count for each."""

    counts: Sequence[Count]

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.value:.2%} ({100 * low:.1f} to {100 * high:.1f})"

    @property
    def value(self) -> float:
        """Return the sum of what was counted over the sum of what it was counted of."""
        return sum(count for count, _ in self.counts) / self.total

    @property
    def total(self) -> int:
        """Return of how many it is a share."""
        return sum(total for _, total in self.counts)

    def interval(self) -> tuple[float, float]:
        """Return the middle 95 % of the values over documents drawn again, with replacement (a bootstrap)."""
        counts = np.array(self.counts)
        drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
        sums = counts[drawn].sum(axis=1)
        low, high = np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])
        return float(low), float(high)


def edits(read: str, written: str) -> Count:
    """Return the edit distance in characters, and how many were written: their share is the character error rate."""
    found = jiwer.process_characters(written, read)
    wrong = found.substitutions + found.deletions
    return wrong + found.insertions, wrong + found.hits


def in_order(read: Sequence[Polygon], written: Sequence[Polygon]) -> Count:
    """Return how many of the lines written were found as one line and in their place among the others."""
    places: list[int] = []
    for polygon in read:
        shares = [intersection_over_union(polygon, line) for line in written]
        place = int(np.argmax(shares))
        if shares[place] >= SAME_LINE and place not in places:
            places.append(place)
    return longest_increasing(places), len(written)


def intersection_over_union(first: Polygon, second: Polygon) -> float:
    """Return the area that two convex polygons share over the area that they cover."""
    one, other = (cv2.convexHull(polygon.astype(np.float32)) for polygon in (first, second))
    common, _ = cv2.intersectConvexConvex(one, other)
    covered = cv2.contourArea(one) + cv2.contourArea(other) - common
    return float(common / max(covered, 1e-6))


def longest_increasing(values: Sequence[int]) -> int:
    """Return the length of the longest increasing subsequence."""
    tails: list[int] = []
    for value in values:
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
    return len(tails)


def words(text: str) -> Counter[str]:
    """Return the words of a text: lower-cased, without outer punctuation, with multiplicity."""
    stripped = (word.strip(string.punctuation) for word in text.lower().split())
    return Counter(word for word in stripped if word)


def found(read: str, written: Counter[str]) -> Count:
    """Return how many of the words written were read."""
    return (written & words(read)).total(), written.total()


def found_without_spaces(read: str, written: Counter[str]) -> Count:
    """Return how many of the words written occur in what was read, once its spaces are taken out."""
    run = "".join(read.lower().split())
    return sum(min(count, run.count(word)) for word, count in written.items()), written.total()
