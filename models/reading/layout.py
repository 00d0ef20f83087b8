"""From a detector's fragments to lines in reading order: geometry only, no networks.

A fragment or line is a quadrilateral: (4, 2) pixels, clockwise from the corner at the start of the text. `arrange`
finds the page's slant, turns the fragments upright, cuts columns, joins the fragments of a row into lines, orders them
and starts a new paragraph where a blank line lies between. Lengths are in units of the median fragment height, so that
nothing depends on the resolution.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reading.columns import columns, typical_height

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

LINE_GAP = 1.5  # widest gap between two fragments of a line, in heights
ROW_OVERLAP = 0.5  # share of the lower height that two fragments of a row have in common
PARAGRAPH_GAP = 0.9  # blank space more than the usual one that starts a paragraph, in heights
SLANT_ASPECT = 3.0  # fragments longer than this tell the slant of the page
TALL = 1.5  # fragments this much higher than wide hold text on its side
LINE_CROP_ASPECT = 4.0  # an image this much wider than high may be one line
LINE_CROP_FILL = 0.6  # and is, if a fragment takes this share of its height
MAX_SLANT = 30.0  # degrees; steeper fragments say nothing of the page


@dataclass(frozen=True)
class TextLine:
    """One line of a page: what it consists of and where it stands."""

    polygon: Floats  # (4, 2), the smallest rectangle along the line that holds its fragments
    fragments: list[int]  # indices, from the line's start to its end
    paragraph: int  # counted from 0 in reading order


def arrange(points: Floats) -> list[TextLine]:
    """Join fragments (n, 4, 2) into lines, in reading order: columns left to right, lines top to bottom."""
    if not len(points):
        return []
    angle = slant(points)
    boxes = upright_boxes(points, angle)
    lines: list[TextLine] = []
    paragraph = 0
    for column in columns(boxes, np.arange(len(boxes))):
        groups = order_rows(boxes, join_row(boxes, column))
        starts = paragraph_starts(np.array([enclose(boxes[group]) for group in groups]))
        for group, start in zip(groups, starts, strict=True):
            paragraph += int(start)
            lines.append(TextLine(line_polygon(points[group], angle), [int(i) for i in group], paragraph - 1))
    return lines


def slant(points: Floats) -> float:
    """Return the slant of a page in degrees (clockwise positive), from fragments (n, 4, 2)."""
    along = (points[:, 1] - points[:, 0] + points[:, 2] - points[:, 3]) / 2
    across = (points[:, 3] - points[:, 0] + points[:, 2] - points[:, 1]) / 2
    length, height = np.linalg.norm(along, axis=1), np.linalg.norm(across, axis=1)
    angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    telling = (length > SLANT_ASPECT * height) & (np.abs(angles) < MAX_SLANT)
    if not telling.any():
        return 0.0
    return weighted_median(angles[telling], length[telling])


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


def join_row(boxes: Floats, members: Indices) -> list[Indices]:
    """Join fragments that follow one another on a row into lines: indices from left to right."""
    groups: list[list[int]] = []
    for index in members[np.argsort(boxes[members, 0])]:
        scores = [follows(boxes[group[-1]], boxes[index]) for group in groups]
        best = int(np.argmax(scores)) if scores else -1
        if scores and scores[best] > 0:
            groups[best].append(int(index))
        else:
            groups.append([int(index)])
    return [np.array(group, np.intp) for group in groups]


def follows(last: Floats, box: Floats) -> float:
    """Say how well a box (4,) continues a line that ends with `last`: 0 is not at all, 1 is the same row."""
    heights = last[3] - last[1], box[3] - box[1]
    overlap = row_overlap(last, box)
    gap = box[0] - last[2]
    if overlap < ROW_OVERLAP or gap > LINE_GAP * max(heights):
        return 0.0
    return overlap


def row_overlap(first: Floats, second: Floats) -> float:
    """Return the common height of two boxes as a share of the lower one's."""
    common = min(first[3], second[3]) - max(first[1], second[1])
    return float(common / max(min(first[3] - first[1], second[3] - second[1]), 1.0))


def order_rows(boxes: Floats, groups: list[Indices]) -> list[Indices]:
    """Order the lines of a column from top to bottom, and from left to right where several share a row."""
    outlines = [enclose(boxes[group]) for group in groups]
    rows: list[list[int]] = []
    for index in sorted(range(len(groups)), key=lambda i: float(outlines[i][1] + outlines[i][3])):
        if rows and row_overlap(outlines[rows[-1][0]], outlines[index]) > ROW_OVERLAP:
            rows[-1].append(index)
        else:
            rows.append([index])
    return [groups[i] for row in rows for i in sorted(row, key=lambda i: float(outlines[i][0]))]


def paragraph_starts(outlines: Floats) -> list[bool]:
    """Tell for each line of a column, boxes (n, 4) in reading order, whether a paragraph starts with it."""
    above = np.maximum.accumulate(outlines[:, 3])[:-1]
    gaps = outlines[1:, 1] - above
    usual = float(np.median(gaps)) if len(gaps) > 1 else 0.0
    limit = max(usual, 0.0) + PARAGRAPH_GAP * typical_height(outlines)
    return [True, *(bool(gap > limit) for gap in gaps)]


def line_polygon(points: Floats, angle: float) -> Floats:
    """Return the smallest rectangle (4, 2) along the line's own slope that holds fragments (n, 4, 2)."""
    slope = line_slope(points, angle)
    turned = rotate(points.reshape(-1, 2), -slope)
    (left, top), (right, bottom) = turned.min(axis=0), turned.max(axis=0)
    return rotate(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), slope)


def line_slope(points: Floats, angle: float) -> float:
    """Return a line's slope in degrees: its fragments' own where they are long enough to tell, else the page's."""
    return slant(points) or angle


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
