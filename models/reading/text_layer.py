"""From rows whose text is known, as those of a PDF, to lines in reading order: the order of a page that is read."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from models.found import Box, Line, Part, Polygon
from models.reading.amounts import kinds_of
from models.reading.geometry import Floats, turn_back
from models.reading.layout import Layout, arrange, line_polygon
from models.reading.pieces import cut_pieces, parts_of

GAP = 0.4  # narrowest gap between two runs of a row, in its heights, as between those of a fragment


@dataclass(frozen=True)
class Row:
    """Words that a file has in one go.

    Attributes:
        polygon: (4, 2) fractions of the page's width and height, clockwise from the corner at the start of the text.
        words: each with the shares of the row's length at which it starts and ends.
    """

    polygon: Polygon
    words: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, polygon: Sequence[Sequence[float]], words: Sequence[tuple[str, float, float]]) -> Self:
        """Check what another process says.

        Raises:
            TypeError, ValueError: it is none of this.
        """
        a, b, c, d = ((float(x), float(y)) for x, y in polygon)
        checked = tuple((str(word), float(start), float(end)) for word, start, end in words)
        numbers = *a, *b, *c, *d, *(side for _, *sides in checked for side in sides)
        if not checked or not all(map(math.isfinite, numbers)):
            raise ValueError("a row has words, and places that are numbers")
        return cls((a, b, c, d), checked)


def lines_of(rows: Sequence[Row], size: tuple[float, float], layout: Layout = "auto") -> list[Line]:
    """Return the lines of a page in reading order. Most rows run in one direction; those of each other follow.

    Args:
        rows: in any order.
        size: of the page, width and height in any unit.
        layout: as of a page that is read.
    """
    directions: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        directions[direction(np.array(row.polygon) * size)].append(row)
    lines: list[Line] = []
    for degrees, among in sorted(directions.items(), key=lambda item: -len(item[1])):
        first = lines[-1].paragraph + 1 if lines else 0
        lines += [replace(line, paragraph=first + line.paragraph) for line in _arranged(among, size, degrees, layout)]
    return lines


def within(row: Row, region: Box) -> Row | None:
    """Return the words of a row whose middles lie within a region of the page, in fractions of the region; None where
    there are none."""
    origin, size = np.array(region[:2]), np.array(region[2:]) - np.array(region[:2])
    polygon = np.array(row.polygon)
    start, along = polygon[[0, 3]].mean(axis=0), polygon[[1, 2]].mean(axis=0) - polygon[[0, 3]].mean(axis=0)

    def is_inside(word: tuple[str, float, float]) -> bool:
        middle = (start + along * (word[1] + word[2]) / 2 - origin) / size
        return bool(((middle >= 0) & (middle <= 1)).all())

    words = tuple(filter(is_inside, row.words))
    if not words:
        return None
    first, last = words[0][1], words[-1][2]
    length = max(last - first, 1e-6)
    cut = (parts_of(polygon[None], np.array([[first, last]]))[0] - origin) / size
    a, b, c, d = np.clip(cut, 0, 1).tolist()
    shares = tuple((word, (left - first) / length, (right - first) / length) for word, left, right in words)
    return Row((tuple(a), tuple(b), tuple(c), tuple(d)), shares)


def direction(polygon: Floats) -> int:
    """Return by how many degrees a polygon (4, 2) has to be turned clockwise to be upright: 0, 90, 180 or 270."""
    x, y = polygon[1] - polygon[0]
    return round(math.degrees(math.atan2(-y, x)) / 90) * 90 % 360


def _arranged(rows: Sequence[Row], size: tuple[float, float], degrees: int, layout: Layout) -> list[Line]:
    """Return the lines of rows that run in one direction."""
    # To turn back by the rest of a whole turn is to turn on.
    upright = turn_back(np.array([row.polygon for row in rows]), -degrees % 360)
    across = np.array(size if degrees % 180 == 0 else size[::-1])
    pieces = cut_pieces(
        upright * across, [_runs(row, polygon * across) for row, polygon in zip(rows, upright, strict=True)]
    )
    texts = [_between(rows[owner], *bounds) for owner, bounds in zip(pieces.owners, pieces.bounds, strict=True)]

    def place(polygon: Floats) -> Polygon:
        a, b, c, d = turn_back(np.clip(polygon / across, 0, 1), degrees).tolist()
        return tuple(a), tuple(b), tuple(c), tuple(d)

    lines = []
    for line in arrange(pieces.polygons, kinds_of(texts), layout):
        parts = tuple(
            Part(
                " ".join(texts[piece] for piece in cell),
                1.0,
                place(line_polygon(pieces.polygons[cell], 0.0) if len(cell) > 1 else pieces.polygons[cell[0]]),
                column,
            )
            for column, cell in line.parts()
        )
        is_row = line.places is not None
        text = " ".join(part.text for part in parts)
        kept = parts if len(parts) > 1 or is_row else ()
        lines.append(Line(text, 1.0, place(line.polygon), line.paragraph, kept, is_row))
    return lines


def _runs(row: Row, polygon: Floats) -> Floats:
    """Return starts and ends (n, 2) of the words that stand close together, as shares of the row's length."""
    length = max(float(np.linalg.norm(polygon[1] - polygon[0])), 1e-6)
    gap = GAP * float(np.linalg.norm(polygon[3] - polygon[0])) / length
    runs = [[row.words[0][1], row.words[0][2]]]
    for _, start, end in row.words[1:]:
        if start - runs[-1][1] >= gap:
            runs.append([start, end])
        else:
            runs[-1][1] = max(runs[-1][1], end)
    return np.array(runs, np.float64)


def _between(row: Row, start: float, end: float) -> str:
    """Return the words of a row whose middles lie between two shares of its length."""
    return " ".join(word for word, left, right in row.words if start <= (left + right) / 2 < end)
