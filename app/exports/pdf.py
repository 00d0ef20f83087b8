"""A searchable PDF: each page is its image, with the text that was read lying invisibly over its place.

ISO 32000-1.  The only thing left of a page in memory, once it is written, is its compressed image.
"""

import io
import math
import textwrap
import zlib

import pydyf  # type: ignore[import-untyped]
from PIL import Image, ImageChops

from app.exports.base import PRODUCER, Document, Page
from app.exports.direction import visual_order
from app.exports.glyphless import GlyphlessFont
from app.exports.layout import TextLine, advances, blocks, place
from models.base import Line

DPI = 200
"""What the image is taken to be scanned at, for the size of the page: A4 has 1654 x 2339 pixels."""
# Readers need not take a page whose side is longer or shorter, in points of 1/72 inch (annex C).
_LONGEST, _SHORTEST = 14400, 3
_QUALITY = 85
# The longest side that libjpeg writes.
_JPEG_SIDE = 65500
# The size of the font, of the height of a line's quadrilateral.  Those of neighbouring lines touch, and readers of PDF
# would take letters that touch for one row.
_SIZE = 0.8
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


def _add_page(pdf: pydyf.PDF, page: Page, lines: list[TextLine], font: GlyphlessFont) -> None:
    scale = _scale(page)
    width, height = page.width * scale, page.height * scale
    image = _image(page.image)
    content = pydyf.Stream(compress=True)
    for item in (image, content):
        pdf.add_object(item)
    content.push_state()
    content.set_matrix(width, 0, 0, height, 0, 0)
    content.draw_x_object("Image")
    content.pop_state()
    content.begin_text()
    content.set_text_rendering(_INVISIBLE)
    for line in lines:
        _show(content, line, font, scale, height)
    content.end_text()
    resources = {
        "XObject": pydyf.Dictionary({"Image": image.reference}),
        "Font": pydyf.Dictionary({"Text": font.dictionary.reference}),
    }
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
    scale = max(72 / DPI, _SHORTEST / min(page.width, page.height))
    return min(scale, _LONGEST / max(page.width, page.height))


def _show(content: pydyf.Stream, line: TextLine, font: GlyphlessFont, scale: float, page_height: float) -> None:
    """Write a line on its baseline, stretched to its length."""
    (x0, y0), (x1, y1) = line.baseline
    cos, sin = math.cos(line.angle), math.sin(line.angle)
    size = max(_SIZE * _height(line) * scale, 0.1)
    natural = sum(advances(line.text)) * size / 2
    content.set_font_size("Text", round(size, 3))
    # Of the stream's operators this is the one that pydyf has no method for: the horizontal scaling in percent.
    content.stream.append(f"{100 * math.dist((x0, y0), (x1, y1)) * scale / (natural or 1):.3f} Tz")
    # In a PDF y grows upward, so that the angle turns around.
    content.set_text_matrix(cos, -sin, sin, cos, round(x0 * scale, 3), round(page_height - y0 * scale, 3))
    # Readers expect characters in the order of the page, and turn right-to-left scripts around themselves.
    content.show_text(font.encode(visual_order(line.text)))


def _height(line: TextLine) -> float:
    """Return the mean height in pixels at right angles to the text, however its ends are slanted."""
    cos, sin = math.cos(line.angle), math.sin(line.angle)
    top_left, top_right, bottom_right, bottom_left = line.corners
    sides = ((top_left, bottom_left), (top_right, bottom_right))
    return sum((y1 - y0) * cos - (x1 - x0) * sin for (x0, y0), (x1, y1) in sides) / 2


def _caption(caption: str, page: Page) -> list[TextLine]:
    """What is said of the image as a whole: rows from its top down, so that it can be found and copied."""
    rows = [row for line in caption.split("\n") for row in textwrap.wrap(line, _CAPTION_WIDTH)]
    height = min(1 / len(rows), 1 / 20)
    lines = []
    for index, row in enumerate(rows):
        right, top, bottom = min(len(row) / _CAPTION_WIDTH, 1.0), index * height, (index + 1) * height
        polygon = ((0.0, top), (right, top), (right, bottom), (0.0, bottom))
        lines.append(place(Line(row, 1.0, polygon), page))
    return lines


def _image(image: Image.Image) -> pydyf.Stream:
    """Compress an image: JPEG, in grey where it has no colour; without loss where it is black and white."""
    red, green, blue = image.split()
    if ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(green, blue).getbbox() is None:
        image = red
        if {colour for _, colour in image.getcolors(2) or ((0, 1),)} <= {0, 255}:
            image = image.convert("1", dither=Image.Dither.NONE)
    if image.mode == "1" or max(image.size) > _JPEG_SIDE:
        coding, data = "/FlateDecode", zlib.compress(image.tobytes(), 9)
    else:
        coding, data = "/DCTDecode", _jpeg(image)
    extra = {
        "Type": "/XObject",
        "Subtype": "/Image",
        "Width": image.width,
        "Height": image.height,
        "ColorSpace": "/DeviceRGB" if image.mode == "RGB" else "/DeviceGray",
        "BitsPerComponent": 1 if image.mode == "1" else 8,
        "Filter": coding,
    }
    return pydyf.Stream([data], extra)


def _jpeg(image: Image.Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "JPEG", quality=_QUALITY)
    return output.getvalue()
