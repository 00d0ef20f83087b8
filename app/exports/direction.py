"""Scripts that are written from right to left, as Hebrew and Arabic are, in the simplest cases of Unicode's annex 9.

https://www.unicode.org/reports/tr9/.  Numbers and foreign words within a line are known, embeddings and isolates not.
"""

import unicodedata
from itertools import groupby

_RIGHT_TO_LEFT = ("R", "AL")
# Numbers run from left to right in all scripts.
_LEFT_TO_RIGHT = ("L", "EN", "AN")


def right_to_left(text: str) -> bool:
    """Say whether most letters are of a script that is written from right to left."""
    directions = [unicodedata.bidirectional(char) for char in text]
    return sum(directions.count(name) for name in _RIGHT_TO_LEFT) > directions.count("L")


def visual_order(text: str) -> str:
    """Return the characters of a line from its left end to its right end, as they stand on the page."""
    base = right_to_left(text)
    pairs = zip(_directions(text, base), text, strict=True)
    runs = []
    for backward, group in groupby(pairs, key=lambda pair: pair[0]):
        run = "".join(char for _, char in group)
        runs.append(run[::-1] if backward else run)
    return "".join(reversed(runs) if base else runs)


def _directions(text: str, base: bool) -> list[bool]:
    """Say of each character whether it runs from right to left.

    A space or a sign has the direction of the letters on both sides where they agree, or else the line's.
    """
    strong = [_strong(char) for char in text]
    before, after = _carry(strong, base), _carry(strong[::-1], base)[::-1]
    # A mark on a letter goes with its letter.
    marks = [unicodedata.bidirectional(char) == "NSM" for char in text]
    return [left if left == right or mark else base for left, right, mark in zip(before, after, marks, strict=True)]


def _strong(char: str) -> bool | None:
    direction = unicodedata.bidirectional(char)
    if direction in _RIGHT_TO_LEFT:
        return True
    return False if direction in _LEFT_TO_RIGHT else None


def _carry(directions: list[bool | None], first: bool) -> list[bool]:
    """Give each character without a direction that of the last one that has any."""
    carried = []
    for direction in directions:
        first = first if direction is None else direction
        carried.append(first)
    return carried
