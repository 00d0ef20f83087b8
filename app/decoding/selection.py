"""Selects pages of a file, and a region of each page; converts what is said of them to the file."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from app.decoding.documents import Pages, Text
from app.errors import InvalidOption
from app.types import PageRanges
from models.found import Box
from models.reading.text_layer import within


def furthest(ranges: PageRanges, most: int) -> int:
    """Return the last page that ranges may need, counted from 1, where `most` pages may be asked for."""
    return max(first + most if last is None else last for first, last in ranges)


def selected(pages: Pages, ranges: PageRanges | None, region: Box | None, most: int) -> Pages:
    """Return the pages, and the region of each, that a client asks for.

    Args:
        pages: those of the file.
        ranges: which of them; None for all.
        region: the part of each in fractions of its width and height; None for all of it.
        most: how many pages may be asked for.

    Raises:
        InvalidOption: the file has no such page, or they are too many.
    """
    if ranges is None and region is None:
        return pages
    selection = _Selection(pages, ranges, region)
    if ranges is not None and selection.count > most:
        raise InvalidOption(f"pages: these are more than the {most} pages allowed: ask for fewer, or see MAX_PAGES")
    return selection


class _Selection(Pages):
    """Pages that show only what a client asks for."""

    def __init__(self, pages: Pages, ranges: PageRanges | None, region: Box | None) -> None:
        self._pages = pages
        self._region = region
        self._numbers = _numbers(ranges, pages.count)
        self.format = pages.format
        self.count = len(self._numbers)

    def close(self) -> None:
        """Close the file in the worker that has it open."""
        self._pages.close()

    @property
    def numbers(self) -> Sequence[int]:
        """The number in the file of each selected page, counted from 0."""
        return self._numbers

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the pages that were decoded so far."""
        return self._pages.warnings

    def image(self, number: int) -> Image.Image:
        """Return the part of a page as an RGB image."""
        image = self._pages.image(self._numbers[number])
        if self._region is None:
            return image
        (width, height), (x0, y0, x1, y1) = image.size, self._region
        left, top = int(x0 * width), int(y0 * height)
        return image.crop((left, top, max(left + 1, round(x1 * width)), max(top + 1, round(y1 * height))))

    def text(self, number: int) -> Text | None:
        """Return the text of the part of a page: its words whose middles lie within, at their places there."""
        text = self._pages.text(self._numbers[number])
        if text is None or self._region is None:
            return text
        (width, height), (x0, y0, x1, y1) = text.size, self._region
        rows = tuple(row for whole in text.rows if (row := within(whole, self._region)))
        return replace(text, rows=rows, size=((x1 - x0) * width, (y1 - y0) * height))

    def size(self, number: int) -> tuple[int, int]:
        """Return the width and height in pixels of the whole page."""
        return self._pages.size(self._numbers[number])

    def points(self, number: int) -> tuple[float, float] | None:
        """Return the width and height of the whole page in points of 1/72 inch, or None if they are not known."""
        return self._pages.points(self._numbers[number])


def _numbers(ranges: PageRanges | None, count: int) -> list[int]:
    if ranges is None:
        return list(range(count))
    numbers: dict[int, None] = {}
    for first, last in ranges:
        if first > count:
            raise InvalidOption(f"pages: there is no page {first}, the file has {count}")
        numbers |= dict.fromkeys(range(first - 1, min(last or count, count)))
    return list(numbers)
