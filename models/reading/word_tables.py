"""Finding tables of words alone among the rows of a page: geometry of boxes only. See `models.reading.tables`."""

from collections.abc import Sequence

import numpy as np

from models.reading.geometry import MARK_WIDTH, Floats, Indices
from models.reading.tables import SAME_LEFT, SAME_PITCH, Table, column_gaps, cut_columns, single_lined

ROWS, ALIGNED = 3, 0.8  # rows of a table without numbers, and the least share of them that are alike
TEXT_PITCH = 2.0  # widest distance from one line of a text to the next, in heights


def find_word_tables(boxes: Floats, to_tick: Sequence[int], bands: Sequence[Indices], height: float) -> list[Table]:
    """Return the tables among bands that are read row by row whether they are in a table or not, and that need no
    numbers: the cells of each column begin, end or have their middle at one place.

    Rows whose boxes are all to be ticked, `to_tick` by number, are in no table with other rows.
    """
    ticks = np.array([bool(np.isin(band, to_tick).all()) for band in bands])
    ends = [*(np.flatnonzero(ticks[1:] != ticks[:-1]) + 1).tolist(), len(bands)]

    def with_columns(first: int, last: int) -> bool:
        rows = bands[first:last]
        beside = [bands[n] for n in (first - 1, last) if 0 <= n < len(bands) and ticks[n] == ticks[first]]
        return (
            len(rows) >= ROWS
            and are_aligned(boxes, rows, height)
            and not any(goes_across(boxes, rows, band, height) for band in beside)
            and not (last < len(bands) and is_continued(boxes, rows, bands[last], height))
        )

    found: list[Table] = []
    start = 0
    while start < len(bands):
        end = next(end for end in ends if end > start)
        tables, length = single_lined(boxes, bands[:end], start, height, with_columns)
        found += tables
        start += max(length, 1)
    return found


def goes_across(boxes: Floats, rows: Sequence[Indices], band: Indices, height: float) -> bool:
    """Tell whether a band as far from rows as they are from one another has text where they have gaps: the wide spaces
    of some rows of a text stand above one another by chance."""
    middles = np.sort([float(boxes[row][:, [1, 3]].mean()) for row in [*rows, band]])
    at = float(boxes[band][:, [1, 3]].mean())
    nearest = float(np.partition(np.abs(middles - at), 1)[1])
    usual = float(np.median(np.diff(middles)))
    if usual > TEXT_PITCH * height or abs(nearest - usual) > SAME_PITCH / 2 * height:
        return False
    starts, gaps = column_gaps(boxes, np.concatenate(rows), height)
    left, right = boxes[band, 0], boxes[band, 2]
    return bool(((left[:, None] < starts + gaps) & (right[:, None] > starts)).any())


def is_continued(boxes: Floats, rows: Sequence[Indices], below: Indices, height: float) -> bool:
    """Tell whether the band below rows goes on with a cell of theirs: it is as close as they are to one another and has
    nothing in the first column. Such rows are a part of a list whose other points hold several lines."""
    middles = [float(boxes[row][:, [1, 3]].mean()) for row in [*rows, below]]
    starts, _ = column_gaps(boxes, np.concatenate(rows), height)
    *pitches, last = np.diff(middles)
    return bool(last <= np.median(pitches) + SAME_PITCH * height and boxes[below, 0].min() > starts[0])


def are_aligned(boxes: Floats, rows: Sequence[Indices], height: float) -> bool:
    """Tell whether most rows have a cell in each column, and the cells of each column stand below one another."""
    columns, _ = cut_columns(boxes, np.concatenate(rows), height)
    cells = [[boxes[row[np.isin(row, column)]] for row in rows] for column in columns]
    full = np.array([[len(cell) > 0 for cell in column] for column in cells]).all(axis=0)
    if len(columns) < 2 or float(full.mean()) < ALIGNED:
        return False
    for column in cells:
        ends = np.array([(cell[:, 0].min(), cell[:, 2].max()) for cell in column if len(cell)])
        places = np.column_stack([ends, ends.mean(axis=1)])
        near = np.abs(places - np.median(places, axis=0)) <= SAME_LEFT * height
        if float(near.mean(axis=0).max()) < ALIGNED:
            return False
    return float(np.ptp(boxes[columns[0]][:, [0, 2]])) > MARK_WIDTH * height  # The numbers of a list make no table.
