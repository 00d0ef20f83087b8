"""Lists of prices beside one another, or beside running text, as on menus and leaflets: geometry of boxes and which of
them hold amounts. Boxes and bands are those of `models.reading.blocks`.

Prices belong to what stands to their left, so a column of them ends a panel; what stands to its right begins another if
it is running text, or has prices of its own.
"""

from collections.abc import Sequence

import numpy as np

from models.reading.geometry import ROW_TOLERANCE, Flags, Floats, Indices, blank_strips, meeting, row_middles
from models.reading.sides import SIDEBAR, is_prose
from models.reading.tables import GOES_ON, is_running
from models.reading.wrapped import wrapped_rows

GUTTER = 1.0  # narrowest gap between two panels, in heights
PRICES = 3  # of a list, at least
SAME_RIGHT = 0.5  # by how much their right ends differ at most, in heights
MEET = 0.6  # share of the rows of a table that meet
MANY_ROWS = 4  # of running text beside a list


def find_panels(
    boxes: Floats, amounts: Flags, bands: Sequence[Indices], height: float
) -> tuple[int, int, float] | None:
    """Return the first bands that hold panels side by side, as first and last, the latter exclusive, and the x of the
    gutter between them; None where there are none."""
    first = 0 if amounts[np.concatenate(bands)].sum() >= PRICES else len(bands)
    while first < len(bands):
        last = first + gutter_length(boxes, bands[first:], height)
        members = np.concatenate(bands[first : max(last, first + 1)])
        starts, widths = blank_strips(boxes[members, 0], boxes[members, 2])
        for number in np.argsort(-widths, kind="stable"):
            left = boxes[members, 2] <= starts[number]
            sides = members[left], members[~left]
            if widths[number] >= GUTTER * height and are_panels(boxes, amounts, bands[first:last], sides, height):
                return first, last, float(starts[number])
        first = max(last, first + 1)
    return None


def gutter_length(boxes: Floats, bands: Sequence[Indices], height: float) -> int:
    """Return how many bands, from the first on, leave a strip between them blank."""
    for length in range(1, len(bands) + 1):
        members = np.concatenate(bands[:length])
        if not (blank_strips(boxes[members, 0], boxes[members, 2])[1] >= GUTTER * height).any():
            return length - 1
    return len(bands)


def are_panels(
    boxes: Floats, amounts: Flags, bands: Sequence[Indices], sides: tuple[Indices, Indices], height: float
) -> bool:
    """Tell two lists of prices, or one beside running text, from the columns of a table, whose rows meet."""
    rows = [row_middles(boxes[side], height) for side in sides]
    lists = [is_list(boxes[side], amounts[side], height) for side in sides]
    if all(lists):
        # Remarks stand below what has a price.
        remarks = [len(middles) - amounts[side].sum() for side, middles in zip(sides, rows, strict=True)]
        return min(remarks) >= 2 or meeting(rows[0], rows[1], height) < MEET
    if not any(lists):
        return False
    text, middles, prices = boxes[sides[lists.index(False)]], rows[lists.index(False)], rows[lists.index(True)]
    if len(middles) < MANY_ROWS or not is_prose(text, len(middles), height):
        return False
    # Of an invoice, for one, where what was bought is described in several lines, the rows stand on both sides.
    table, _ = wrapped_rows(boxes, bands, height)
    if 2 * sum(bool(np.isin(row, sides[0]).any() and np.isin(row, sides[1]).any()) for row in table) > len(table):
        return False
    few, many = sorted(map(len, rows))
    if int((middles > prices[-1] + ROW_TOLERANCE * height).sum()) >= GOES_ON:
        return True
    return meeting(rows[0], rows[1], height) < MEET or few <= SIDEBAR * many or is_running(text, height)


def is_list(boxes: Floats, amounts: Flags, height: float) -> bool:
    """Tell a list whose prices end at its right end, each with a text on its row to the left."""
    prices, texts = boxes[amounts], boxes[~amounts]
    if len(prices) < PRICES or not len(texts):
        return False
    right = np.median(prices[:, 2])
    at_end = np.abs(prices[:, 2] - right) <= SAME_RIGHT * height
    if not at_end.all() or boxes[:, 2].max() > right + SAME_RIGHT * height:
        return False
    on_row = (
        np.abs(prices[:, None, [1, 3]].mean(axis=2) - texts[None, :, [1, 3]].mean(axis=2)) <= ROW_TOLERANCE * height
    )
    return bool((on_row & (texts[None, :, 2] <= prices[:, None, 0])).any(axis=1).all())
