"""Tables whose cells hold several lines: geometry of boxes only.

The rows of such a table are farther apart than the lines in its cells, and in each row all cells begin, end, or have
their middle at one height. That tells them from columns of text, whose paragraphs end where they like.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.reading.geometry import MARK_WIDTH, MEETING, Floats, Indices, blank_strips, row_middles

GAP = 0.5  # narrowest blank strip between two columns, in heights
ROWS = 3  # of a table, at least
JUMP = 0.12  # by how much two rows are farther apart than two lines of a cell, at least, in heights
PITCH = 1.0  # and farther than is usual for rows, at most
ALIGNED = 0.8  # least share of the rows whose cells stand at one height
SINGLE = 0.8  # least share of the cells of some column that hold one line, unless the table is a form
MOST_BANDS = 100  # that are tried at once: a page of text has fewer, a drawing or a log any number
FORM_LINES = 2  # of each cell of a form
GOES_ON = 2  # rows in one column, below the others, that tell that it is text


def wrapped_rows(boxes: Floats, bands: Sequence[Indices], height: float) -> tuple[list[Indices], int]:
    """Return the rows of a table that begins with the first of some bands, and how many bands they take; none where
    there is no such table, or all its cells hold one line."""
    run = bands[: columns_length(boxes, bands[:MOST_BANDS], height)]
    if len(run) < ROWS:
        return [], 0
    middles = [row_middles(boxes[band], height) for band in run]
    pitches = np.array([below[0] - above[-1] for above, below in pairwise(middles)]) / height
    ordered = np.sort(pitches)
    # Where a cell stands in the middle of its row, each row may be one band.
    for limit in [0.0, *ordered[:-1][np.diff(ordered) >= JUMP]]:
        rows, count = rows_apart(boxes, run, pitches, float(limit), height)
        if rows:
            return rows, count
    return [], 0


def rows_apart(
    boxes: Floats, run: Sequence[Indices], pitches: Floats, limit: float, height: float
) -> tuple[list[Indices], int]:
    """Return the rows of a table, and how many bands they take, where rows are farther apart than the limit."""
    starts = row_starts(pitches, limit)
    edges = column_edges(boxes[np.concatenate(run)], height)
    if is_marked(boxes[np.concatenate(run)], edges, height):
        return [], 0
    rows = [np.concatenate(run[first:end]) for first, end in pairwise(starts)]
    lines = [lines_of(boxes[row], edges, height) for row in rows]
    count = next((number for number, cells in enumerate(lines) if len(cells) < 2), len(rows))
    if count < ROWS or len(rows) - count >= GOES_ON:
        return [], 0
    rows, lines = rows[:count], lines[:count]
    apart = np.array([unevenness(list(cells.values())) for cells in lines]) / height
    if not are_cells(lines) or not are_rows(lines, height) or float((apart <= MEETING).mean(axis=0).max()) < ALIGNED:
        return [], 0
    return rows, starts[count]


def columns_length(boxes: Floats, bands: Sequence[Indices], height: float) -> int:
    """Return how many bands, from the first on, leave most of the strips between them blank."""
    count = 0
    for length in range(1, len(bands) + 1):
        before, count = count, len(column_edges(boxes[np.concatenate(bands[:length])], height))
        if not count or 2 * count <= before:
            return length - 1
    return len(bands)


def column_edges(boxes: Floats, height: float) -> Floats:
    """Return where the blank strips between columns of boxes (n, 4) start."""
    starts, widths = blank_strips(boxes[:, 0], boxes[:, 2])
    return starts[widths >= GAP * height]


def is_marked(boxes: Floats, edges: Floats, height: float) -> bool:
    """Tell a list, whose points follow a column of bullets or numbers, from a table."""
    marks = boxes[boxes[:, 2] <= edges[0]]
    return len(edges) == 1 and float(np.ptp(marks[:, [0, 2]])) <= MARK_WIDTH * height


def lines_of(boxes: Floats, edges: Floats, height: float) -> dict[int, Floats]:
    """Return for each column that a row, boxes (n, 4), has text in the middles of the lines there."""
    column = np.searchsorted(edges, boxes[:, 2], side="left")
    return {int(number): row_middles(boxes[column == number], height) for number in np.unique(column)}


def row_starts(pitches: Floats, limit: float) -> list[int]:
    """Return the bands that begin a row, and the one after the last, by the distance from each band to the next."""
    farthest = float(np.median(pitches[pitches > limit])) + PITCH
    last = next((band for band, pitch in enumerate(pitches, 1) if pitch > farthest), len(pitches) + 1)
    return [0, *(band for band in range(1, last) if pitches[band - 1] > limit), last]


def are_cells(rows: Sequence[dict[int, Floats]]) -> bool:
    """Tell whether the lines of some rows are those of cells: some cell holds several, but those of a column, such as
    the first one, hold one; or all hold two, as the boxes of a form do: a label, and what was filled in below it."""
    columns = {column for row in rows for column in row}
    counts = [np.array([len(row[column]) for row in rows if column in row]) for column in columns]
    every = np.concatenate(counts)
    single = any(2 * len(count) > len(rows) and float((count == 1).mean()) >= SINGLE for count in counts)
    return bool(every.max() > 1 and (single or every.min() == every.max() == FORM_LINES))


def are_rows(rows: Sequence[dict[int, Floats]], height: float) -> bool:
    """Tell whether the lines of a column are farther apart from one row to the next than within a cell."""
    within = np.concatenate([np.diff(lines) for row in rows for lines in row.values()])
    between = [
        below[column][0] - above[column][-1] for above, below in pairwise(rows) for column in above if column in below
    ]
    return float(np.median(within)) + JUMP * height <= min(between, default=np.inf)


def unevenness(cells: Sequence[Floats]) -> list[float]:
    """Return how far apart cells, the middles of their lines, begin, end, and have their middles."""
    tops, bottoms = np.array([lines[[0, -1]] for lines in cells]).T
    return [float(np.ptp(places)) for places in (tops, bottoms, (tops + bottoms) / 2)]
