"""Quadrilaterals on a page: their slant, their upright boxes, and what they tell of the page. No networks.

A fragment is a quadrilateral: (4, 2) pixels, clockwise from the corner at the start of the text.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

SLANT_ASPECT = 3.0  # fragments longer than this tell the slant of the page
SLANT_SPREAD = 1.0  # degrees by which the fragments of a page differ from one another, most of them
MAX_SLANT = 30.0  # degrees; steeper fragments say nothing of the page
ASKEW, ASKEW_ASPECT = 12.0, 2.0  # degrees from the page's slant, and length in heights, of what is written across it
TALL = 1.5  # fragments this much higher than wide hold text on its side
ROW_TOLERANCE = 0.3  # by how much the middles of two boxes on one row differ at most, in heights
MEETING = 0.2  # by how much those of two blocks differ at most where they share their rows
MARK_WIDTH = 1.5  # widest bullet or number before the rows of a list, in heights
LINE_CROP_ASPECT = 4.0  # an image this much wider than high may be one line
LINE_CROP_FILL = 0.6  # and is, if a fragment takes this share of its height


def slant(points: Floats) -> float:
    """Return the slant of a page in degrees (clockwise positive), from fragments (n, 4, 2)."""
    angles, length, height = slopes(points)
    telling = (length > SLANT_ASPECT * height) & (np.abs(angles) < MAX_SLANT)
    if not telling.any():
        return 0.0
    angles, length = angles[telling], length[telling]
    # The median finds most of the page; the mean around it is more exact, by the square of the length.
    near = np.abs(angles - weighted_median(angles, length)) <= SLANT_SPREAD
    return float(np.average(angles[near], weights=length[near] ** 2))


def slopes(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Return slopes (n,) of fragments (n, 4, 2) in degrees (clockwise positive), and their lengths and heights (n,)."""
    along = (points[:, 1] - points[:, 0] + points[:, 2] - points[:, 3]) / 2
    across = (points[:, 3] - points[:, 0] + points[:, 2] - points[:, 1]) / 2
    angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    return angles, np.linalg.norm(along, axis=1), np.linalg.norm(across, axis=1)


def askew(points: Floats) -> Flags:
    """Tell which fragments (n, 4, 2) are written across the others, as watermarks and stamps are."""
    angles, length, height = slopes(points)
    off = np.abs(angles - slant(points))
    found = (length > ASKEW_ASPECT * height) & (off > ASKEW) & (off < 90 - ASKEW)
    return found if not found.all() else np.zeros(len(points), np.bool_)


def weighted_median(values: Floats, weights: Floats) -> float:
    """Return the value that has half of the weight on either side."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def rotate(points: Floats, degrees: float) -> Floats:
    """Rotate points (..., 2) about the origin, clockwise on the screen (y grows downwards)."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]), np.float64)


def turn_back(points: Floats, degrees: int) -> Floats:
    """Convert points (..., 2) from fractions of an image turned clockwise by `degrees` to those of the original."""
    x, y = points[..., 0], points[..., 1]
    back = {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]
    return np.stack(back, axis=-1)


def upright_boxes(points: Floats, angle: float) -> Floats:
    """Return fragments (n, 4, 2) as boxes (n, 4): left, top, right, bottom after taking the slant away."""
    turned = rotate(points, -angle)
    centre, sides = turned.mean(axis=1), np.ptp(turned, axis=1) / 2
    # A fragment with a slope of its own has a bounding box taller than its text: take the mean height instead.
    height = np.linalg.norm(points[:, 3] - points[:, 0] + points[:, 2] - points[:, 1], axis=1) / 4
    sides[:, 1] = np.minimum(sides[:, 1], np.maximum(height, 1))
    return np.concatenate([centre - sides, centre + sides], axis=1)


def enclose(boxes: Floats) -> Floats:
    """Return the box (4,) around boxes (n, 4)."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def row_overlap(first: Floats, second: Floats) -> float:
    """Return the common height of two boxes as a share of the lower one's."""
    common = min(first[3], second[3]) - max(first[1], second[1])
    return float(common / max(min(first[3] - first[1], second[3] - second[1]), 1.0))


