"""What stands on the two sides of a blank strip: columns of text, blocks of short lines, or the cells of rows.

Boxes are those of `models.reading.blocks`.
"""

import numpy as np

from models.reading.geometry import (
    MARK_WIDTH,
    Flags,
    Floats,
    Indices,
    are_beside,
    gap_beside,
    meeting,
    pitch,
    row_middles,
)
from models.reading.tables import is_running

# All in heights of a fragment, which is about 1.2 times the size of the font.
PROSE_WIDTH = 5.5  # narrowest column of running text
PROSE_ROWS = 4  # rows of the taller of two columns of running text; the other has one less
PROSE_FILL = 0.6  # share of a column's width that the mean row of running text fills
WIDE_GUTTER, LONG_COLUMN = 5.5, 8  # a gutter wider than this, in heights, has that many rows beside it
NARROW_GUTTER = 0.8  # so has one narrower than this: the spaces of a few rows stand above one another by chance
SIDEBAR = 0.7  # most rows of a sidebar, as a share of those of the text, if they meet
UNALIGNED = 0.5  # two long sides are columns if a smaller share of their rows meets
ALIGNED = 0.6  # share of the rows of the side with fewer of them that meet a row of the other, in a table
APART = 1.5  # narrowest gap between blocks whose rows do not meet
FAR = 5.0  # narrowest gap between blocks of short lines whose rows meet
VERY_FAR = 7.0  # the same, where both have about as many rows
EVEN = 0.5  # largest difference between the distances of a sidebar's rows, if they meet those of the text
TIGHT = 1.9  # widest pitch of the rows of an address


def number_beside(amounts: Flags, left: Indices, right: Indices) -> bool:
    """Tell whether one of two sets of boxes is mostly amounts."""
    return bool(max(amounts[left].mean(), amounts[right].mean()) >= 0.5)


def are_captions(boxes: Floats, captions: Flags, sides: tuple[Indices, Indices]) -> bool:
    """Tell whether a caption begins at the top of either of two sets of boxes, as under pictures side by side."""
    return all(bool(captions[side[boxes[side, 1].argmin()]]) for side in sides)


def are_columns(left: Floats, right: Floats, gap: float, height: float) -> bool:
    """Tell whether two sets of boxes side by side are columns of running text, or one such and short lines beside."""
    if min(len(left), len(right)) < 2 or max(len(left), len(right)) < PROSE_ROWS or not are_beside(left, right):
        return False
    rows = [row_middles(side, height) for side in (left, right)]
    prose = [is_prose(side, len(middles), height) for side, middles in zip((left, right), rows, strict=True)]
    counts = sorted(map(len, rows))
    if not NARROW_GUTTER * height <= gap <= WIDE_GUTTER * height and counts[1] < LONG_COLUMN:
        return False
    if all(prose):
        return counts[1] >= PROSE_ROWS
    if (
        counts[0] >= LONG_COLUMN
        and gap >= APART * height
        and meeting(rows[0], rows[1], height, shifted=True) < UNALIGNED
    ):
        return True
    running = len(rows[prose.index(True)]) if any(prose) else 0
    if running <= PROSE_ROWS or counts[0] < 2:
        return False
    if meeting(rows[0], rows[1], height) < ALIGNED:
        return True
    # The bullets and numbers of a list belong to its rows.
    listed = float(np.ptp(left[:, [0, 2]])) <= MARK_WIDTH * height
    # Beside text whose rows are all about as long, short lines are no cells of its rows.
    whole = any(is_running(side, height) for side in (left, right))
    return not listed and (whole or counts[0] <= SIDEBAR * running) and is_sidebar(min(rows, key=len), height)


def is_sidebar(rows: Floats, height: float) -> bool:
    """Tell short lines, by the middles of their rows, from terms, which stand where their texts begin."""
    # The spaces of two rows stand above one another by chance.
    if len(rows) < PROSE_ROWS - 1:
        return False
    pitches = np.diff(rows)
    # A sidebar may have a heading.
    even = float(np.ptp(pitches[1:] if len(pitches) > 2 else pitches)) <= EVEN * height
    return even and float(np.median(pitches)) <= TIGHT * height


def are_blocks(boxes: Floats, sides: tuple[Indices, Indices], amounts: bool, gap: float, height: float) -> bool:
    """Tell whether two sets of short lines side by side are read apart: they do not meet row by row, or stand far
    apart, as the address and the date of a letter."""
    rows = [row_middles(boxes[side], height) for side in sides]
    counts = sorted(map(len, rows))
    if amounts or counts[1] < 3 or gap < APART * height or not are_beside(boxes[sides[0]], boxes[sides[1]]):
        return False
    if meeting(rows[0], rows[1], height) < ALIGNED:
        return True
    needed = FAR if counts[1] - counts[0] >= 2 else VERY_FAR
    return (
        pitch(max(rows, key=len)) <= TIGHT * height
        and gap_beside(boxes[sides[0]], boxes[sides[1]], gap) >= needed * height
    )


def is_prose(boxes: Floats, rows: int, height: float) -> bool:
    """Tell running text, whose rows fill most of its width, from short lines and cells."""
    width = float(boxes[:, 2].max() - boxes[:, 0].min())
    filled = float((boxes[:, 2] - boxes[:, 0]).sum() / max(rows, 1))
    return rows >= PROSE_ROWS - 1 and width >= PROSE_WIDTH * height and filled >= PROSE_FILL * width
