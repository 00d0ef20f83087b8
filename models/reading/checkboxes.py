"""Check boxes: where they are, and whether they are ticked. A recogniser makes letters of them.

A check box is a small square of four straight strokes that touches nothing else: a connected component of ink whose
frame is inked all around. It is ticked if there is ink inside, and no box if it is full of it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels
from models.reading.runs import inked

SMALLEST, LARGEST = 10, 120  # pixels of a side
PIXELS = 24e6  # most pixels of an image that is looked at: the components of one take four bytes for each
SQUARE = 1.15  # largest side over the other
FRAME = 0.9  # share of each side of the frame that is inked
FULLEST = 0.75  # share of the component's box that is inked, at most: more is a blot, or a letter in bold
INSIDE = 0.22  # share of the side that the frame takes at each edge, at most
TICK = 0.06  # share of the inside that is inked if the box is ticked
HEIGHTS = (0.5, 1.5)  # sides of a box, in heights of the text beside it
REACH = 2.5  # widest gap between a box and its text, in heights

Ink = NDArray[np.bool_]
EMPTY, TICKED = "☐", "☑"


@dataclass(frozen=True)
class Checkbox:
    """A check box on an image."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels
    ticked: bool

    @property
    def text(self) -> str:
        """The character that stands for it."""
        return TICKED if self.ticked else EMPTY


def find_checkboxes(image: Pixels) -> list[Checkbox]:
    """Return the check boxes on an image (height, width, 3), whichever way up it is; none on a huge one."""
    if image.shape[0] * image.shape[1] > PIXELS:
        return []
    ink = inked(image, rules=True)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    width, height, area = (stats[:, column] for column in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    shorter, longer = np.minimum(width, height), np.maximum(width, height)
    fits = (
        (shorter >= SMALLEST) & (longer <= LARGEST) & (longer <= SQUARE * shorter) & (area <= FULLEST * width * height)
    )
    found = []
    for number in np.flatnonzero(fits):
        left, top, wide, high = (int(value) for value in stats[number, :4])
        component = labels[top : top + high, left : left + wide] == number
        if is_framed(component):
            # What is inside may touch the frame, or not.
            inside = ink[top : top + high, left : left + wide]
            found.append(Checkbox((left, top, left + wide, top + high), is_ticked(inside)))
    return found


def is_framed(component: Ink) -> bool:
    """Tell whether all four sides of a component (height, width) are straight strokes."""
    edge = max(1, round(min(component.shape) * 0.1))
    sides = (component[:edge], component[-edge:], component[:, :edge].T, component[:, -edge:].T)
    return all(float(side.any(axis=0).mean()) >= FRAME for side in sides)


def is_ticked(box: Ink) -> bool:
    """Tell whether there is ink within the frame of a box (height, width)."""
    edge = round(min(box.shape) * INSIDE)
    return float(box[edge:-edge, edge:-edge].mean()) >= TICK


def erase(image: Pixels, boxes: list[Checkbox]) -> Pixels:
    """Return an image (height, width, 3) with paper in place of boxes."""
    if not boxes:
        return image
    clean = image.copy()
    for found in boxes:
        left, top, right, bottom = found.box
        margin = 2
        ring = image[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3]
        paper = np.median(np.concatenate([ring[0], ring[-1], ring[:, 0], ring[:, -1]]), axis=0)
        clean[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin] = paper.astype(np.uint8)
    return clean


def owners(boxes: Floats, texts: Floats) -> list[int | None]:
    """Return for each check box, (n, 4), the text, of (m, 4), that it belongs to: the nearest to its right on its row.

    Those of another size than the text, and those without any, belong to none: they are no check boxes.
    """
    found: list[int | None] = []
    for _, top, right, bottom in boxes:
        heights = texts[:, 3] - texts[:, 1]
        middle = (top + bottom) / 2
        size = (bottom - top) / np.maximum(heights, 1)
        gap = texts[:, 0] - right
        fits = (texts[:, 1] < middle) & (middle < texts[:, 3]) & (gap > -0.3 * heights) & (gap < REACH * heights)
        fits &= (size >= HEIGHTS[0]) & (size <= HEIGHTS[1])
        found.append(int(np.where(fits, gap, np.inf).argmin()) if fits.any() else None)
    return found
