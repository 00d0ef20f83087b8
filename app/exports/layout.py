"""Where blocks, lines and words lie on a page, in pixels of the upright image; y grows downward.

Models give a quadrilateral for each line, or for each part of it that stands apart.  A word's share of that is its
share of the characters.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from app.exports.base import Page, printable
from app.exports.direction import right_to_left
from models.found import Line, Polygon

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]

_DESCENT = 0.25
"""The height of the baseline above the lower edge of a line, as a fraction of the line's height. Models do not give it;
this was measured on print."""


class Box(NamedTuple):
    """An upright box in whole pixels. `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True)
class Word:
    """A stretch of text without spaces."""

    text: str
    box: Box


@dataclass(frozen=True)
class TextLine:
    """A line of text. Its corners are clockwise from the top left corner of the text held upright."""

    text: str
    confidence: float
    corners: Corners
    box: Box
    words: tuple[Word, ...]
    parts: tuple["TextLine", ...] = ()
    """What stands apart on the line, from its start to its end; empty where nothing does."""

    @property
    def middle(self) -> tuple[Point, Point]:
        """The line through the middle of the text, from its left end to its right end."""
        top_left, top_right, bottom_right, bottom_left = self.corners
        return _between(top_left, bottom_left, 0.5), _between(top_right, bottom_right, 0.5)

    @property
    def angle(self) -> float:
        """The direction of the text in radians, clockwise: 0 runs to the right, pi / 2 downward."""
        (x0, y0), (x1, y1) = self.middle
        return math.atan2(y1 - y0, x1 - x0)

    @property
    def baseline(self) -> tuple[Point, Point]:
        """The baseline of the characters, from the left end to the right end."""
        top_left, top_right, bottom_right, bottom_left = self.corners
        return _between(bottom_left, top_left, _DESCENT), _between(bottom_right, top_right, _DESCENT)

    @property
    def right_to_left(self) -> bool:
        return right_to_left(self.text)


@dataclass(frozen=True)
class Block:
    """The lines of a paragraph, and the box around them."""

    lines: tuple[TextLine, ...]
    box: Box


def blocks(page: Page) -> list[Block]:
    """Return the paragraphs of a page in reading order; lines without text are left out."""
    found = []
    for paragraph in page.paragraphs:
        lines = tuple(place(line, page) for line in paragraph)
        found.append(Block(lines, _around(line.box for line in lines)))
    return found


def place(line: Line, page: Page) -> TextLine:
    """Return a line and its words in pixels."""
    text = printable(line.text)
    corners = _upright(_pixels(line.polygon, page), text)
    parts = tuple(place(Line(part.text, part.confidence, part.polygon), page) for part in line.parts)
    if parts:
        words = tuple(word for part in parts for word in part.words)
    else:
        words = tuple(Word(word, _box(_part(corners, start, end), page)) for word, start, end in _shares(text))
    box = _around([_box(corners, page), *(word.box for word in words)])
    return TextLine(text, _clamp(line.confidence), corners, box, words, parts)


def _pixels(polygon: Polygon, page: Page) -> Corners:
    a, b, c, d = ((_clamp(x) * page.width, _clamp(y) * page.height) for x, y in polygon)
    return a, b, c, d


def advances(text: str) -> list[int]:
    """Return the width of each character: 1, 2 for a wide East Asian character, or 0 for a combining mark."""
    return [
        0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    ]


def _shares(text: str) -> Iterator[tuple[str, float, float]]:
    """Yield each word, and where it begins and ends between the line's left end, 0, and its right end, 1."""
    reach = [0, *accumulate(advances(text))]
    whole = reach[-1] or 1
    backward = right_to_left(text)
    for match in re.finditer(r"\S+", text):
        start, end = reach[match.start()] / whole, reach[match.end()] / whole
        yield (match[0], 1 - end, 1 - start) if backward else (match[0], start, end)


def _upright(corners: Corners, text: str) -> Corners:
    """Rotate the corners of a tall line, whose text is assumed to run downward, as models for lines assume too."""
    a, b, c, d = corners
    tall = math.dist(a, d) + math.dist(b, c) >= 1.5 * (math.dist(a, b) + math.dist(d, c))
    return (b, c, d, a) if tall and len(text) > 1 else corners


def _part(corners: Corners, start: float, end: float) -> Corners:
    a, b, c, d = corners
    return _between(a, b, start), _between(a, b, end), _between(d, c, end), _between(d, c, start)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _box(corners: Corners, page: Page) -> Box:
    """Return the box around, at least one pixel wide and high and on the page."""
    xs, ys = zip(*corners, strict=True)
    left, top = min(round(min(xs)), page.width - 1), min(round(min(ys)), page.height - 1)
    return Box(left, top, max(round(max(xs)), left + 1), max(round(max(ys)), top + 1))


def _around(boxes: Iterable[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)
