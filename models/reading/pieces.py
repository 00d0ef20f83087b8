"""Cutting a detector's fragments into pieces that are read one by one: at gutters, and at the gaps between cells.

A fragment, as a piece, is a quadrilateral (4, 2) in pixels, clockwise from the corner at the start of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reading.amounts import unknown
from models.reading.blocks import blocks
from models.reading.geometry import Flags, Floats, Indices, askew, slant, typical_height, upright_boxes
from models.reading.streams import between_cells
from models.reading.tables import column_numbers

CELL_GAP = 0.9  # widest gap within a piece, in heights of its fragment
WIDER = 1.3  # by how much a gap between two columns of a table is wider than the spaces of its fragment, at least


@dataclass(frozen=True)
class Pieces:
    """The parts of fragments that belong to one block and one cell each."""

    polygons: Floats  # (n, 4, 2), pixels, bounded by their ink
    owners: Indices  # (n,), the fragment of each; those of one fragment follow one another
    bounds: Floats  # (n, 2), shares of the fragment's length between which the piece and the paper around it lie


def cut_pieces(fragments: Floats, runs: Sequence[Floats]) -> Pieces:
    """Cut fragments (n, 4, 2) where a gutter or the gap between two cells runs through them.

    `runs` holds for each fragment the starts and ends of its ink as shares of its length.
    """
    if not len(fragments):
        return Pieces(fragments, np.zeros(0, np.intp), np.zeros((0, 2)))
    owner = np.repeat(np.arange(len(fragments)), [len(parts) for parts in runs])
    spans = np.concatenate(list(runs))
    tight = parts_of(fragments[owner], spans)
    boxes = upright_boxes(tight, slant(tight))
    # Fragments of one run each can be cut nowhere.
    place = _places(tight, boxes) if len(spans) > len(fragments) else np.zeros((len(spans), 2), np.intp)
    sizes = lengths(fragments)[owner]
    aspect = sizes[:, 1] / np.maximum(sizes[:, 0], 1e-6)  # a height as a share of the length
    gaps = (spans[1:, 0] - spans[:-1, 1]) / np.maximum(aspect[1:], 1e-6)
    other = owner[1:] != owner[:-1]
    cells = between_cells(boxes, owner, np.where(other, np.inf, gaps))
    block, column = (place[1:] != place[:-1]).T
    apart = (
        other | block | (column & (gaps > WIDER * widest(owner, gaps, ~other & ~column))) | (gaps > CELL_GAP) | cells
    )
    firsts = np.flatnonzero(np.append(True, apart))
    lasts = np.append(firsts[1:], len(spans)) - 1
    middles = (spans[1:, 0] + spans[:-1, 1]) / 2
    starts = np.append(-np.inf, np.where(other, -np.inf, middles))[firsts]
    ends = np.append(np.where(other, np.inf, middles), np.inf)[lasts]
    inked = np.stack([spans[firsts, 0], spans[lasts, 1]], axis=1)
    owners = owner[firsts]
    return Pieces(parts_of(fragments[owners], inked), owners, np.stack([starts, ends], axis=1))


def _places(points: Floats, boxes: Floats) -> Indices:
    """Return the block of each part of a fragment, and in a table its column (n, 2)."""
    places = np.zeros((len(points), 2), np.intp)
    # What is written across the page says nothing of its blocks.
    along = np.flatnonzero(~askew(points))
    for number, (members, rows) in enumerate(blocks(boxes, unknown(len(boxes)), along)):
        places[members, 0] = number
        if rows is not None:
            places[members, 1] = column_numbers(boxes, rows, typical_height(boxes))[members]
    return places


def widest(owner: Indices, gaps: Floats, chosen: Flags) -> Floats:
    """Return for each gap (n - 1,) the width of the widest chosen one in its fragment; 0 where there is none."""
    found = np.zeros(int(owner.max()) + 1)
    np.maximum.at(found, owner[:-1][chosen], gaps[chosen])
    return np.asarray(found[owner[:-1]])


def parts_of(polygons: Floats, spans: Floats) -> Floats:
    """Return of each polygon (n, 4, 2) the part from one share (n, 2) of its length to another."""
    a, b, c, d = polygons.transpose(1, 0, 2)
    start, end = spans[:, :1], spans[:, 1:]
    corners = (a + (b - a) * start, a + (b - a) * end, d + (c - d) * end, d + (c - d) * start)
    return np.stack(corners, axis=1)


def lengths(polygons: Floats) -> NDArray[np.float64]:
    """Return lengths and heights (n, 2) of polygons (n, 4, 2) in pixels."""
    along = np.linalg.norm(polygons[:, 1] - polygons[:, 0], axis=1)
    return np.stack([along, np.linalg.norm(polygons[:, 3] - polygons[:, 0], axis=1)], axis=1)
