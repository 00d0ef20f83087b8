"""A searchable PDF: each page is its image, with the text as an invisible layer over it.

ISO 32000-1. After a page is written, only its compressed image stays in memory.
"""

import io
import math
import re
import textwrap
from codecs import BOM_UTF16_BE
from collections.abc import Sequence

import pydyf  # type: ignore[import-untyped]

from app.exports import raster
from app.exports.base import PRODUCER, Document, Page
from app.exports.direction import visual_order
from app.exports.glyphless import GlyphlessFont
from app.exports.layout import TextLine, advances, blocks, place
from models.found import Line

DPI = 200
"""The assumed resolution of an image, which gives the size of the page: A4 has 1654 x 2339 pixels."""
# The longest and the shortest side of a page that readers must support, in points of 1/72 inch (annex C).
_LONGEST, _SHORTEST = 14400, 3
# The font size, as a fraction of the height of a line's quadrilateral. If it is larger, PDFium joins lines of close
# print into one; if it is smaller, pdftotext takes each line for a column.
_SIZE = 0.9
# The least width of a space and of a character of width 1 (see `advances`), as a fraction of the font size.
_NARROWEST = 0.2
# The rise of a slanted line from end to end, as a fraction of the font size, above which it needs `_actual_text`.
_DRIFT = 0.4
_CAPTION_WIDTH = 80
_INVISIBLE = 3


def render(document: Document) -> bytes:
    """Write a document.  The same document is always the same bytes: there is no date and no identifier in it."""
    pdf = pydyf.PDF()
    pdf.info["Producer"] = pydyf.String(PRODUCER)
    font = GlyphlessFont(pdf)
    for number, page in enumerate(document.pages):
        lines = [line for block in blocks(page) for line in block.lines]
        if number == 0 and document.caption:
            lines = _caption(document.caption, page)
        _add_page(pdf, page, lines, font)
    font.finish()
    output = io.BytesIO()
    pdf.write(output)
    return output.getvalue()


def layers(pages: Sequence[Page]) -> bytes:
    """Write the text of pages alone, which a PDF may lay over its own pages: each has the size of its page."""
    pdf = pydyf.PDF()
    font = GlyphlessFont(pdf)
    for page in pages:
        _add_page(pdf, page, [line for block in blocks(page) for line in block.lines], font, with_image=False)
    font.finish()
    output = io.BytesIO()
    pdf.write(output)
    return output.getvalue()


def _add_page(pdf: pydyf.PDF, page: Page, lines: list[TextLine], font: GlyphlessFont, with_image: bool = True) -> None:
    scale = _scale(page)
    width, height = page.width * scale, page.height * scale
    content = pydyf.Stream(compress=True)
    resources = {"Font": pydyf.Dictionary({"Text": font.dictionary.reference})}
    if with_image:
        image = raster.encode(page.image(), page.jpeg)
        pdf.add_object(image)
        resources["XObject"] = pydyf.Dictionary({"Image": image.reference})
        content.push_state()
        content.set_matrix(width, 0, 0, height, 0, 0)
        content.draw_x_object("Image")
        content.pop_state()
    pdf.add_object(content)
    content.begin_text()
    content.set_text_rendering(_INVISIBLE)
    for line in lines:
        _show(content, line, font, scale, height)
    content.end_text()
    pdf.add_page(
        pydyf.Dictionary(
            {
                "Type": "/Page",
                "Parent": pdf.pages.reference,
                "MediaBox": pydyf.Array([0, 0, width, height]),
                "Resources": pydyf.Dictionary(resources),
                "Contents": content.reference,
            }
        )
    )


def _scale(page: Page) -> float:
    """Return how many points a pixel is wide."""
    points = page.points[0] / page.width if page.points else 72 / DPI
    scale = max(points, _SHORTEST / min(page.width, page.height))
    return min(scale, _LONGEST / max(page.width, page.height))


