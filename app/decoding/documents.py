"""Files of many pages: a PDF's pages are rendered, a TIFF's frames are decoded, one at a time and when asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from app.decoding.images import looks_like_image
from app.decoding.pool import Cage, Decoded
from app.errors import InvalidImage, UnsupportedMedia


@dataclass(frozen=True, slots=True)
class Limits:
    """What is decoded at all: image formats as Pillow names them, pixels of a page, pages of a document."""

    formats: Sequence[str]
    max_pixels: int
    max_pages: int
    pdf_dpi: int


class Pages(Protocol):
    """The pages of a file. A page is decoded each time it is asked for, so that one need be in memory at a time.

    `warnings` say what is wrong with the pages that were decoded so far.
    """

    format: str
    count: int

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def image(self, number: int) -> Image.Image:
        """Return a page, counted from 0, as an upright RGB image."""

    def size(self, number: int) -> tuple[int, int]:
        """Return the width and height in pixels of a page that was decoded, as the file has it."""

    def points(self, number: int) -> tuple[float, float] | None:
        """Return the width and height of a page in points of 1/72 inch, where the file tells."""


def open_pages(data: bytes, limits: Limits, cage: Cage, all_pages: bool = True, side: int | None = None) -> Pages:
    """Return the pages of a PDF, a TIFF, or an image of any other format, which has one.

    Args:
        data: the file.
        limits: what is decoded at all.
        cage: where it is decoded.
        all_pages: whether more than the first is wanted; if not, the file must be an image.
        side: of the square, in pixels, to which the pages are going to be reduced; None if they are not.

    Raises:
        UnsupportedMedia: none of these.
        InvalidImage: broken, locked, over the limits, or built to do harm.
        Unavailable: others are decoded for long.
    """
    if is_pdf(data) and not all_pages:
        raise UnsupportedMedia("a PDF goes to a model that reads, such as rapidocr; send an image here")
    pages: Pages = PdfPages(data, limits, cage) if is_pdf(data) else ImagePages(data, limits, cage, side)
    if all_pages and pages.count > limits.max_pages:
        raise InvalidImage(
            f"the document has more than the {limits.max_pages} pages allowed: split it, or see MAX_PAGES"
        )
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

    def __init__(self, data: bytes, limits: Limits, cage: Cage, side: int | None) -> None:
        self._data = data
        self._limits = limits
        self._cage = cage
        self._side = side
        self._sizes: dict[int, tuple[int, int]] = {}
        self._warnings: dict[int, list[str]] = {}
        first = self._decoded(0)
        self._first: Image.Image | None = _image_of(first)
        self.format: str = first.facts["format"]
        self.count: int = first.facts["frames"]

    @property
    def warnings(self) -> tuple[str, ...]:
        several = self.count > 1
        return tuple(
            f"page {number + 1}: {warning}" if several else warning
            for number, warnings in sorted(self._warnings.items())
            for warning in warnings
        )

    def image(self, number: int) -> Image.Image:
        # Handed out once: kept, it would take up room that the next one may have to wait for.
        first, self._first = self._first, None
        return first if first is not None and number == 0 else _image_of(self._decoded(number))

    def size(self, number: int) -> tuple[int, int]:
        return self._sizes[number]

    def points(self, number: int) -> None:
        return None

    def _decoded(self, frame: int) -> Decoded:
        limits = self._limits
        decoded = self._cage.run(
            "image",
            self._data,
            formats=limits.formats,
            max_pixels=limits.max_pixels,
            frame=frame,
            side=self._side,
            max_frames=limits.max_pages,
        )
        width, height = decoded.facts["size"]
        self._sizes[frame] = width, height
        self._warnings[frame] = decoded.facts["warnings"]
        return decoded


class PdfPages:
    """The pages of a PDF, rendered by PDFium."""

    format = "PDF"
    warnings = ()

    def __init__(self, data: bytes, limits: Limits, cage: Cage) -> None:
        self._data = data
        self._limits = limits
        self._cage = cage
        self._sizes = cage.run("pdf", data).facts["sizes"]
        self.count = len(self._sizes)
        self._rendered: dict[int, tuple[int, int]] = {}

    def image(self, number: int) -> Image.Image:
        limits = self._limits
        image = _image_of(
            self._cage.run("pdf_page", self._data, number=number, dpi=limits.pdf_dpi, max_pixels=limits.max_pixels)
        )
        self._rendered[number] = image.size
        return image

    def size(self, number: int) -> tuple[int, int]:
        return self._rendered[number]

    def points(self, number: int) -> tuple[float, float]:
        width, height = self._sizes[number]
        return width, height


def _image_of(decoded: Decoded) -> Image.Image:
    assert decoded.image is not None
    return decoded.image
