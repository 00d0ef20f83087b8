"""Tables whose cells hold several lines: geometry of boxes only.

The rows of such a table are farther apart than the lines in its cells, or have a cell in each column where they begin;
and in each row all cells begin, end, or have their middle at one height. That tells them from columns of text, whose
paragraphs end where they like.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.reading.geometry import MEETING, Floats, Indices, blank_strips, row_middles, row_numbers

GAP = 0.5  # narrowest blank strip between two columns, in heights
ROWS = 3  # of a table, at least
JUMP = 0.12  # by how much two rows are farther apart than two lines of a cell, at least, in heights
PITCH = 1.0  # and farther than is usual for rows, at most
ALIGNED = 0.8  # least share of the rows whose cells stand at one height
SINGLE = 0.8  # least share of the cells of some column that hold one line, unless the table is a form
MOST_BANDS = 100  # that are tried at once: a page of text has fewer, a drawing or a log any number
FORM_LINES, FORM_ROWS = 2, 2  # of each cell of a form, and its rows where it has three columns or more, at least
NUMBER_WIDTH = 2.0  # widest bullet or number before the points of a list, as [12], in heights
GOES_ON = 2  # rows in one column, below the others, that tell that it is text
SEVERAL = 2  # rows with a cell of several lines, at least, where rows are no farther apart than lines
FILLED = 0.6  # least share of a column's width that a line takes which goes on in the next line of its cell
ENDS_SHORT = 0.85  # most width of the last lines of cells, as a share of that of the lines that go on, on the mean


def wrapped_rows(boxes: Floats, bands: Sequence[Indices], height: float) -> tuple[list[Indices], int]:
    """Return the rows of a table that begins with the first of some bands, and how many bands they take; none where
    there is no such table, or all its cells hold one line."""
    rows, count = rows_of_run(boxes, bands[: columns_length(boxes, bands[:MOST_BANDS], height)], height)
    if 2 * count < MOST_BANDS:
        return rows, count
    # A longer table, whose last row here may be cut.
    longer = rows_of_run(boxes, bands[: columns_length(boxes, bands, height)], height)
    return longer if longer[0] else (rows, count)


def rows_of_run(boxes: Floats, run: Sequence[Indices], height: float) -> tuple[list[Indices], int]:
    """Return the rows of a table that begins with the first of some bands that share columns, and how many bands they
    take; none where there is no such table, or all its cells hold one line."""
    if len(run) < ROWS:
        return [], 0
    middles = [row_middles(boxes[band], height) for band in run]
    pitches = np.array([below[0] - above[-1] for above, below in pairwise(middles)]) / height
    ordered = np.sort(pitches)
    edges = column_edges(boxes[np.concatenate(run)], height)
    if is_marked(boxes[np.concatenate(run)], edges, height):
        return [], 0
    # Where a cell stands in the middle of its row, each row may be one band.
    for limit in [0.0, *ordered[:-1][np.diff(ordered) >= JUMP]]:
        starts = row_starts(pitches, float(limit))
        rows, lines = cut_rows(boxes, run, starts, edges, height, SINGLE)
        if rows and are_rows(lines, height):
            return rows, starts[len(rows)]
    # Beside a single column, text with notes in its margin, or two columns of it, would look alike.
    if len(edges) < 2:
        return [], 0
    for starts in (full_bands(boxes, run, edges), centred_bands(boxes, run, edges, height)):
        if starts[0] or len(starts) <= ROWS:
            continue
        rows, lines = cut_rows(boxes, run, starts, edges, height, single=1.0)
        several = sum(max(map(len, cells.values())) > 1 for cells in lines)
        if several >= SEVERAL and are_broken(boxes, rows, edges, height):
            return rows, starts[len(rows)]
    return [], 0


def cut_rows(
    boxes: Floats, run: Sequence[Indices], starts: Sequence[int], edges: Floats, height: float, single: float
) -> tuple[list[Indices], list[dict[int, Floats]]]:
    """Return the rows of a table that begin at some bands, and the middles of the lines in each column of them; none
    where they are no rows of a table. `single` is the least share of the cells of some column that hold one line."""
    rows = [np.concatenate(run[first:end]) for first, end in pairwise(starts)]
    lines = [lines_of(boxes[row], edges, height) for row in rows]
    count = next((number for number, cells in enumerate(lines) if len(cells) < 2), len(rows))
    is_form = len(edges) >= 2 and all(len(cell) == FORM_LINES for cells in lines for cell in cells.values())
    if count < (FORM_ROWS if is_form else ROWS) or len(rows) - count >= GOES_ON:
        return [], []
    rows, lines = rows[:count], lines[:count]
    apart = np.array([unevenness(list(cells.values())) for cells in lines]) / height
    if not are_cells(lines, single) or float((apart <= MEETING).mean(axis=0).max()) < ALIGNED:
        return [], []
    return rows, lines


def full_bands(boxes: Floats, run: Sequence[Indices], edges: Floats) -> list[int]:
    """Return the bands that have text in every column, and the one after the last that belongs to them."""
    columns = [np.unique(np.searchsorted(edges, boxes[band, 2], side="left")) for band in run]
    return [*(number for number, found in enumerate(columns) if len(found) > len(edges)), len(run)]


def centred_bands(boxes: Floats, run: Sequence[Indices], edges: Floats, height: float) -> list[int]:
    """Return likewise the bands that begin a row, where what is of one line stands in the middle of its row."""
    every = np.concatenate(run)
    column = np.searchsorted(edges, boxes[every, 2], side="left")
    lines = [row_middles(boxes[every[column == number]], height) for number in range(len(edges) + 1)]
    tops = np.array([float(boxes[band][:, [1, 3]].mean(axis=1).min()) for band in run])
    starts = [0]
    for middle in min(lines, key=len):
        if starts[-1] == len(run):
            break
        # A row ends as far below its middle as it begins above it.
        end = 2 * float(middle) - float(tops[starts[-1]]) + MEETING * height
        starts.append(max(int(np.searchsorted(tops, end)), starts[-1] + 1))
    return starts


def are_broken(boxes: Floats, rows: Sequence[Indices], edges: Floats, height: float) -> bool:
    """Tell cells of several lines by where their lines break: those that go on fill their column, and the last ones end
    anywhere. In a text that stands beside short lines, all lines fill it."""
    every = np.concatenate(rows)
    column = np.searchsorted(edges, boxes[:, 2], side="left")
    broken = False
    for number in range(len(edges) + 1):
        inside = boxes[every[column[every] == number]]
        left, width = float(inside[:, 0].min()), max(float(np.ptp(inside[:, [0, 2]])), 1.0)
        cells = [line_ends(boxes[row[column[row] == number]], height) for row in rows if (column[row] == number).any()]
        going_on = [(end - left) / width for ends in cells for end in ends[:-1]]
        last = float(np.mean([(ends[-1] - left) / width for ends in cells]))
        if going_on and (min(going_on) < FILLED or last > ENDS_SHORT * float(np.mean(going_on))):
            return False
        broken = broken or bool(going_on)
    return broken


def line_ends(boxes: Floats, height: float) -> list[float]:
    """Return where each line of a cell, boxes (n, 4), ends on the right, from top to bottom."""
    number = row_numbers(boxes, height)
    return [float(boxes[number == line, 2].max()) for line in np.unique(number)]


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
    return len(edges) == 1 and float(np.ptp(marks[:, [0, 2]])) <= NUMBER_WIDTH * height


def lines_of(boxes: Floats, edges: Floats, height: float) -> dict[int, Floats]:
    """Return for each column that a row, boxes (n, 4), has text in the middles of the lines there."""
    column = np.searchsorted(edges, boxes[:, 2], side="left")
    return {int(number): row_middles(boxes[column == number], height) for number in np.unique(column)}


def row_starts(pitches: Floats, limit: float) -> list[int]:
    """Return the bands that begin a row, and the one after the last, by the distance from each band to the next."""
    farthest = float(np.median(pitches[pitches > limit])) + PITCH
    last = next((band for band, pitch in enumerate(pitches, 1) if pitch > farthest), len(pitches) + 1)
    return [0, *(band for band in range(1, last) if pitches[band - 1] > limit), last]


def are_cells(rows: Sequence[dict[int, Floats]], share: float) -> bool:
    """Tell whether the lines of some rows are those of cells: some cell holds several, but those of a column, such as
    the first one, hold one; or all hold two, as the boxes of a form do: a label, and what was filled in below it."""
    columns = {column for row in rows for column in row}
    counts = [np.array([len(row[column]) for row in rows if column in row]) for column in columns]
    every = np.concatenate(counts)
    single = any(2 * len(count) > len(rows) and float((count == 1).mean()) >= share for count in counts)
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
