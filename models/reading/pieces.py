"""Cutting a detector's fragments into pieces that are read one by one: at gutters, and at the gaps between cells.

A fragment, as a piece, is a quadrilateral (4, 2) in pixels, clockwise from the corner at the start of the text.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.reading.blocks import Floats, Indices, blocks
from models.reading.geometry import slant, upright_boxes

CELL_GAP = 0.9  # widest gap within a piece, in heights of its fragment: across more, a recogniser loses spaces
MARGIN = 0.2  # paper left and right of a piece that was cut out of a fragment, in heights


def cut_pieces(fragments: Floats, runs: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Cut fragments (n, 4, 2) where a gutter or the gap between two cells runs through them.

    `runs` holds for each fragment the starts and ends of its ink as shares of its length. Returns the pieces, bounded
    by their ink, and what to read of each: the same with the paper around it, both (m, 4, 2).
    """
    if not len(fragments):
        return fragments, fragments
    owner = np.repeat(np.arange(len(fragments)), [len(parts) for parts in runs])
    spans = np.concatenate(list(runs))
    tight = parts_of(fragments[owner], spans)
    block = _block_numbers(tight)
    sizes = lengths(fragments)[owner]
    aspect = sizes[:, 1] / np.maximum(sizes[:, 0], 1e-6)  # a height as a share of the length
    gaps = (spans[1:, 0] - spans[:-1, 1]) / np.maximum(aspect[1:], 1e-6)
    apart = (owner[1:] != owner[:-1]) | (block[1:] != block[:-1]) | (gaps > CELL_GAP)
    firsts = np.flatnonzero(np.append(True, apart))
    lasts = np.append(firsts[1:], len(spans)) - 1
    starts, ends = spans[firsts, 0], spans[lasts, 1]
    margins = MARGIN * aspect[firsts]
    outer = np.stack([starts - margins, ends + margins], axis=1)
    outer[np.append(True, owner[firsts][1:] != owner[firsts][:-1]), 0] = 0.0
    outer[np.append(owner[firsts][1:] != owner[firsts][:-1], True), 1] = 1.0
    whole = fragments[owner[firsts]]
    return parts_of(whole, np.stack([starts, ends], axis=1)), parts_of(whole, outer)


def _block_numbers(points: Floats) -> Indices:
    numbers = np.zeros(len(points), np.intp)
    boxes = upright_boxes(points, slant(points))
    for number, members in enumerate(blocks(boxes, np.zeros(len(boxes), np.bool_), np.arange(len(boxes)))):
        numbers[members] = number
    return numbers


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
