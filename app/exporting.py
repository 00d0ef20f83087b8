"""Renders answers in the formats of exports. The searchable PDF of a PDF is the file as it is, with the text that was
read laid over the pages that were read."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

from app.decoding.documents import Pages, PdfPages
from app.errors import InvalidImage
from app.exports import EXPORTS, Document, Page, pdf
from app.exports.raster import Jpeg
from app.types import Answer
from models.found import Line
from models.reading.text_layer import Row

log = logging.getLogger(__name__)

_COVERED = 0.5
"""Share of a line's words that stand on the page already, from which the line is left out."""


def export(
    answer: Answer, format: str, data: bytes, open_file: Callable[..., Pages], before_page: Callable[[], None]
) -> bytes:
    """Render what was said of a file.

    Args:
        answer: what was said.
        format: a name of EXPORTS.
        data: the file.
        open_file: opens it as pages, of which `count_to` are counted.
        before_page: is called before each page that is decoded: the PDF asks for pixels.
    """
    with ExitStack() as stack:
        count_to = max(page.number for page in answer.pages) + 1
        file = cache(lambda: stack.enter_context(open_file(count_to=count_to)))

        def image(number: int) -> Image.Image:
            before_page()
            return file().image(number)

        if format == "pdf" and isinstance(pages := file(), PdfPages):
            made = searchable(data, pages, answer)
            if made is not None:
                return made
        mode = file().jpeg if format == "pdf" else None
        return EXPORTS[format].render(Document.of(answer, image, None if mode is None else Jpeg(data, mode)))


def searchable(data: bytes, file: PdfPages, answer: Answer) -> bytes | None:
    """Return a PDF in which all that was read is found; None if the file is too broken to be written again.

    Args:
        data: the file.
        file: its pages.
        answer: what was said of them. A page whose text was taken from the file gets none again.
    """
    numbers = [page.number for page in answer.pages]
    read = [page for page in answer.pages if page.is_read and page.lines]
    if not read and numbers == list(range(file.count)):
        return data
    pages = Document.of(replace(answer, pages=tuple(read)), file.image).pages
    layers = pdf.layers(
        [_without_double(page, file.text(said.number).rows) for page, said in zip(pages, read, strict=True)]
    )
    try:
        return file.laid_over(layers, [page.number for page in read], numbers)
    except InvalidImage as error:
        log.warning("the PDF is made of images of its pages: %s", error.detail)
        return None


def _without_double(page: Page, rows: tuple[Row, ...]) -> Page:
    """Leave lines out that stand on a page as text already, such as a stamp on a scan."""
    words = [(_folded(word), row, (start + end) / 2) for row in rows for word, start, end in row.words]
    return replace(page, lines=tuple(line for line in page.lines if not _stands(line, words)))


def _stands(line: Line, words: list[tuple[str, Row, float]]) -> bool:
    """Tell whether most words of a line are among the words that stand where the line is."""
    (left, top), (right, bottom) = np.min(line.polygon, axis=0), np.max(line.polygon, axis=0)
    there = set()
    for word, row, middle in words:
        x, y = _at(row, middle)
        if left <= x <= right and top <= y <= bottom:
            there.add(word)
    own = [_folded(word) for word in line.text.split()]
    return sum(word in there for word in own) >= _COVERED * len(own)


def _at(row: Row, share: float) -> tuple[float, float]:
    a, b, c, d = row.polygon
    x, y = (((a[axis] + d[axis]) * (1 - share) + (b[axis] + c[axis]) * share) / 2 for axis in (0, 1))
    return x, y


def _folded(word: str) -> str:
    return word.strip(".,:;").casefold()
