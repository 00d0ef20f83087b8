"""Finding tables among the bands of a page, with or without rules: geometry of boxes only.

A table is a run of bands that hold one row each and leave the same strips blank from the first to the last, as in
"TINTIN" and "T-Recs" (Kieninger, "Table structure recognition based on robust block segmentation", 1998): the words of
a column stand above one another, and no word crosses from one column into the next. Columns of running text look alike
where their lines stand on the same rows, so a table also has to have a column of numbers, unless it is read row by row
anyway.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.reading.geometry import (
    ROW_TOLERANCE,
    Flags,
    Floats,
    Indices,
    blank_strips,
    row_middles,
    row_numbers,
    typical_height,
)
from models.reading.wrapped import are_broken, wrapped_rows

COLUMN_GAP = 0.8  # narrowest blank strip between two columns, in heights
NARROW_GAP, NARROW_ROWS = 0.5, 4  # narrowest one, in heights, in a table of at least so many rows
LEAST_ROWS = 2  # rows of a table
PITCH = 1.0  # by how much the distance of two rows is more than the usual one at most, in heights
NUMBERS = 0.5  # share of the cells that hold nothing but numbers in a column of numbers
GOES_ON = 2  # rows below those of a table that tell that a column of it is text
SAME_LEFT, SAME_PITCH = 0.5, 0.3  # by how much their left ends, and their distances, differ at most, in heights
SAME_HEAD = 0.3  # by how much the widths of two heads that say the same differ, in heights
FORM_ROWS = 4  # rows from which labels by turns with what was filled in below them make no column of numbers
WIDE_GAP, MANY_ROWS = 5.0, 6  # a gap between words so wide, in heights, is in a table only if that has so many rows
RUNNING_ROWS, RUNNING_WIDTH, RUNNING_FILL = 5, 10.0, 0.9  # least rows, width in heights, and median share of it


class Table(NamedTuple):
    """Bands that make a table, and the boxes of each of its rows."""

    first: int
    last: int  # exclusive
    rows: Sequence[Indices]


def find_tables(boxes: Floats, amounts: Flags, bands: Sequence[Indices]) -> list[Table]:
    """Return the tables from top to bottom.

    Args:
        boxes: (n, 4) left, top, right, bottom in pixels of the upright page.
        amounts: (n,) is true for boxes that hold a number, with its unit at most.
        bands: indices of the boxes in each band, from top to bottom.
    """
    height = typical_height(boxes)

    def with_numbers(first: int, last: int) -> bool:
        members = np.concatenate(bands[first:last])
        return is_table(boxes, amounts, members, height) and not goes_on(boxes, members, bands[last:], height)

    found: list[Table] = []
    start = 0
    while start < len(bands):
        rows, length = wrapped_rows(boxes, bands[start:], height)
        if rows:
            found.append(Table(start, start + length, rows))
        else:
            tables, length = single_lined(boxes, bands, start, height, with_numbers)
            found += tables
        start += max(length, 1)
    return found


def single_lined(
    boxes: Floats, bands: Sequence[Indices], start: int, height: float, accept: Callable[[int, int], bool]
) -> tuple[list[Table], int]:
    """Return the tables of single lines that are accepted, from a band on, and how many bands were looked at."""
    tables: list[Table] = []
    for gap in (NARROW_GAP, COLUMN_GAP):
        length = rows_length(boxes, bands[start:], height, gap)
        for first, last in evenly_spaced(boxes, bands, start, start + length, height):
            if last - first >= LEAST_ROWS and accept(first, last):
                tables.append(Table(first, last, bands[first:last]))
        if tables:
            break
    return tables, length


def rows_length(boxes: Floats, bands: Sequence[Indices], height: float, gap: float) -> int:
    """Return how many bands, from the first on, hold one row each of two cells or more and share a blank strip."""
    for length, band in enumerate(bands):
        together = np.concatenate(bands[: length + 1])
        one_row = len(row_middles(boxes[band], height)) == 1
        _, widths = blank_strips(boxes[together, 0], boxes[together, 2])
        if len(band) < 2 or not one_row or not (widths >= gap * height).any():
            return length
    return len(bands)


def evenly_spaced(
    boxes: Floats, bands: Sequence[Indices], first: int, last: int, height: float
) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run of rows, cut where the distance from one to the next is wider than usual."""
    if last - first < LEAST_ROWS:
        return
    pitches = np.diff([float(boxes[band][:, [1, 3]].mean()) for band in bands[first:last]])
    wide = first + 1 + np.flatnonzero(pitches > np.median(pitches) + PITCH * height)
    yield from pairwise([first, *map(int, wide), last])


def is_table(boxes: Floats, amounts: Flags, members: Indices, height: float) -> bool:
    """Tell a table from columns of running text, and from an address beside data, whose rows meet by chance."""
    columns, gaps = cut_columns(boxes, members, height)
    if len(columns) < 2:  # All gaps are spaces.
        return False
    numbers = [are_numbers(boxes[column], amounts[column], height) for column in columns]
    apart = [
        gap >= WIDE_GAP * height and not (left or right)
        for gap, (left, right) in zip(gaps, pairwise(numbers), strict=True)
    ]
    if any(apart) and len(columns[0]) < MANY_ROWS:
        return False
    # Numbers before text are those of a list's points, or the hours of a day.
    telling = numbers[1:] if len(numbers) == 2 else numbers
    return sum(telling) >= 2 or (any(telling) and not any(is_running(boxes[column], height) for column in columns))


