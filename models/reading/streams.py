"""Narrow gaps that stand above one another, as those between the cells of a tight table do: geometry of boxes only.

"T-Recs" (Kieninger, 1998) calls them white streams. A gap as narrow as a wide space is one between two cells if those
of the rows above and below it stand there, too, and so do most others of its row. Further lines of the cell to its
right begin where that does, with nothing before them.
"""

import numpy as np

from models.reading.geometry import ROW_TOLERANCE, Flags, Floats, Indices

NARROWEST = 0.5  # width of a stream, in heights
ROWS = 4  # that it runs through, at least
WHOLE_ROWS = 2  # of those that have a cell on either side, at least
SAME_START = 0.25  # by how much the lines of a cell differ in where they begin, at most, in heights
NEXT_ROW = 2.2  # farthest from one of them to the next, in heights
MOST = 0.6  # share of the gaps of a fragment that are in streams, where it has cells


def between_cells(boxes: Floats, owners: Indices, gaps: Floats) -> Flags:
    """Tell which of the gaps between each run of ink and the next, boxes (n, 4), are between two cells (n - 1,).

    `owners` (n,) has the fragment of each run, and `gaps` (n - 1,) the widths in heights; infinite between fragments.
    """
    found = np.zeros(len(gaps), np.bool_)
    inside = np.isfinite(gaps)
    for number in np.flatnonzero(inside & (gaps >= NARROWEST)).tolist():
        found[number] = is_stream(boxes, number)
    count = np.bincount(owners[:-1][inside], minlength=int(owners.max()) + 1)
    own = np.bincount(owners[:-1][found], minlength=len(count))
    return np.asarray(found & (own >= MOST * count)[owners[:-1]], np.bool_)


def is_stream(boxes: Floats, number: int) -> bool:
    """Tell whether the gap after a box runs on through the rows above and below."""
    (_, top, left, bottom), right = boxes[number], float(boxes[number + 1, 0])
    height = float(bottom - top)
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    rows, whole, strip = 1, 1, (float(left), right)
    for way in (-1, 1):
        at: float = middles[number]
        while rows < ROWS or whole < WHOLE_ROWS:
            away = way * (middles - at)
            near = away[(away > ROW_TOLERANCE * height) & (away <= NEXT_ROW * height)]
            if not len(near):
                break
            at += way * float(near.min())
            row = boxes[np.abs(middles - at) <= ROW_TOLERANCE * height]
            if not goes_on(strip, row, height):
                narrowed = narrower(strip, row)
                if narrowed is None or narrowed[1] - narrowed[0] < NARROWEST * height:
                    break
                whole, strip = whole + 1, narrowed
            rows += 1
    return rows >= ROWS and whole >= WHOLE_ROWS


def goes_on(strip: tuple[float, float], row: Floats, height: float) -> bool:
    """Tell whether a row is a further line of the cell to the right of a strip."""
    return abs(float(row[:, 0].min()) - strip[1]) <= SAME_START * height


def narrower(strip: tuple[float, float], row: Floats) -> tuple[float, float] | None:
    """Return what the boxes of a row leave blank around the middle of a strip; None if that is nothing, or if one of
    its sides has no box."""
    left, right = strip
    middle = (left + right) / 2
    before, after = row[row[:, 0] < middle], row[row[:, 0] >= middle]
    if not len(before) or not len(after):
        return None
    left, right = max(left, float(before[:, 2].max())), min(right, float(after[:, 0].min()))
    return (left, right) if left < right else None
