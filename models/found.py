"""What is found on an image, and where: lines of text, check boxes, and the objects of phrases.

Boxes are `[x0, y0, x1, y1]` in fractions of the upright image's width and height; polygons are four points, likewise,
clockwise from the top left.
"""

from dataclasses import dataclass
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
    """A run of a line's text that stands apart on the image, or a cell of a table, whose `column` counts from 0."""

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