def sides(points: Floats) -> tuple[Floats, Floats]:
    """Return widths and heights (n,) of fragments (n, 4, 2)."""
    widths = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    return widths, np.linalg.norm(points[:, 3] - points[:, 0], axis=1)


def on_its_side(points: Floats) -> bool:
    """Tell whether most of the text of a page, fragments (n, 4, 2), runs up or down."""
    widths, heights = sides(points)
    tall, wide = heights > TALL * widths, widths > TALL * heights
    return bool(heights[tall].sum() > widths[wide].sum())


def longest(points: Floats, count: int) -> Floats:
    """Return the `count` fragments (n, 4, 2) with the longest side."""
    widths, heights = sides(points)
    return points[np.argsort(-np.maximum(widths, heights), kind="stable")[:count]]


def is_line_crop(points: Floats, height: int, width: int) -> bool:
    """Tell whether an image is one line already: it is long, and its fragments (n, 4, 2), if any, fill its height."""
    if width < LINE_CROP_ASPECT * height:
        return False
    return not len(points) or float(np.ptp(points[..., 1], axis=1).max()) >= LINE_CROP_FILL * height


def blank_strips(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return starts and widths of the blanks between intervals low..high (each (n,)) on one axis."""
    order = np.argsort(low)
    reach = np.maximum.accumulate(high[order])[:-1]
    widths = low[order][1:] - reach
    return reach[widths > 0], widths[widths > 0]


def row_middles(boxes: Floats, height: float) -> Floats:
    """Return the middles (n,) of the rows that boxes stand on, from top to bottom."""
    middles = np.sort(boxes[:, 1] + boxes[:, 3]) / 2
    new = np.ones(len(middles), np.bool_)
    new[1:] = middles[1:] - middles[:-1] > ROW_TOLERANCE * height
    return np.asarray(middles[new], np.float64)


def row_numbers(boxes: Floats, height: float) -> Indices:
    """Return the number (n,) of the row that each of the boxes stands on, counted from 0 at the top."""
    apart = boxes[:, [1, 3]].mean(axis=1)[:, None] - row_middles(boxes, height)
    return np.asarray(np.abs(apart).argmin(axis=1), np.intp)


def typical_height(boxes: Floats) -> float:
    """Return the median height of boxes (n, 4), at least one pixel."""
    return max(float(np.median(boxes[:, 3] - boxes[:, 1])), 1.0)


def pitch(middles: Floats) -> float:
    """Return the usual distance of rows, two or more, from one to the next."""
    return float(np.median(np.diff(middles)))


def are_beside(left: Floats, right: Floats) -> bool:
    """Tell whether two sets of boxes share some height."""
    return bool(min(left[:, 3].max(), right[:, 3].max()) > max(left[:, 1].min(), right[:, 1].min()))


def meeting(first: Floats, second: Floats, height: float, shifted: bool = False) -> float:
    """Return the share of the rows, of the side with fewer of them, that meet a row of the other.

    With `shifted`, the usual offset of one side's rows, as on a photograph, is taken away first if more meet then.
    """
    fewer, more = sorted((first, second), key=len)
    apart = fewer[:, None] - more[None]
    nearest = apart[np.arange(len(fewer)), np.abs(apart).argmin(axis=1)]
    meet = [float((np.abs(nearest - shift) <= MEETING * height).mean()) for shift in (0.0, float(np.median(nearest)))]
    return max(meet) if shifted else meet[0]


def gap_beside(left: Floats, right: Floats, gap: float) -> float:
    """Return the width of the gap between two sets of boxes where both have some: a heading above one reaches into it.
    `gap` is its width all the way."""
    common = np.minimum(left[:, None, 3], right[None, :, 3]) - np.maximum(left[:, None, 1], right[None, :, 1])
    apart = (right[None, :, 0] - left[:, None, 2])[common > 0]
    return float(apart.min()) if len(apart) else gap
