"""Places on a file and its pages, of what was found on a part of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from app.types import Answer, Page
from models.found import Box, Checkbox, Line, Part, Polygon

_Found = TypeVar("_Found", Line, Part, Checkbox)


def placed(answer: Answer, numbers: Sequence[int], region: Box | None) -> Answer:
    """Convert an answer about selected pages, or a region of each, to one about the file.

    Args:
        answer: about the selected pages.
        numbers: the number in the file of each selected page, counted from 0.
        region: the region of each page; None for all of it.
    """
    pages = [replace(page, number=numbers[page.number]) for page in answer.pages]
    if region is not None:
        pages = [_in_region(page, region) for page in pages]
    return replace(answer, pages=tuple(pages))


def _in_region(page: Page, region: Box) -> Page:
    """Convert the lines and boxes of a page from fractions of a region to fractions of the page."""
    left, top, right, bottom = region

    def x(value: float) -> float:
        return left + value * (right - left)

    def y(value: float) -> float:
        return top + value * (bottom - top)

    def moved(found: _Found) -> _Found:
        a, b, c, d = ((x(point[0]), y(point[1])) for point in found.polygon)
        return replace(found, polygon=(a, b, c, d))

    def moved_line(line: Line) -> Line:
        parts, checkboxes = tuple(map(moved, line.parts)), tuple(map(moved, line.checkboxes))
        return replace(moved(line), parts=parts, checkboxes=checkboxes)

    lines = page.lines and tuple(map(moved_line, page.lines))
    entities = page.entities and tuple(
        replace(entity, boxes=tuple((x(x0), y(y0), x(x1), y(y1)) for x0, y0, x1, y1 in entity.boxes))
        for entity in page.entities
    )
    return replace(page, lines=lines, entities=entities)


def with_words(line: Line, read: Iterable[Line], size: tuple[int, int], margin: float) -> Line:
    """Return a line with the parts that a reader found in the crop of it, placed on the page.

    Args:
        line: as it was found on the page.
        read: what was read in its crop.
        size: of the crop, width and height.
        margin: of the crop, in heights of the line.
    """
    width, height = size
    side = height * margin / (1 + 2 * margin)
    inner = max(width - 2 * side, 1.0)

    def along(value: float) -> float:
        return min(max((value * width - side) / inner, 0.0), 1.0)

    parts = tuple(
        type(part)(part.text, part.confidence, _between(line.polygon, along(xs[0]), along(xs[-1])))
        for each in read
        for part in each.parts
        for xs in [sorted(point[0] for point in part.polygon)]
    )
    return replace(line, parts=parts if len(parts) > 1 else ())


def _between(polygon: Polygon, start: float, end: float) -> Polygon:
    """Return the part of a line's polygon from one place along it to another, in fractions of its length."""
    a, b, c, d = polygon

    def at(first: tuple[float, float], last: tuple[float, float], share: float) -> tuple[float, float]:
        return first[0] + (last[0] - first[0]) * share, first[1] + (last[1] - first[1]) * share

    return at(a, b, start), at(a, b, end), at(d, c, end), at(d, c, start)
