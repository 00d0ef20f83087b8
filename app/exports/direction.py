"""Scripts that are written from right to left, as Hebrew and Arabic are, by Unicode's bidirectional algorithm.

https://www.unicode.org/reports/tr9/, of which rules W1 to W7, N1, N2, I1, I2 and L2 are here in short; no embeddings,
no isolates and no pairs of brackets.
"""

import re
import unicodedata
from itertools import accumulate, groupby

# Letters of both directions, numbers, what separates numbers, and what stands beside them.
_KINDS = {"L": "L", "R": "R", "AL": "R", "EN": "N", "AN": "N", "CS": "s", "ES": "s", "ET": "t", "NSM": "m"}


def right_to_left(text: str) -> bool:
    """Say whether most letters are of a script that is written from right to left."""
    kinds = _kinds(text)
    return kinds.count("R") > kinds.count("L")


def visual_order(text: str) -> str:
    """Return the characters of a line from its left end to its right end, as they stand on the page."""
    pairs = list(zip(_levels(text), text, strict=True))
    for level in (2, 1):
        runs = groupby(pairs, key=lambda pair: pair[0] >= level)
        pairs = [pair for deep, run in runs for pair in (reversed(list(run)) if deep else run)]
    return "".join(char for _, char in pairs)


def _kinds(text: str) -> str:
    return "".join(_KINDS.get(unicodedata.bidirectional(char), "-") for char in text)


def _levels(text: str) -> list[int]:
    """Return how often each character is turned around: numbers, and words within words, twice."""
    kinds = _kinds(text)
    backward = kinds.count("R") > kinds.count("L")
    # A mark goes with its letter.
    kinds = "".join(accumulate(kinds, lambda last, kind: last if kind == "m" else kind))
    kinds = re.sub("(?<=N)s(?=N)", "N", kinds)
    kinds = re.sub("t+(?=N)|(?<=N)t+", lambda match: "N" * len(match[0]), kinds)
    # Numbers after a word that runs from left to right are part of it.
    kinds = re.sub("L[^LR]*" if backward else "(^|L)[^LR]*", lambda match: match[0].replace("N", "L"), kinds)
    # What has no direction goes with both of its neighbours, or else with the line.  Numbers count as right-to-left.
    kinds = re.sub("(?<=L)[^LRN]+(?=L)", lambda match: "L" * len(match[0]), kinds)
    kinds = re.sub("(?<=[RN])[^LRN]+(?=[RN])", lambda match: "R" * len(match[0]), kinds)
    kinds = re.sub("[^LRN]", "R" if backward else "L", kinds)
    depth = {"L": 2 if backward else 0, "R": 1, "N": 2}
    return [depth[kind] for kind in kinds]
