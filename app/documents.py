"""Files of many pages: a PDF's pages are rendered, a TIFF's frames are decoded, one at a time and when asked for."""

import hashlib
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import pypdfium2
from PIL import Image

from app.errors import InvalidImage
from app.images import decode

# PDFium keeps its state in globals: one thread at a time.
_PDFIUM = threading.Lock()
_POINTS_PER_INCH = 72


@dataclass(frozen=True, slots=True)
class Limits:
    """What is decoded at all: image formats as Pillow names them, pixels of a page, pages of a document."""

    formats: Sequence[str]
    max_pixels: int
    max_pages: int
    pdf_dpi: int


class Pages(Protocol):
    """The pages of a file. A page is decoded each time it is asked for, so that one need be in memory at a time."""

    format: str
    sha256: str
    count: int

    def image(self, number: int) -> Image.Image:
        """Return a page, counted from 0, as an upright RGB image."""


def open_pages(data: bytes, limits: Limits) -> Pages:
    """Return the pages of a PDF, a TIFF, or an image of any other format, which has one.

    Raises:
        UnsupportedMedia: none of these.
        InvalidImage: broken, locked, or over the limits.
    """
    pages: Pages = PdfPages(data, limits) if is_pdf(data) else ImagePages(data, limits)
    if pages.count > limits.max_pages:
        raise InvalidImage(f"the document has {pages.count} pages, more than the {limits.max_pages} allowed: split it")
    return pages


def is_pdf(data: bytes) -> bool:
    """True when the file is a PDF; some have other bytes before their header."""
    return b"%PDF-" in data[:1024]


class ImagePages:
    """The frames of a TIFF, or the one image of another format."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._first = decode(data, limits.formats, limits.max_pixels)
        self.format = self._first.format
        self.sha256 = self._first.sha256
        self.count = self._first.frames

    def image(self, number: int) -> Image.Image:
        if number == 0:
            return self._first.image
        return decode(self._data, self._limits.formats, self._limits.max_pixels, number).image


class PdfPages:
    """The pages of a PDF, rendered by PDFium."""

    format = "PDF"

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self.sha256 = hashlib.sha256(data).hexdigest()
        with _PDFIUM, closing(self._open()) as document:
            self.count = len(document)
        if not self.count:
            raise InvalidImage("the PDF has no pages")

    def image(self, number: int) -> Image.Image:
        with _PDFIUM, closing(self._open()) as document:
            try:
                with closing(document[number]) as page:
                    width, height = page.get_size()
                    scale = self._limits.pdf_dpi / _POINTS_PER_INCH
                    # A page of any size can be rendered; the limit only makes it coarser.
                    scale = min(scale, (self._limits.max_pixels / max(width * height, 1)) ** 0.5)
                    image: Image.Image = page.render(scale=scale).to_pil()
                    return image.convert("RGB")
            except pypdfium2.PdfiumError as error:
                raise InvalidImage(f"page {number + 1} of the PDF is broken") from error

    def _open(self) -> pypdfium2.PdfDocument:
        try:
            return pypdfium2.PdfDocument(self._data)
        except pypdfium2.PdfiumError as error:
            raise InvalidImage("the PDF is broken, or locked with a password") from error
