"""Underscores. A detector leaves out those that stand below a line or at its ends, and a recogniser counts "__" as one.

An underscore is a bar of ink at the foot of a line that touches nothing and has no letter above it, unlike the rule
under a word. Lengths are in heights of the fragment.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels, cut
from models.reading.ctc import Reading
from models.reading.runs import inked

BELOW, BESIDE = 0.35, 1.5  # how far around a fragment bars are looked for
WIDTHS = (0.25, 2.0)  # of a bar; longer ones are blanks to fill in
THICKEST = 0.15
FOOT, LOWEST = 0.7, 1.1  # distance of a bar from the top of the fragment
ABOVE = 0.4  # height of the paper above a bar in which no letter stands
BARE = 0.2  # largest share of a bar's length with ink in that paper: neighbours lean over its ends
NEAR = 0.4  # widest gap between a bar and the text that it belongs to
SPACE = 0.35  # narrowest space beside a bar
MARGIN = 0.12  # paper below a bar

Bars = NDArray[np.intp]  # (n, 4): left, top, right, bottom in pixels, from left to right


def find_bars(crop: Pixels, height: float) -> Bars:
    """Return the underscores in a crop that begins at the top of a line of `height` pixels."""
    ink = inked(crop, rules=True)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    left, above, width, thick, area = stats[1:].T
    fits = (width >= WIDTHS[0] * height) & (width <= WIDTHS[1] * height) & (above >= FOOT * height)
    # What touches the edge are the tops of the letters below, or a rule.
    fits &= (left > 0) & (left + width < ink.shape[1]) & (above + thick < ink.shape[0] - 1)
    fits &= (
        (above <= LOWEST * height)
        & (thick <= max(THICKEST * height, 2))
        & (width >= 3 * thick)
        & (area >= 0.8 * width * thick)
    )
    found = [
        (x, y, x + wide, y + high)
        for x, y, wide, high in zip(left[fits], above[fits], width[fits], thick[fits], strict=True)
        if ink[max(y - round(ABOVE * height), 0) : y, x : x + wide].any(axis=0).mean() <= BARE
    ]
    return np.array(sorted(found), np.intp).reshape(-1, 4)


def with_underscores(image: Pixels, fragments: Floats) -> Floats:
    """Return fragments (n, 4, 2) of a page (height, width, 3) that reach as far as the underscores of their lines."""
    found = fragments.copy()
    for number, fragment in enumerate(fragments):
        along, across = fragment[1] - fragment[0], fragment[3] - fragment[0]
        length, height = float(np.linalg.norm(along)), float(np.linalg.norm(across))
        if length < height or height < 1:
            continue
        aside, below = along / length * BESIDE * height, across * BELOW
        wide = fragment + np.array([-aside, aside, aside + below, -aside + below])
        bars = find_bars(cut(image, wide), height)
        if len(bars):
            left, right, bottom = reach(bars, height, BESIDE * height, BESIDE * height + length)
            start, end = along / length * (left - BESIDE * height), along / length * (right - BESIDE * height - length)
            down = across * (max(bottom / height + MARGIN, 1.0) - 1) if bottom else across * 0
            found[number] = fragment + np.array([start, end, end + down, start + down])
    return found


def reach(bars: Bars, height: float, left: float, right: float) -> tuple[float, float, float]:
    """Return the left and the right end of a text with the bars beside it, and the foot of its bars, 0 for none."""
    bottom = 0.0
    for bar in bars[::-1]:
        if left - NEAR * height <= bar[2] and bar[0] < left:
            left = float(bar[0]) - MARGIN * height
    for bar in bars:
        if bar[0] <= right + NEAR * height and bar[2] > right:
            right = float(bar[2]) + MARGIN * height
        if left <= bar[0] and bar[2] <= right:
            bottom = max(bottom, float(bar[3]))
    return left, right, bottom


def counted(reading: Reading, crop: Pixels) -> Reading:
    """Return what was read in a crop (height, width, 3) with as many underscores as its bars are characters long.

    Only texts in which an underscore was read are looked at.
    """
    if "_" not in reading.characters:
        return reading
    width = crop.shape[1]
    bars = find_bars(crop, float(crop.shape[0]))
    letters = np.array([number for number, letter in enumerate(reading.characters) if letter.strip("_ ")], np.intp)
    if not len(bars) or len(letters) < 2:
        return reading
    pitch = float(np.median(np.diff(reading.places[letters]))) * width
    columns, space = np.flatnonzero(inked(crop, rules=True).any(axis=0)), SPACE * len(crop)
    characters, places, scores = list(reading.characters), reading.places * width, reading.scores
    for left, _, right, _ in bars:
        count = max(1, round((right - left) / max(pitch, 1.0)))
        beside = (places > left - pitch / 2) & (places < right + pitch / 2)
        kept = np.flatnonzero(~(beside & np.array([letter == "_" for letter in characters])))
        at = int(np.searchsorted(places[kept], (left + right) / 2))
        # A space beside a bar stays if the paper there is wide enough.
        before = left - columns[columns < left].max(initial=-width)
        after = columns[columns >= right].min(initial=2 * width) - right
        first = at - 1 if at and characters[kept[at - 1]] == " " and before < space else at
        last = at + 1 if at < len(kept) and characters[kept[at]] == " " and after < space else at
        characters = [characters[number] for number in kept]
        characters[first:last] = ["_"] * count
        own = left + (right - left) * (np.arange(count) + 0.5) / count
        places = np.concatenate([places[kept][:first], own, places[kept][last:]])
        scores = np.concatenate([scores[kept][:first], np.ones(count), scores[kept][last:]])
    return replace(reading, characters=tuple(characters), places=places / width, scores=scores)
