"""Small marks before a line that a detector leaves out: the raised number of a footnote, the bullet of a list.

Such a mark is a little ink, about as dark as that of the line, which stands apart from all text at the line's left end.
Lengths are in heights of the fragment.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels, cut
from models.reading.runs import inked

REACH = 2.5  # how far left of a fragment marks are looked for
HEIGHTS, WIDEST = (0.2, 0.8), 1.0  # of a mark
DASH = 0.35, 0.75  # between which heights a dash is
FILL = 0.2  # least share of its box with ink: a seven has about a quarter
FOOT = 0.85  # lowest end of a mark: what is lower is a stop or a comma
APART, FAR = 0.1, 1.3  # paper between it and the line
HOLE = 0.4  # share of its box within a ring: more is the button of a form
MARGIN = 0.1  # paper before it
MOST = 3  # characters of a mark


def begun_by_marks(image: Pixels, fragments: Floats) -> Floats:
    """Return fragments (n, 4, 2) of a page (height, width, 3) that begin with the marks before their lines."""
    found = fragments.copy()
    boxes = np.concatenate([fragments.min(axis=1), fragments.max(axis=1)], axis=1)
    for number, fragment in enumerate(fragments):
        along, across = fragment[1] - fragment[0], fragment[3] - fragment[0]
        length, height = float(np.linalg.norm(along)), float(np.linalg.norm(across))
        left, top, _, bottom = boxes[number]
        beside = (boxes[:, 1] < bottom) & (top < boxes[:, 3]) & (boxes[:, 0] < left)
        if length < 2 * height or height < 1 or (left - boxes[beside, 2] < 2 * REACH * height).any():
            continue
        aside = along / length * REACH * height
        strip = np.array([fragment[0] - aside, fragment[0], fragment[3], fragment[3] - aside])
        start = mark_before(cut(image, strip), height)
        if start is not None:
            move = along / length * (REACH * height - start + MARGIN * height)
            found[number, [0, 3]] -= move
    return found


def mark_before(strip: Pixels, height: float) -> float | None:
    """Return where a mark begins in a strip of paper before a line, of so many pixels' height; None without one."""
    ink = inked(strip, rules=True)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    left, top, width, high, area = stats[1:].T
    whole = (left > 0) & (left + width <= ink.shape[1] - APART * height)
    fits = whole & (top > 0) & (top + high <= FOOT * height) & (high >= HEIGHTS[0] * height)
    fits &= (high <= HEIGHTS[1] * height) & (width <= WIDEST * height) & (area >= FILL * width * high)
    # A dash is low, long, and in the middle.
    fits |= (
        whole
        & (top >= DASH[0] * height)
        & (top + high <= DASH[1] * height)
        & (width >= 2 * high)
        & ((width >= HEIGHTS[0] * height) & (width <= WIDEST * height))
    )
    parts = np.flatnonzero(fits) + 1
    # Ink of another kind is of a picture, a rule or the line itself, all of which hide what is a mark.
    other = ~fits & (left + width < ink.shape[1] - MARGIN * height) & (area > 2)
    if not 1 <= fits.sum() <= MOST or other.any() or any(map(is_ring, (labels == part for part in parts))):
        return None
    return float(left[fits].min()) if float((left + width)[fits].max()) >= ink.shape[1] - FAR * height else None


def is_ring(ink: NDArray[np.bool_]) -> bool:
    """Tell whether ink (height, width) is mostly the outline of something empty."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    part = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    _, areas = cv2.connectedComponents((~part).astype(np.uint8), connectivity=4)
    inside = (areas > 0) & (areas != areas[0, 0])
    return bool(inside.sum() >= HOLE * (part.shape[0] - 2) * (part.shape[1] - 2))
