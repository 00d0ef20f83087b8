"""What is found on an image, and where: lines of text, check boxes, and the objects of phrases.

Boxes are `[x0, y0, x1, y1]` in fractions of the upright image's width and height; polygons are four points, likewise,
clockwise from the top left.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Polygon = tuple[Point, Point, Point, Point]

WHOLE_IMAGE: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Entity:
    """A phrase of the text, `text[span[0]:span[1]]`, and the boxes of the objects that it names."""

    phrase: str
    span: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a line's text that stands apart on the image, or a line of a table's cell; `column` counts from 0."""

    text: str
    confidence: float
    polygon: Polygon
    column: int = 0


@dataclass(frozen=True, slots=True)
class Checkbox:
    """A check box on the image: ☐ or ☑ in the text."""

    state: Literal["selected", "unselected"]
    polygon: Polygon


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text on the image. `confidence` is between 0 and 1; paragraphs count from 0 in reading order.

    `parts` are the runs of text that the line is made of, from its start to its end, where there are several or the
    line is the row of a table. All lines of a paragraph are rows of one table, or none is.
    """

    text: str
    confidence: float
    polygon: Polygon
    paragraph: int = 0
    parts: tuple[Part, ...] = ()
    is_row: bool = False
    checkboxes: tuple[Checkbox, ...] = ()

    def cells(self) -> list[Part]:
        """Return the cells of a row: its parts, those of one column as one."""
        return [_joined(list(parts)) for _, parts in groupby(self.parts, lambda part: part.column)]


def _joined(parts: list[Part]) -> Part:
    """Return the lines of a cell as one part."""
    if len(parts) == 1:
        return parts[0]
    letters = sum(len(part.text) for part in parts)
    confidence = sum(len(part.text) * part.confidence for part in parts) / max(letters, 1)
    text = " ".join(part.text for part in parts)
    return Part(text, confidence, _around([part.polygon for part in parts]), parts[0].column)


def _around(polygons: list[Polygon]) -> Polygon:
    """Return the rectangle around polygons; its corners are in the order of the first one's."""
    xs, ys = zip(*(point for polygon in polygons for point in polygon), strict=True)
    a, _, c, _ = polygons[0]
    (left, right), (top, bottom) = ((min(each), max(each)) for each in (xs, ys))

    def corner(point: Point) -> Point:
        return right if 2 * point[0] > a[0] + c[0] else left, bottom if 2 * point[1] > a[1] + c[1] else top

    a, b, c, d = map(corner, polygons[0])
    return a, b, c, d
