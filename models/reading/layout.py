"""From the pieces of a page to lines in reading order: geometry only, no networks.

`arrange` finds the page's slant, turns the pieces upright, cuts the page into blocks, joins the pieces of a row into
lines, orders them and starts a new paragraph where a blank line lies between. Lengths are in units of the median
height, so that nothing depends on the resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, cast

import numpy as np

from models.base import Options
from models.reading.amounts import Kinds, unknown
from models.reading.blocks import Block, blocks
from models.reading.geometry import (
    Floats,
    Indices,
    askew,
    enclose,
    rotate,
    row_numbers,
    row_overlap,
    slant,
    typical_height,
    upright_boxes,
)
from models.reading.tables import column_numbers

Layout = Literal["auto", "rows", "columns", "plain"]

LINE_GAP = 1.5  # widest gap between two pieces of a line, in heights, where rows are not kept whole
ROW_OVERLAP = 0.5  # share of the lower height that two pieces of a row have in common
PARAGRAPH_GAP = 0.9  # blank space more than the usual one that starts a paragraph, in heights


@dataclass(frozen=True)
class TextLine:
    """One line of a page: its pieces, its polygon and its paragraph."""

    polygon: Floats  # (4, 2), the smallest rectangle along the line that holds its pieces
    pieces: list[int]  # indices of the pieces, from the line's start to its end
    paragraph: int  # counted from 0 in reading order
    block: int  # likewise
    places: list[tuple[int, int]] | None = None  # in a table, the column and the line in its cell of each piece, from 0

    def parts(self) -> list[tuple[int, list[int]]]:
        """Return the column and the pieces of each line of each cell of a table's row; outside of tables, each piece is
        one."""
        if self.places is None:
            return [(0, [piece]) for piece in self.pieces]
        pairs = groupby(zip(self.places, self.pieces, strict=True), lambda pair: pair[0])
        return [(column, [piece for _, piece in of_place]) for (column, _), of_place in pairs]


def layout_of(options: Options, automatic: Layout = "auto") -> Layout:
    """Return the layout that options ask for, and `automatic` where they leave it open."""
    chosen = options.layout
    return automatic if chosen is None or chosen == "auto" else cast("Layout", chosen)


def arrange(points: Floats, kinds: Kinds | None = None, layout: Layout = "auto") -> list[TextLine]:
    """Join pieces (n, 4, 2) into lines, in reading order: blocks left to right, lines top to bottom.

    `kinds` says what the texts of the pieces are, where they are known. `rows` and `plain` take the page for one block;
    `columns` and `plain` leave texts of one row that stand far apart lines of their own. What is written across the
    page comes last, each piece a line.
    """
    if not len(points):
        return []
    angle = slant(points)
    boxes = upright_boxes(points, angle)
    kinds = unknown(len(points)) if kinds is None else kinds
    across = askew(points)
    everything = np.flatnonzero(~across)
    cut = blocks(boxes, kinds, everything) if layout in ("auto", "columns") else [Block(everything)]
    reach = np.inf if layout in ("auto", "rows") else LINE_GAP
    lines: list[TextLine] = []
    paragraph = 0
    for number, (block, rows) in enumerate(cut):
        if rows is not None and layout == "auto":
            table = table_lines(points, boxes, rows, angle)
            lines += [replace(line, paragraph=paragraph, block=number) for line in table]
            paragraph += 1
            continue
        groups = order_rows(boxes, join_row(boxes, block, reach))
        starts = paragraph_starts(np.array([enclose(boxes[group]) for group in groups]), whole=rows is not None)
        for group, start in zip(groups, starts, strict=True):
            paragraph += int(start)
            lines.append(TextLine(line_polygon(points[group], angle), group.tolist(), paragraph - 1, number))
    for number in np.flatnonzero(across).tolist():
        lines.append(TextLine(points[number], [number], paragraph, lines[-1].block + 1))
        paragraph += 1
    return lines


def table_lines(points: Floats, boxes: Floats, rows: Sequence[Indices], angle: float) -> list[TextLine]:
    """Return the rows of a table, each a line, cell by cell."""
    height, place = typical_height(boxes), np.zeros(len(boxes), np.intp)
    column = column_numbers(boxes, rows, height)
    lines = []
    for row in rows:
        for cell in (row[column[row] == number] for number in np.unique(column[row])):
            place[cell] = row_numbers(boxes[cell], height)
        ordered = row[np.lexsort((boxes[row, 0], place[row], column[row]))]
        cells = list(zip(column[ordered].tolist(), place[ordered].tolist(), strict=True))
        lines.append(TextLine(line_polygon(points[ordered], angle), ordered.tolist(), 0, 0, cells))
    return lines


def join_row(boxes: Floats, members: Indices, reach: float) -> list[Indices]:
    """Join pieces on a row, at most `reach` heights apart, into lines: indices from left to right."""
    groups: list[list[int]] = []
    ends = np.zeros((len(members), 4))  # the last box of each group
    for index in members[np.argsort(boxes[members, 0])]:
        scores = follows(ends[: len(groups)], boxes[index], reach)
        best = int(np.argmax(scores)) if groups else -1
        if groups and scores[best] > 0:
            groups[best].append(int(index))
        else:
            best = len(groups)
            groups.append([int(index)])
        ends[best] = boxes[index]
    return [np.array(group, np.intp) for group in groups]


def follows(ends: Floats, box: Floats, reach: float) -> Floats:
    """Return how well a box (4,) continues each line, of which (n, 4) are the last boxes, from 0 (not at all) to 1 (the
    same row)."""
    heights, height = ends[:, 3] - ends[:, 1], box[3] - box[1]
    common = np.minimum(ends[:, 3], box[3]) - np.maximum(ends[:, 1], box[1])
    overlap = common / np.maximum(np.minimum(heights, height), 1.0)
    apart = box[0] - ends[:, 2] > reach * np.maximum(np.maximum(heights, height), 1e-6)
    return np.where((overlap < ROW_OVERLAP) | apart, 0.0, overlap)


def order_rows(boxes: Floats, groups: list[Indices]) -> list[Indices]:
    """Order the lines of a column from top to bottom, and from left to right where several share a row."""
    outlines = [enclose(boxes[group]) for group in groups]
    rows: list[list[int]] = []
    for index in sorted(range(len(groups)), key=lambda i: float(outlines[i][1] + outlines[i][3])):
        if rows and all(beside(outlines[other], outlines[index]) for other in rows[-1]):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [groups[i] for row in rows for i in sorted(row, key=lambda i: float(outlines[i][0]))]


def beside(first: Floats, second: Floats) -> bool:
    """Tell whether two boxes (4,) stand on one row, neither above the other."""
    return row_overlap(first, second) > ROW_OVERLAP and (first[0] >= second[2] or second[0] >= first[2])


def paragraph_starts(outlines: Floats, whole: bool = False) -> list[bool]:
    """Tell for each line of a block, boxes (n, 4) in reading order, whether a paragraph starts with it; a `whole` one
    is a single paragraph."""
    if whole:
        return [number == 0 for number in range(len(outlines))]
    above = np.maximum.accumulate(outlines[:, 3])[:-1]
    gaps = outlines[1:, 1] - above
    usual = float(np.median(gaps)) if len(gaps) > 1 else 0.0
    limit = max(usual, 0.0) + PARAGRAPH_GAP * typical_height(outlines)
    return [True, *(bool(gap > limit) for gap in gaps)]


def line_polygon(points: Floats, angle: float) -> Floats:
    """Return the smallest rectangle (4, 2) along the line's own slope that holds pieces (n, 4, 2)."""
    slope = line_slope(points, angle)
    turned = rotate(points.reshape(-1, 2), -slope)
    (left, top), (right, bottom) = turned.min(axis=0), turned.max(axis=0)
    return rotate(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), slope)


def line_slope(points: Floats, angle: float) -> float:
    """Return a line's slope in degrees: its pieces' own where they are long enough to tell, else the page's."""
    return slant(points) or angle
