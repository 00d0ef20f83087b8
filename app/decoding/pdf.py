"""Renders the pages of a PDF with PDFium, which keeps its state in globals: only one thread may use it at a time."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pypdfium2
from PIL import Image

from app.decoding import pdf_text
from app.errors import InvalidImage

_POINTS_PER_INCH = 72
_LOCKED = (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY)


@contextmanager
def opened(data: bytes) -> Iterator[pypdfium2.PdfDocument]:
    """Open a PDF for as long as the block runs.

    Raises:
        InvalidImage: broken, or locked.
    """
    try:
        with closing(pypdfium2.PdfDocument(data)) as document:
            # PDFium draws the values of form fields only after this call.
            document.init_forms()
            yield document
    except pypdfium2.PdfiumError as error:
        # PDFium may report the error of an earlier file, so check that this one is encrypted.
        if error.err_code in _LOCKED and b"/Encrypt" in data:
            raise InvalidImage("the PDF is locked with a password: remove the password, and send it again") from error
        raise InvalidImage("the PDF is broken, or without pages") from error


def sizes(document: pypdfium2.PdfDocument) -> list[tuple[float, float]]:
    """Return the width and height of each page in points of 1/72 inch.

    Raises:
        InvalidImage: broken.
    """
    try:
        return [document.get_page_size(number) for number in range(len(document))]
    except pypdfium2.PdfiumError as error:
        raise InvalidImage("the PDF is broken") from error


def render(document: pypdfium2.PdfDocument, number: int, dpi: int, max_pixels: int) -> Image.Image:
    """Render a page, counted from 0, at `dpi`, or at a lower resolution that keeps it within `max_pixels`.

    Raises:
        InvalidImage: broken.
    """
    try:
        with closing(document[number]) as page:
            image: Image.Image = page.render(scale=_scale(page, dpi, max_pixels)).to_pil()
            return image.convert("RGB")
    except pypdfium2.PdfiumError as error:
        raise InvalidImage(f"page {number + 1} of the PDF is broken") from error


def text(document: pypdfium2.PdfDocument, number: int, dpi: int, max_pixels: int) -> dict[str, Any]:
    """Return the text of a page, counted from 0, and the `size` in pixels that `render` gives it.

    Raises:
        InvalidImage: broken.
    """
    try:
        pdf_text.flatten(document, number)
        with closing(document[number]) as page:
            scale = _scale(page, dpi, max_pixels)
            size = [math.ceil(side * scale) for side in page.get_size()]
            return {"size": size, **pdf_text.take(page)}
    except pypdfium2.PdfiumError as error:
        raise InvalidImage(f"page {number + 1} of the PDF is broken") from error


def _scale(page: pypdfium2.PdfPage, dpi: int, max_pixels: int) -> float:
    width, height = page.get_size()
    # The limit lowers the resolution of a large page instead of refusing the page.
    # The last term limits a thin page, whose width is rounded up to one pixel.
    return float(
        min(
            dpi / _POINTS_PER_INCH,
            (max_pixels / max(width * height, 1)) ** 0.5,
            max_pixels / max(width, height, 1),
        )
    )
