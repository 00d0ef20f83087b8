"""Check boxes: where they are, and whether they are ticked. A recogniser makes letters of them.

A check box is a small square of four straight strokes that touches nothing but its tick: a connected component of ink
with a frame that is inked all around. It is ticked if there is ink inside. One that is full of ink is ticked if it
holds a light tick, as browsers draw it, and otherwise no box.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.amounts import EMPTY, TICKED
from models.reading.crops import Floats, Pixels
from models.reading.runs import inked

SMALLEST, LARGEST = 10, 120  # pixels of a side
PIXELS = 24e6  # most pixels of an image that is looked at: the components of one take four bytes for each
SQUARE = 1.15  # largest side over the other
FRAME = 0.9  # share of each side of the frame that is inked
FULLEST = 0.75  # share of the component's box that is inked, at most: more is a blot, a letter in bold, or a light tick
LIGHT_TICK = (0.4, 0.3)  # least width and height of a light tick, as shares of the side of its box
FALL = 0.1  # of its first stroke, to the right and down, as a share of its width and height, at least
INSIDE = 0.22  # share of the side that the frame takes at each edge, at most
TICK = 0.06  # share of the inside that is inked if the box is ticked
TICK_REACH = 1.6  # largest side of a box with what its tick leaves outside, over the other
CORNER, CORNER_INK = 0.1, 0.6  # width of the edge and the corners, as a share of the box's, and ink in a corner
SMALLEST_TICKED = 14  # pixels of a side, where the tick reaches out of it
PAPER = 0.2  # paper on the left and right of such a box, in sides
STROKE = 0.6  # ink in a side of the frame, as a share of the shorter side of the component
HEIGHTS = (0.4, 1.5)  # sides of a box, in heights of the text beside it
REACH = 2.5  # widest gap between a box and its text, in heights

Ink = NDArray[np.bool_]


@dataclass(frozen=True)
class Checkbox:
    """A check box on an image."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels
    ticked: bool
    reach: tuple[int, int, int, int]  # likewise, with what a tick leaves outside of the box

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
    fits = (shorter >= SMALLEST) & (longer <= LARGEST) & (longer <= TICK_REACH * shorter)
    full = area > FULLEST * width * height
    found = []
    for number in np.flatnonzero(fits):
        left, top, wide, high = (int(value) for value in stats[number, :4])
        reach = (left, top, left + wide, top + high)
        component = labels[top : top + high, left : left + wide] == number
        checkbox = full_one(ink, component, reach) if full[number] else checkbox_of(ink, component, reach)
        found += [checkbox] if checkbox is not None else []
    return found


def checkbox_of(ink: Ink, component: Ink, reach: tuple[int, int, int, int]) -> Checkbox | None:
    """Return the check box that a component is, perhaps with a tick that reaches out of it; None if it is none.

    Args:
        ink: of the image (height, width).
        component: within its bounding box `reach`, which is left, top, right and bottom in pixels.
        reach: see `component`.
    """
    found = frame(component)
    if found is None:
        return None
    x0, y0, x1, y1 = found
    box = (reach[0] + x0, reach[1] + y0, reach[0] + x1, reach[1] + y1)
    # What is inside may touch the frame, or not; but what reaches out of it is a tick, or no box at all.
    ticked = is_ticked(ink[box[1] : box[3], box[0] : box[2]])
    if box == reach or (ticked and is_sharp(component[y0:y1, x0:x1]) and stands_free(ink, reach)):
        return Checkbox(box, ticked, reach)
    return None


def full_one(ink: Ink, component: Ink, reach: tuple[int, int, int, int]) -> Checkbox | None:
    """Return the check box that a component full of ink is, if it holds a light tick; None if it does not. The
    arguments are those of `checkbox_of`."""
    edge = max(1, round(min(component.shape) * CORNER))
    inside = component[edge:-edge, edge:-edge]
    if is_box(component) and is_light_tick(inside) and stands_free(ink, reach):
        return Checkbox(reach, True, reach)
    return None


def is_light_tick(inside: Ink) -> bool:
    """Tell whether what is left blank within a box (height, width) is one tick: it falls to the right, then rises
    farther than it fell."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~inside).astype(np.uint8), connectivity=8)
    if count < 2:
        return False
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    rows, columns = np.nonzero(labels == largest)
    size = np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
    lowest, start = int(rows.argmax()), int(columns.argmin())
    fall = np.array([columns[lowest] - columns[start], rows[lowest] - rows[start]])
    rises = columns[rows.argmin()] > columns[lowest] and rows.min() < rows[start]
    return bool((size >= np.multiply(LIGHT_TICK, inside.shape[::-1])).all() and (fall >= FALL * size).all() and rises)


def frame(component: Ink) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of the frame of a component (height, width), which may hold or be crossed by a
    tick; None if it has none."""
    height, width = component.shape
    if is_box(component):
        return 0, 0, width, height
    length = STROKE * min(height, width)
    across, upright = (np.flatnonzero(component.sum(axis=axis) >= length) for axis in (1, 0))
    if not len(across) or not len(upright):
        return None
    left, top, right, bottom = int(upright[0]), int(across[0]), int(upright[-1]) + 1, int(across[-1]) + 1
    return (left, top, right, bottom) if is_box(component[top:bottom, left:right]) else None


def is_box(component: Ink) -> bool:
    """Tell whether a component (height, width) is a square with a frame."""
    shorter, longer = sorted(component.shape)
    return shorter >= SMALLEST and longer <= SQUARE * shorter and is_framed(component)


def is_framed(component: Ink) -> bool:
    """Tell whether all four sides of a component (height, width) are straight strokes."""
    edge = max(1, round(min(component.shape) * CORNER))
    sides = (component[:edge], component[-edge:], component[:, :edge].T, component[:, -edge:].T)
    return all(float(side.any(axis=0).mean()) >= FRAME for side in sides)


def is_sharp(component: Ink) -> bool:
    """Tell whether a frame (height, width) has thin sides and all its corners, as no letter with round strokes has."""
    side = max(2, round(min(component.shape) * CORNER))
    corners = (component[:side, :side], component[:side, -side:], component[-side:, :side], component[-side:, -side:])
    sides = (component, component[::-1], component.T, component.T[::-1])
    # A tick may cross a side, but not all along.
    thin = all(bool((~each[side : side + 2]).all(axis=0).any()) for each in sides)
    inked = all(corner.mean() >= CORNER_INK for corner in corners)
    return thin and inked and min(component.shape) >= SMALLEST_TICKED


def stands_free(ink: Ink, box: tuple[int, int, int, int]) -> bool:
    """Tell whether there is paper on the left and right of a box on a page (height, width), as beside no letter."""
    left, top, right, bottom = box
    paper = max(2, round(PAPER * (bottom - top)))
    return not (ink[top:bottom, max(left - paper, 0) : left].any() or ink[top:bottom, right : right + paper].any())


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
        left, top, right, bottom = found.reach
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
