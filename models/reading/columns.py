"""Cutting a page into columns: geometry of boxes only.

Boxes are (n, 4): left, top, right, bottom in pixels of the upright page. Two sets of boxes are columns when a blank
strip runs between them from top to bottom and both hold running text; the cells of a table or a receipt do not.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

GUTTER = 0.8  # narrowest gap between two columns, in heights
COLUMN_WIDTH = 7.0  # text per row of the narrowest column, in heights: less is a table's cells, read row by row
COLUMN_ROWS = 5.0  # height of the shortest column, in heights


def columns(boxes: Floats, members: Indices) -> list[Indices]:
    """Cut fragments into columns, from left to right; headings and footers that span them are blocks of their own.

    A page without columns is one block: `[members]`.
    """
    bands = cut_bands(boxes, members)
    blocks: list[Indices] = []
    rest: list[Indices] = []
    while bands:
        count, gutter = column_bands(boxes, bands)
        if not count:
            rest.append(bands.pop(0))
            continue
        blocks += [np.concatenate(rest)] if rest else []
        block, bands, rest = np.concatenate(bands[:count]), bands[count:], []
        left = boxes[block, 2] <= gutter
        blocks += columns(boxes, block[left]) + columns(boxes, block[~left])
    return blocks + ([np.concatenate(rest)] if rest else [])


def cut_bands(boxes: Floats, members: Indices) -> list[Indices]:
    """Cut fragments at every blank strip across the page: bands from top to bottom, each of one or more rows."""
    starts, _ = blank_strips(boxes[members, 1], boxes[members, 3])
    band = np.searchsorted(starts, boxes[members, 3], side="left")
    return [members[band == number] for number in range(len(starts) + 1)]


def column_bands(boxes: Floats, bands: list[Indices]) -> tuple[int, float]:
    """Return how many of the bands, from the first on, stand in columns, and the x of their gutter; 0 for none."""
    height = typical_height(boxes)
    found = (0, 0.0)
    for end in range(1, len(bands) + 1):
        block = boxes[np.concatenate(bands[:end])]
        gutter = find_gutter(block)
        if gutter is not None:
            found = (end, gutter)
        elif np.ptp(block[:, 1::2]) >= 2 * COLUMN_ROWS * height:  # tall enough even if one column starts lower
            break
    return found


def find_gutter(boxes: Floats) -> float | None:
    """Return the x of the widest blank strip that separates two columns of boxes (n, 4)."""
    if len(boxes) < 4:
        return None
    height = typical_height(boxes)
    starts, widths = blank_strips(boxes[:, 0], boxes[:, 2])
    for index in np.argsort(-widths):
        if widths[index] < GUTTER * height:
            break
        left = boxes[:, 2] <= starts[index]
        if are_columns(boxes[left], boxes[~left], height):
            return float(starts[index])
    return None


def blank_strips(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return starts and widths of the blanks between intervals low..high (each (n,)) on one axis."""
    order = np.argsort(low)
    reach = np.maximum.accumulate(high[order])[:-1]
    widths = low[order][1:] - reach
    return reach[widths > 0], widths[widths > 0]


def are_columns(left: Floats, right: Floats, height: float) -> bool:
    """Tell whether two sets of boxes stand side by side and both hold running text."""
    top, bottom = max(left[:, 1].min(), right[:, 1].min()), min(left[:, 3].max(), right[:, 3].max())
    if bottom - top < COLUMN_ROWS * height:
        return False
    return all(text_per_row(side) >= COLUMN_WIDTH * height for side in (left, right))


def text_per_row(boxes: Floats) -> float:
    """Return the mean width of text over the rows that boxes (n, 4) take up."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    levels = np.sort(np.concatenate([boxes[:, 1], boxes[:, 3]]))
    middles = (levels[1:] + levels[:-1]) / 2
    inked = ((boxes[:, None, 1] < middles) & (middles < boxes[:, None, 3])).any(axis=0)
    return float(np.prod(sizes, axis=1).sum() / max(np.diff(levels)[inked].sum(), 1.0))


def typical_height(boxes: Floats) -> float:
    """Return the median height of boxes (n, 4), at least one pixel."""
    return max(float(np.median(boxes[:, 3] - boxes[:, 1])), 1.0)
