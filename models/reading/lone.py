"""Lone characters between two texts of a row, such as the quantities of a receipt, which a detector often leaves out.

Each is a little ink, as high as letters are, with paper on all sides. Lengths are in heights of the text to the left.
"""

from collections.abc import Callable

import cv2
import numpy as np

from models.reading.crops import Floats, Pixels, cut
from models.reading.ctc import Reading
from models.reading.leaders import between
from models.reading.pieces import parts_of
from models.reading.runs import inked

HEIGHTS = 0.3, 0.95  # of a character, between those of small letters and of the fragment
WIDEST = 0.9  # of one
FILL = 0.15  # least share of its box with ink
APART = 0.5  # paper between it and what else is there
MARGIN = 0.25  # of paper that it is read with
ALIKE = 0.7  # height of the lower text of a row, as a share of the higher one's
MOST = 8  # pieces of ink between two texts: where there are more, there is a picture or a leader
SURE = 0.8  # least confidence: a speck is read as something, too


def with_lone_characters(image: Pixels, fragments: Floats, read: Callable[[Pixels], Reading]) -> Floats:
    """Return fragments (n, 4, 2) of a page (height, width, 3) with those of lone characters, which are read to be
    sure that they are some."""
    found = [character for strip in _strips(fragments) for character in _characters(image, strip, read)]
    return np.concatenate([fragments, found]) if found else fragments


def _strips(fragments: Floats) -> list[Floats]:
    """Return the paper between each fragment and the nearest before it on its row, as quadrilaterals (4, 2)."""
    boxes = np.concatenate([fragments.min(axis=1), fragments.max(axis=1)], axis=1)
    heights = np.linalg.norm(fragments[:, 3] - fragments[:, 0], axis=1)
    nearest: dict[int, int] = {}  # the fragment before each; one has several where fragments overlap
    for number, (_, _, right, _) in enumerate(boxes):
        middle = fragments[number, 1:3, 1].mean()
        after = np.flatnonzero((boxes[:, 0] >= right) & (boxes[:, 1] < middle) & (middle < boxes[:, 3]))
        if not len(after):
            continue
        beside = int(after[boxes[after, 0].argmin()])
        if beside not in nearest or right > boxes[nearest[beside], 2]:
            nearest[beside] = number
    strips = []
    for beside, number in nearest.items():
        low, high = sorted((heights[number], heights[beside]))
        strip = between(fragments[number], fragments[beside]) if low >= ALIKE * high else None
        if strip is not None:
            strips.append(strip)
    return strips


def _characters(image: Pixels, strip: Floats, read: Callable[[Pixels], Reading]) -> list[Floats]:
    """Return the lone characters on a strip of paper as quadrilaterals (4, 2) of the page."""
    crop = cut(image, strip)
    height, width = crop.shape[:2]
    spans = [(start - MARGIN * height, end + MARGIN * height) for start, end in lone(crop)]
    crops = [crop[:, round(start) : round(end)] for start, end in spans]
    sure = [reading.text.isalnum() and reading.confidence >= SURE for reading in map(read, crops)]
    shares = np.array(spans)[sure] / width if spans else np.zeros((0, 2))
    return list(parts_of(np.repeat(strip[None], len(shares), axis=0), shares))


def lone(crop: Pixels) -> list[tuple[int, int]]:
    """Return start and end, in pixels, of each piece of ink on a strip (height, width, 3) that may be a character."""
    ink = inked(crop, rules=True)
    height, width = ink.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    if not 1 < count <= MOST + 1:
        return []
    left, top, wide, high, area = stats[1:].T
    right = left + wide
    fits = (top > 0) & (top + high < height) & (wide <= WIDEST * height) & (area >= FILL * wide * high)
    fits &= (high >= HEIGHTS[0] * height) & (high <= HEIGHTS[1] * height)
    fits &= (left >= APART * height) & (right <= width - APART * height)
    gaps = np.maximum(left[:, None] - right, left - right[:, None])
    np.fill_diagonal(gaps, width)
    fits &= (gaps >= APART * height).all(axis=1)
    return [(int(left[piece]), int(right[piece])) for piece in np.flatnonzero(fits)]