def goes_on(boxes: Floats, members: Indices, below: Sequence[Indices], height: float) -> bool:
    """Tell whether a column of what looks like a table is text that goes on in rows of its own below the others."""
    rows = list(below[:GOES_ON])
    if len(rows) < GOES_ON or any(len(row) > 1 for row in rows):
        return False
    for column in (boxes[column] for column in cut_columns(boxes, members, height)[0]):
        lines = np.concatenate([column[column[:, 1].argsort()], *(boxes[row] for row in rows)])
        fits = (
            float(np.ptp(lines[-GOES_ON - 2 :, 0])) <= SAME_LEFT * height
            and float(lines[-GOES_ON:, 2].max()) <= float(column[:, 2].max()) + SAME_LEFT * height
        )
        if fits and len(column) >= GOES_ON and is_even(lines[:, [1, 3]].mean(axis=1)[-GOES_ON - 2 :], height):
            return True
    return False


def is_even(middles: Floats, height: float) -> bool:
    """Tell whether rows follow one another at one distance."""
    return float(np.ptp(np.diff(middles))) <= SAME_PITCH * height


def side_by_side(boxes: Floats, amounts: Flags, members: Indices, height: float) -> list[Indices]:
    """Return the members of a table, or those of the two that it is made of.

    Two have the same kinds of columns, texts first and numbers last, and over the numbers the same head twice or none.
    """
    columns, _ = cut_columns(boxes, members, height)
    numbers = [are_numbers(boxes[column], amounts[column], height) for column in columns]
    half = len(columns) // 2
    if half < 2 or len(columns) % 2 or numbers[:half] != numbers[half:] or numbers[0] or not numbers[half - 1]:
        return [members]
    middle = (boxes[members, 1] + boxes[members, 3]) / 2
    head = members[middle <= middle.min() + ROW_TOLERANCE * height]
    heads = [head[np.isin(head, column)] for column in columns]
    if not len(heads[0]) or not len(heads[half]):
        return [members]
    for left, right in zip(heads[1:half], heads[half + 1 :], strict=True):
        widths = [float((boxes[each, 2] - boxes[each, 0]).sum()) for each in (left, right)]
        if len(left) != len(right) or amounts[left].any() or abs(widths[0] - widths[1]) > SAME_HEAD * height:
            return [members]
    return [np.concatenate(columns[:half]), np.concatenate(columns[half:])]


def are_numbers(boxes: Floats, amounts: Flags, height: float) -> bool:
    """Tell a column of numbers. A cell that holds a label before its number is none."""
    row = row_numbers(boxes, height)
    # The sign of a currency may stand apart from its number.
    number = amounts | (boxes[:, 2] - boxes[:, 0] < height)
    cells = np.array([amounts[row == each].any() and number[row == each].all() for each in np.unique(row)])
    by_turns = len(cells) >= FORM_ROWS and bool((cells[1:] != cells[:-1]).all())
    return float(cells.mean()) >= NUMBERS and not by_turns


def is_running(boxes: Floats, height: float) -> bool:
    """Tell a column of running text, whose rows are long and almost as long as one another, from cells."""
    widths = boxes[:, 2] - boxes[:, 0]
    width = float(np.ptp(boxes[:, [0, 2]]))
    return (
        len(boxes) >= RUNNING_ROWS
        and width >= RUNNING_WIDTH * height
        and bool(np.median(widths) >= RUNNING_FILL * width)
    )


def column_numbers(boxes: Floats, rows: Sequence[Indices], height: float) -> Indices:
    """Return the column (n,), counted from 0, of each of the boxes, where they are those of the rows of a table.

    The columns are those of the rows with as many cells as most: a total may stand across the others.
    """
    count = [len(blank_strips(boxes[row, 0], boxes[row, 2])[0]) for row in rows]
    full = [row for row, gaps in zip(rows, count, strict=True) if gaps >= np.median(count)]
    edges, gaps = column_gaps(boxes, np.concatenate(full), height)
    # A cell of another row may end a little farther to the right than those of its column.
    return np.asarray(np.searchsorted(edges + gaps / 2, boxes[:, 2], side="left"), np.intp)


def is_price_list(boxes: Floats, amounts: Flags, rows: Sequence[Indices], height: float) -> bool:
    """Tell texts and their prices, with remarks below them, from a table of two columns, whose texts take several lines
    where they are too long for one."""
    columns, _ = cut_columns(boxes, np.concatenate(rows), height)
    return (
        len(columns) == 2
        and are_numbers(boxes[columns[1]], amounts[columns[1]], height)
        and any(len(row_middles(boxes[row], height)) > 1 for row in rows)
        and not are_broken(boxes, rows, column_gaps(boxes, np.concatenate(rows), height)[0], height)
    )


def cut_columns(boxes: Floats, members: Indices, height: float) -> tuple[list[Indices], Floats]:
    """Return the members of each column of a table, from left to right, and the widths of the gaps between them."""
    edges, gaps = column_gaps(boxes, members, height)
    number = np.searchsorted(edges, boxes[members, 2], side="left")
    return [members[number == column] for column in range(len(edges) + 1)], gaps


def column_gaps(boxes: Floats, members: Indices, height: float) -> tuple[Floats, Floats]:
    """Return starts and widths of the blank strips between the columns of a table, from left to right."""
    starts, widths = blank_strips(boxes[members, 0], boxes[members, 2])
    wide = widths >= COLUMN_GAP * height
    if len(row_middles(boxes[members], height)) < NARROW_ROWS:
        return starts[wide], widths[wide]
    # What stands before a narrow gap is a column if it is wider than the signs of a currency.
    place = np.searchsorted(starts, boxes[members, 2], side="left")
    widest = np.array([np.ptp(boxes[members[place == number]][:, [0, 2]]) for number in range(len(starts))])
    kept = wide | ((widths >= NARROW_GAP * height) & (widest > height))
    return starts[kept], widths[kept]
