"""Files of many pages: a PDF's pages are rendered, a TIFF's frames are decoded, one at a time and when asked for."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

import pypdfium2
from PIL import Image

from app.errors import InvalidImage, Unavailable, UnsupportedMedia
from app.images import decode, decode_frame, looks_like_image

# PDFium keeps its state in globals: one thread at a time.
_PDFIUM = threading.Lock()
_PATIENCE = 30.0
"""Seconds to wait for it."""
# One image may take a gigabyte while it is decoded: as many at once as there are cores.
_DECODING = threading.BoundedSemaphore(os.cpu_count() or 1)
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
    count: int

    def image(self, number: int) -> Image.Image:
        """Return a page, counted from 0, as an upright RGB image."""

    def points(self, number: int) -> tuple[float, float] | None:
        """Return the width and height of a page in points of 1/72 inch, where the file tells."""


def open_pages(data: bytes, limits: Limits, all_pages: bool = True) -> Pages:
    """Return the pages of a PDF, a TIFF, or an image of any other format, which has one.

    Args:
        data: the file.
        limits: what is decoded at all.
        all_pages: whether more than the first is wanted; if not, the file must be an image.

    Raises:
        UnsupportedMedia: none of these.
        InvalidImage: broken, locked, or over the limits.
    """
    if is_pdf(data) and not all_pages:
        raise UnsupportedMedia("a PDF goes to a model that reads, such as rapidocr; send an image here")
    pages: Pages = PdfPages(data, limits) if is_pdf(data) else ImagePages(data, limits)
    if all_pages and pages.count > limits.max_pages:
        raise InvalidImage(f"the document has {pages.count} pages, more than the {limits.max_pages} allowed: split it")
    return pages


def is_pdf(data: bytes) -> bool:
    """True when the file is a PDF; some have other bytes before their header, as has an image that speaks of one."""
    start = data[:1024].find(b"%PDF-")
    if start > 0:
        Image.init()
        return not looks_like_image(data, tuple(Image.OPEN))
    return start == 0


class ImagePages:
    """The frames of a TIFF, or the one image of another format."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        with _DECODING:
            self._first = decode(data, limits.formats, limits.max_pixels)
        self.format = self._first.format
        self.count = self._first.frames

    def image(self, number: int) -> Image.Image:
        if number == 0:
            return self._first.image
        with _DECODING:
            return decode_frame(self._data, self._limits.formats, self._limits.max_pixels, number)

    def points(self, number: int) -> None:
        return None


class PdfPages:
    """The pages of a PDF, rendered by PDFium."""

    format = "PDF"

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        with self._open() as document:
            self.count = len(document)

    def image(self, number: int) -> Image.Image:
        with self._open() as document:
            try:
                with closing(document[number]) as page:
                    width, height = page.get_size()
                    scale = self._limits.pdf_dpi / _POINTS_PER_INCH
                    # A page of any size can be rendered; the limit only makes it coarser.
                    # However thin it is, it is a pixel wide.
                    scale = min(scale, (self._limits.max_pixels / max(width * height, 1)) ** 0.5)
                    scale = min(scale, self._limits.max_pixels / max(width, height, 1))
                    image: Image.Image = page.render(scale=scale).to_pil()
                    return image.convert("RGB")
            except pypdfium2.PdfiumError as error:
                raise InvalidImage(f"page {number + 1} of the PDF is broken") from error

    def points(self, number: int) -> tuple[float, float]:
        with self._open() as document, closing(document[number]) as page:
            width, height = page.get_size()
            return width, height

    @contextmanager
    def _open(self) -> Iterator[pypdfium2.PdfDocument]:
        if not _PDFIUM.acquire(timeout=_PATIENCE):
            raise Unavailable("another PDF takes very long to render: try again later", _PATIENCE)
        try:
            with closing(pypdfium2.PdfDocument(self._data)) as document:
                # What was filled in is drawn only then.
                document.init_forms()
                yield document
        except pypdfium2.PdfiumError as error:
            raise InvalidImage("the PDF is broken, without pages, or locked with a password") from error
        finally:
            _PDFIUM.release()
