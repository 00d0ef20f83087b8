"""Headings among the bands of columns: geometry of boxes only. Boxes and bands are those of `models.reading.blocks`."""

import numpy as np

from models.reading.geometry import Floats, Indices, blank_strips, row_overlap

# All in heights of a fragment of running text.
HEADING = 1.1  # least height of a heading that stands across some columns and leaves others blank
SPACE = 0.6  # widest space between two words of a heading, in its own heights
BEFORE = 0.4  # by how much a row across a gutter begins before the column there, at least
LARGE_HEADING, BLANK, NEAREST = 1.25, 2.2, 3  # height of one in a column, blank beside it, and how many bands it ends
GUTTER = 0.5  # narrowest gap between two columns


def is_split(boxes: Floats, band: Indices, gutter: float, height: float, edge: float) -> bool:
    """Tell whether a band is a heading, or a row, across a gutter over which one of its spaces stands by chance.

    What stands right of the gutter begins at `edge`, as a rule; with a row across it, a word begins before that.
    """
    left = boxes[band, 2] <= gutter + 1
    if left.all() or not left.any():
        return False
    last, first = boxes[band[left]], boxes[band[~left]]
    last, first = last[last[:, 2].argmax()], first[first[:, 0].argmin()]
    tall = float(min(last[3] - last[1], first[3] - first[1]))
    across = tall >= HEADING * height or float(first[0]) < edge - BEFORE * height
    return across and row_overlap(last, first) > 0.5 and float(first[0] - last[2]) <= SPACE * tall


def right_edge(boxes: Floats, bands: list[Indices], gutter: float) -> float:
    """Return where the rows right of a gutter begin, as a rule."""
    begins = [boxes[band, 0][boxes[band, 2] > gutter + 1] for band in bands]
    return float(np.median([begin.min() for begin in begins if len(begin)]))


def first_heading(boxes: Floats, bands: list[Indices], gutter: float, height: float) -> int:
    """Return the number of the first of some bands that is a heading beside which columns are blank: across two or more
    of those above it and below it, or where those on both sides of the gutter end above it and begin below; 0 for none.
    """
    for number in range(1, len(bands) - 1):
        left, top, right, bottom = boxes[bands[number][0]]
        if len(bands[number]) > 1 or bottom - top < HEADING * height:
            continue
        parts = (bands[:number], bands[number + 1 :])
        if bottom - top >= LARGE_HEADING * height and right < gutter:
            # The paragraphs of the other column may end there by chance: their gap is narrower.
            ends, begins = (np.concatenate(part) for part in (parts[0][-NEAREST:], parts[1][:NEAREST]))
            ends, begins = boxes[ends][boxes[ends, 0] > gutter], boxes[begins][boxes[begins, 0] > gutter]
            if len(ends) and len(begins) and begins[:, 1].min() - ends[:, 3].max() >= BLANK * height:
                return number
        several = ([band for band in part if len(band) > 1] for part in parts)
        strips = [blank_strips(*boxes[np.concatenate(part)][:, [0, 2]].T) for part in several if part]
        crossed = [
            bool(((left < starts) & (starts + widths < right) & (widths >= GUTTER * height)).any())
            for starts, widths in strips
        ]
        if crossed == [True, True]:
            return number
    return 0