def _show(content: pydyf.Stream, line: TextLine, font: GlyphlessFont, scale: float, page_height: float) -> None:
    """Write a line, each part of it that stands apart in its place, held together for readers that cut at gaps."""
    # No specification says how readers order right-to-left characters here.
    if held := (len(line.parts) > 1 or _leans(line, scale)) and not line.right_to_left:
        content.begin_marked_content("Span", _actual_text(line.text))
    for part in line.parts or (line,):
        _write(content, part, font, scale, page_height)
    if held:
        content.end_marked_content()


def _leans(line: TextLine, scale: float) -> bool:
    """Tell whether one end of a line is so much lower than the other that readers cut it."""
    (x0, y0), (x1, y1) = line.baseline
    return min(abs(x1 - x0), abs(y1 - y0)) * scale > _DRIFT * _size(line, math.dist((x0, y0), (x1, y1)) * scale, scale)


def _write(content: pydyf.Stream, line: TextLine, font: GlyphlessFont, scale: float, page_height: float) -> None:
    """Write text on its baseline, stretched to its length."""
    (x0, y0), (x1, y1) = line.baseline
    cos, sin = math.cos(line.angle), math.sin(line.angle)
    length = math.dist((x0, y0), (x1, y1)) * scale
    size = _size(line, length, scale)
    letter, space = _widths(line.text, length, size)
    content.set_font_size("Text", round(size, 3))
    # The operator for the horizontal scaling in percent, for which pydyf has no method.
    content.stream.append(f"{200 * letter / size:.3f} Tz")
    # In a PDF y grows upward, so the angle changes its sign.
    content.set_text_matrix(cos, -sin, sin, cos, round(x0 * scale, 3), round(page_height - y0 * scale, 3))
    # Readers expect characters in the order of the page, and turn right-to-left scripts around themselves.
    words = re.split("(?<= )", visual_order(line.text))
    # How far to go back after each space, in thousandths of the stretched font's size.
    back = f" {500 * (1 - space / letter):.1f} "
    content.show_text(back.join(map(font.encode, words)))


def _actual_text(text: str) -> str:
    """Return the properties of marked content that reads as `text` as a whole, section 14.9.4.

    Without it pdftotext cuts a slanted line where it has sunk by half the height of its letters.
    """
    return f"<</ActualText <{(BOM_UTF16_BE + text.encode('utf-16-be')).hex().upper()}>>>"


def _size(line: TextLine, length: float, scale: float) -> float:
    """Return the font size in points. Readers ignore a space that is very narrow in relation to it."""
    highest = length / max(sum(advances(line.text)), 1) / _NARROWEST
    return max(min(_SIZE * _height(line) * scale, highest), 0.01)


def _widths(text: str, length: float, size: float) -> tuple[float, float]:
    """Return how wide a letter and a space have to be for `text` to be as long as its line, all in points.

    Readers of PDF take a wide space for the gap between two columns.  In text that is wider than high, as spaced
    capitals are, the letters therefore have part of the space.
    """
    units, spaces = max(sum(advances(text)), 1), text.count(" ")
    space = min(length / units, size / 2)
    letter = (length - spaces * space) / max(units - spaces, 1)
    return max(letter, 0.001), space


def _height(line: TextLine) -> float:
    """Return the mean height in pixels at right angles to the text, however its ends are slanted."""
    cos, sin = math.cos(line.angle), math.sin(line.angle)
    top_left, top_right, bottom_right, bottom_left = line.corners
    sides = ((top_left, bottom_left), (top_right, bottom_right))
    return sum((y1 - y0) * cos - (x1 - x0) * sin for (x0, y0), (x1, y1) in sides) / 2


def _caption(caption: str, page: Page) -> list[TextLine]:
    """Return a caption as lines from the top of the page down, so that it can be searched and copied."""
    rows = [row for line in caption.split("\n") for row in textwrap.wrap(line, _CAPTION_WIDTH)]
    height = min(1 / len(rows), 1 / 20)
    lines = []
    for index, row in enumerate(rows):
        right, top, bottom = min(len(row) / _CAPTION_WIDTH, 1.0), index * height, (index + 1) * height
        polygon = ((0.0, top), (right, top), (right, bottom), (0.0, bottom))
        lines.append(place(Line(row, 1.0, polygon), page))
    return lines
