"""What all export formats share: documents, their pages, and text that every format can contain."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Self

from PIL import Image

from app.exports.raster import Jpeg
from app.types import Answer
from models.found import Line

PRODUCER = "Image to Text"


@dataclass(frozen=True)
class Page:
    """An upright page: its size in pixels, the lines found on it in reading order, and how to get its RGB image.

    Only the PDF uses the image, one page at a time, so that a document of many pages is never in memory as a whole.
    """

    width: int
    height: int
    lines: tuple[Line, ...]
    image: Callable[[], Image.Image]
    points: tuple[float, float] | None = None
    """Width and height on paper in points of 1/72 inch, where they are known."""
    jpeg: Jpeg | None = None
    """A JPEG that is the image as it is."""

    @property
    def paragraphs(self) -> list[list[Line]]:
        """The lines that have any text, by the paragraph they belong to."""
        lines = (line for line in self.lines if printable(line.text))
        return [list(group) for _, group in groupby(lines, key=lambda line: line.paragraph)]


@dataclass(frozen=True)
class Document:
    """The output of one model for one or more pages."""

    pages: tuple[Page, ...]
    text: str
    model: str

    @classmethod
    def of(cls, answer: Answer, image: Callable[[int], Image.Image], jpeg: Jpeg | None = None) -> Self:
        """Return the document of an answer; `image` returns a page of its file, by the number counted from 0, and
        `jpeg` is the only one of them as it is."""
        pages = tuple(
            Page(page.width, page.height, page.lines or (), partial(image, page.number), page.points, jpeg)
            for page in answer.pages
        )
        return cls(pages, answer.text, answer.model)

    @property
    def caption(self) -> str:
        """The text of a document without lines, such as a caption; empty for a document with lines."""
        if any(page.paragraphs for page in self.pages):
            return ""
        return "\n".join(map(printable, self.text.splitlines())).strip("\n")


@dataclass(frozen=True)
class Export:
    """A format: its media type, its file extension, and the function that writes a document in it."""

    mimetype: str
    extension: str
    render: Callable[[Document], bytes]


# Characters that end a line, a page or a table cell in one of the formats.
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
# Characters that XML 1.0 forbids or discourages (section 2.2), and that the other formats cannot show either.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Return `text` on one line, without spaces around it. U+FFFD replaces control characters and noncharacters."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", _BREAKS.sub(" ", text)).strip()
