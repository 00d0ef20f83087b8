"""Dot leaders, as between the titles of a table of contents and their pages. No detector sees them."""

import re
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels, cut
from models.reading.geometry import Flags
from models.reading.runs import inked, runs

LEADER = "...."  # what stands for one in the text, however long it is
LEAST_GAP = 3.0  # narrowest gap between two texts that is looked at, in heights
DOTS, MANY_DOTS = 5, 8  # least number of dots between two texts, and within one
LARGEST_DOT = 0.3  # height and width of one, in heights of the text
UNEVEN = 0.25  # largest share of dots whose distance from the one before differs from the usual
TOLERANCE = 0.25  # by how much a distance differs from the usual at most, as a share of it
SPAN = 0.5  # least share of the strip from the first dot to the last
_READ_DOTS = re.compile(r"(?:\. ?){5,}$")  # at the end of a text: the recogniser has read a leader


def led(image: Pixels, polygons: Floats) -> Flags:
    """Tell to which texts of a page, polygons (n, 4, 2) in its pixels, a leader leads from another on their row."""
    boxes = np.concatenate([polygons.min(axis=1), polygons.max(axis=1)], axis=1)
    found = np.zeros(len(polygons), np.bool_)
    for number, (left, top, _, bottom) in enumerate(boxes):
        middle = (top + bottom) / 2
        before = np.flatnonzero((boxes[:, 2] < left) & (boxes[:, 1] < middle) & (middle < boxes[:, 3]))
        if len(before):
            strip = between(polygons[before[boxes[before, 2].argmax()]], polygons[number])
            found[number] = strip is not None and is_leader(cut(image, strip))
    return found


def without_dots(ink: Flags) -> Flags:
    """Return the ink (height, width) of a line without the dots of leaders, which a detector takes for text of it."""
    rows = np.flatnonzero(ink.any(axis=1))
    if not len(rows) or ink.shape[1] < LEAST_GAP * len(ink):
        return ink
    # Of the ink, because beside the paper of a loose fragment small letters are as small as dots.
    height = rows[-1] - rows[0] + 1
    count, labels, stats, centres = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    size = max(LARGEST_DOT * height, 2)
    small = (stats[:, cv2.CC_STAT_WIDTH] <= size) & (stats[:, cv2.CC_STAT_HEIGHT] <= size) & (np.arange(count) > 0)
    dots = np.flatnonzero(small)
    if len(dots) < MANY_DOTS:
        return ink
    low = np.abs(centres[dots, 1] - np.median(centres[dots, 1])) <= LARGEST_DOT * height / 2
    dots = dots[low][np.argsort(centres[dots[low], 0])]
    if len(dots) < MANY_DOTS:
        return ink
    pitches = np.diff(centres[dots, 0])
    usual = float(np.median(pitches))
    even = np.abs(pitches - usual) <= max(TOLERANCE * usual, 1)
    if even.sum() < MANY_DOTS - 1 or usual > height:
        return ink
    own = np.zeros(count, np.bool_)
    own[dots[:-1][even]] = own[dots[1:][even]] = True
    return np.asarray(ink & ~own[labels], np.bool_)


def has_dots(crop: Pixels) -> bool:
    """Tell whether the crop of a line (height, width, 3) has a leader."""
    ink = inked(crop)
    return without_dots(ink) is not ink


def widest_text(crop: Pixels) -> Pixels:
    """Return the longest text in the crop of a line (height, width, 3) with a leader; without one, the crop."""
    if not has_dots(crop):
        return crop
    found = runs(crop, without_dots) * crop.shape[1]
    start, end = found[np.ptp(found, axis=1).argmax()].round().astype(int)
    return crop[:, start : max(end, start + 1)]


def between(left: Floats, right: Floats) -> Floats | None:
    """Return the quadrilateral (4, 2) between two texts on a line, each (4, 2); None where they stand close."""
    height = float(np.linalg.norm(left[3] - left[0]))
    if float(np.linalg.norm(right[0] - left[1])) < LEAST_GAP * height:
        return None
    return np.array([left[1], right[0], right[3], left[2]])


def is_leader(strip: Pixels) -> bool:
    """Tell whether a strip of paper (height, width, 3) between two texts holds dots at even distances, and no more."""
    ink: NDArray[np.uint8] = inked(strip, rules=True).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(ink, connectivity=8)
    width = strip.shape[1]
    size = max(LARGEST_DOT * len(strip), 2)
    lefts, widths = stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_WIDTH]
    # What is narrow and touches an end is of the text there.
    own = (widths > size) | ((lefts > 0) & (lefts + widths < width))
    dots, places = stats[1:][own], np.sort(np.asarray(centres[1:, 0], np.float64)[own])
    if len(dots) < DOTS or bool((dots[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]] > size).any()):
        return False
    pitches = np.diff(places)
    usual = float(np.median(pitches))
    uneven = float((np.abs(pitches - usual) > TOLERANCE * usual).mean())
    return uneven <= UNEVEN and float(places[-1] - places[0]) >= SPAN * width


def joined(image: Pixels, texts: Sequence[str], polygons: Sequence[Floats]) -> str:
    """Return the text of a line's parts, with the dot leaders between them.

    `polygons` has the last piece of each part, (4, 2) in pixels of the image.
    """
    text = texts[0]
    for (left, right), after in zip(pairwise(polygons), texts[1:], strict=True):
        strip = between(left, right)
        if _READ_DOTS.search(text) or (strip is not None and is_leader(cut(image, strip))):
            # Of some leaders, the first dots are read with the text.
            text = f"{text.rstrip(' .')} {LEADER} {after.lstrip(' .')}"
        else:
            text = f"{text} {after}"
    # A part that was dots alone leaves its blanks.
    return " ".join(text.split())
