"""Cutting a page into blocks that are read one after the other: geometry of boxes only.

The method is the recursive XY-cut (Nagy, Seth and Viswanathan, 1992) along the white space between boxes (Breuel, "Two
Geometric Algorithms for Layout Analysis", 2002): a blank strip that runs down between boxes is a gutter if what stands
on its two sides is read apart. Columns of running text are; so are blocks of short lines, such as the address and the
date of a letter, unless their rows belong together, as those of a table or a receipt do.

Boxes are (n, 4): left, top, right, bottom in pixels of the upright page, with their left and right edges at the ink.
A column of amounts belongs to what stands to its left.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.reading.amounts import Kinds
from models.reading.geometry import Floats, Indices, blank_strips, row_middles, typical_height
from models.reading.headings import GUTTER, first_heading, is_split, right_edge
from models.reading.panels import find_panels
from models.reading.sides import PROSE_ROWS, are_blocks, are_captions, are_columns, number_beside
from models.reading.tables import find_tables, is_price_list, side_by_side
from models.reading.word_tables import find_word_tables

OVERLAP = 0.15  # share of a box's height that may reach into the row above, and the row below
# All in heights of a fragment, which is about 1.2 times the size of the font.
MOST_ENDS = 100  # of a block in columns that are tried: a page of text has fewer rows, a map or a drawing any number
BELOW = 0.4  # blank space, more than the usual one between rows, above what comes after two blocks side by side
NUMBER_WIDTH = 5.0  # widest number of a page
USUAL_GAP, CLOSE_GAP = 0.5, 0.25  # quantiles of the gaps between rows: the usual one, and one between close rows
SECTION_GAP = 0.7  # blank space, more than the usual one between rows, between blocks of short lines


class Block(NamedTuple):
    """Boxes that are read together, row by row."""

    members: Indices
    rows: Sequence[Indices] | None = None  # of a table


def blocks(boxes: Floats, kinds: Kinds, members: Indices) -> list[Block]:
    """Cut boxes into blocks in reading order. A table is one; so is what spans columns, as a heading does."""
    bands, height = cut_bands(boxes, members), typical_height(boxes)
    panels = find_panels(boxes, kinds.amounts, bands, height)
    if panels is not None:
        parts = panel_by_panel(boxes, bands, *panels)
        return [block for part in parts for block in blocks(boxes, kinds, part)]
    found: list[Block] = []
    start = 0
    for first, last, rows in find_tables(boxes, kinds.amounts, bands):
        found += columns(boxes, kinds, bands[start:first], height)
        for part in side_by_side(boxes, kinds.amounts, np.concatenate(rows), height):
            own = [row[np.isin(row, part)] for row in rows if np.isin(row, part).any()]
            found.append(Block(part, None if is_price_list(boxes, kinds.amounts, own, height) else own))
        start = last
    return found + columns(boxes, kinds, bands[start:], height)


def panel_by_panel(boxes: Floats, bands: list[Indices], first: int, last: int, gutter: float) -> list[Indices]:
    """Return what is above two panels, each of them, and what is below."""
    beside = np.concatenate(bands[first:last])
    left = boxes[beside, 2] <= gutter
    parts = bands[:first], [beside[left]], [beside[~left]], bands[last:]
    return [np.concatenate(part) for part in parts if part]


def columns(boxes: Floats, kinds: Kinds, bands: list[Indices], height: float) -> list[Block]:
    """Cut bands without tables into columns, and what spans these into sections."""
    found: list[Block] = []
    rest: list[Indices] = []
    while bands:
        count, gutter = column_bands(boxes, kinds, bands, height)
        # A heading may reach into the gutter below it, and leave too little of it.
        if 0 < count < len(bands) and len(bands[0]) == 1:
            count = 0 if column_bands(boxes, kinds, bands[1:], height)[0] >= count else count
        if not count:
            rest.append(bands[0])
            bands = bands[1:]
            continue
        found += in_rows(boxes, kinds, sections(boxes, kinds, rest, height), height)
        block, bands, rest = np.concatenate(bands[:count]), bands[count:], []
        left = boxes[block, 2] <= gutter
        found += blocks(boxes, kinds, block[left]) + blocks(boxes, kinds, block[~left])
    return found + in_rows(boxes, kinds, sections(boxes, kinds, rest, height), height)


def in_rows(boxes: Floats, kinds: Kinds, parts: Sequence[Indices], height: float) -> list[Block]:
    """Return parts of a page that are read row by row as blocks, their tables apart."""
    found: list[Block] = []
    for part in parts:
        bands, start = cut_bands(boxes, part), 0
        for first, last, rows in find_word_tables(boxes, kinds.to_tick, bands, height):
            found += [Block(np.concatenate(bands[start:first]))] if first > start else []
            found.append(Block(np.concatenate(rows), rows))
            start = last
        found += [Block(np.concatenate(bands[start:]))] if start < len(bands) else []
    return found


def cut_bands(boxes: Floats, members: Indices) -> list[Indices]:
    """Cut boxes at every blank strip across the page: bands from top to bottom, each of one or more rows."""
    # The boxes of rows that are set close overlap a little.
    margin = OVERLAP * (boxes[members, 3] - boxes[members, 1])
    starts, _ = blank_strips(boxes[members, 1] + margin, boxes[members, 3] - margin)
    band = np.searchsorted(starts, boxes[members, 3] - margin, side="left")
    return [members[band == number] for number in range(len(starts) + 1)]


def column_bands(boxes: Floats, kinds: Kinds, bands: list[Indices], height: float) -> tuple[int, float]:
    """Return how many of the bands, from the first on, stand in columns, and the x of their gutter; 0 for none."""
    every = boxes[np.concatenate(bands)]
    left, right = every[:, 0].min() - height, every[:, 2].max() + height
    cut: list[int] = []
    for end in range(1, len(bands) + 1):
        members = np.concatenate(bands[:end])
        low, high = np.append(boxes[members, 0], right), np.append(boxes[members, 2], right)
        _, widths = blank_strips(np.append(low, left), np.append(high, left))
        if (widths[1:-1] >= GUTTER * height).any():
            cut.append(end)
        elif not (widths[[0, -1]] > 2 * height).any():
            # Strips only shrink as bands are added: without one, the margins included, no gutter can follow.
            break
    tried = cut[:: -(-len(cut) // MOST_ENDS)][::-1] if cut else []
    for end in dict.fromkeys([*cut[-1:], *tried]):
        gutter = find_gutter(boxes, kinds, np.concatenate(bands[:end]), height, columns=True)
        if gutter is None:
            continue
        edge = right_edge(boxes, bands[:end], gutter)
        split = next((number for number in range(end) if is_split(boxes, bands[number], gutter, height, edge)), None)
        if split is not None:
            before = find_gutter(boxes, kinds, np.concatenate(bands[:split]), height, columns=True) if split else None
            return (split, before) if before is not None else (0, 0.0)
        heading = first_heading(boxes, bands[:end], gutter, height)
        above = find_gutter(boxes, kinds, np.concatenate(bands[:heading]), height, columns=True) if heading else None
        if above is not None:
            return heading, above
        return end - ends_in_number(boxes, bands[:end], height), gutter
    return 0, 0.0


def ends_in_number(boxes: Floats, bands: list[Indices], height: float) -> bool:
    """Tell whether the last of some bands is what stands alone below the middle of a page, as its number does."""
    if len(bands) < PROSE_ROWS or len(bands[-1]) > 1:
        return False
    every, (left, top, right, _) = boxes[np.concatenate(bands)], boxes[bands[-1][0]]
    middle = float(every[:, 0].min() + every[:, 2].max()) / 2
    gap = float(top - boxes[np.concatenate(bands[:-1]), 3].max())
    return bool(
        right - left <= NUMBER_WIDTH * height and gap >= height and abs((left + right) / 2 - middle) <= 2 * height
    )


def sections(boxes: Floats, kinds: Kinds, bands: list[Indices], height: float) -> list[Indices]:
    """Cut bands without columns where blocks of short lines stand side by side, between one wide gap and the next."""
    return _joined(_sections(boxes, kinds, bands, height, USUAL_GAP))


def _sections(boxes: Floats, kinds: Kinds, bands: list[Indices], height: float, usual: float) -> list[Indices]:
    """Return the sections, with an empty one before and after each block of short lines."""
    found: list[Indices] = []
    for part in cut_sections(boxes, bands, height, usual):
        section = np.concatenate(part)
        gutter = find_gutter(boxes, kinds, section, height, columns=False)
        if gutter is None:
            # The lines of a short letter stand farther apart than those of its address.
            finer = _sections(boxes, kinds, part, height, CLOSE_GAP) if usual > CLOSE_GAP else []
            found += finer if any(not len(block) for block in finer) else [section]
            continue
        count = end_of_blocks(boxes, part, gutter, height)
        section, below = np.concatenate(part[:count]), part[count:]
        left = boxes[section, 2] <= gutter
        for side in (section[left], section[~left]):
            found += [np.array([], np.intp), *sections(boxes, kinds, [side], height), np.array([], np.intp)]
        found += _sections(boxes, kinds, below, height, usual) if below else []
    return found


def end_of_blocks(boxes: Floats, bands: list[Indices], gutter: float, height: float) -> int:
    """Return how many of the bands belong to two blocks side by side: what stands below the right one, and a little
    apart from the left one, comes after both."""
    gaps = [float(boxes[below, 1].min() - boxes[above, 3].max()) for above, below in pairwise(bands)]
    limit = float(np.median([0.0, *gaps])) + BELOW * height
    beside = [number for number, band in enumerate(bands) if (boxes[band, 0] > gutter).any()]
    return next((number for number in range(beside[-1] + 1, len(bands)) if gaps[number - 1] > limit), len(bands))


def _joined(parts: list[Indices]) -> list[Indices]:
    """Join what follows one another; an empty part keeps its neighbours apart."""
    joined: list[list[Indices]] = [[]]
    for part in parts:
        joined += [[]] if not len(part) else []
        joined[-1] += [part] if len(part) else []
    return [np.concatenate(block) for block in joined if block]


def cut_sections(boxes: Floats, bands: list[Indices], height: float, usual: float) -> list[list[Indices]]:
    """Join bands that follow one another as closely as rows do: as that share of the gaps between them, at most."""
    if not bands:
        return []
    gaps = [float(boxes[below, 1].min() - boxes[above, 3].max()) for above, below in pairwise(bands)]
    # Rows of one band overlap: those side by side that do not meet.
    within = [0.0] * sum(len(row_middles(boxes[band], height)) - 1 for band in bands)
    limit = max(float(np.quantile([*gaps, *within], usual)), 0.0) + SECTION_GAP * height if gaps else 0.0
    joined = [[bands[0]]]
    for gap, band in zip(gaps, bands[1:], strict=True):
        joined += [[]] if gap > limit else []
        joined[-1].append(band)
    return joined


def find_gutter(boxes: Floats, kinds: Kinds, members: Indices, height: float, columns: bool) -> float | None:
    """Return the x of the widest blank strip that separates columns of running text, or blocks of short lines."""
    starts, widths = blank_strips(boxes[members, 0], boxes[members, 2])
    starts, widths = starts[widths >= GUTTER * height], widths[widths >= GUTTER * height]
    place = np.searchsorted(starts, boxes[members, 2], side="left")
    strips = [members[place == number] for number in range(len(starts) + 1)]
    for index in np.argsort(-widths, kind="stable"):
        left, right = strips[index], strips[index + 1]
        gap = float(widths[index])
        whole = members[place <= index], members[place > index]
        amounts = number_beside(kinds.amounts, left, right) or bool(kinds.amounts[whole[1]].mean() > 0.5)
        if columns:
            # A column of numbers is no running text: neither prices nor the dates before entries.
            found = not amounts and are_columns(boxes[left], boxes[right], gap, height)
        else:
            found = are_captions(boxes, kinds.captions, whole) or are_blocks(boxes, whole, amounts, gap, height)
        if found:
            return float(starts[index])
    return None
