"""A file as pages: those of a PDF, the frames of a TIFF, or the one image of another format."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image

from app.decoding.images import looks_like_image
from app.decoding.pool import Decoded, DecodingPool, OpenFile
from app.errors import InvalidImage, UnsupportedMedia
from models.reading.text_layer import Row


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of decoding: image formats as Pillow names them, pixels of a page, pages of a document, and the
    resolution of PDFs."""

    formats: Sequence[str]
    max_pixels: int
    max_pages: int
    pdf_dpi: int


@dataclass(frozen=True, slots=True)
class Text:
    """The text that a file holds of a page, or of a part of it.

    Attributes:
        is_sound: whether it says what is on the page.
        rows: in the file's order.
        size: width and height in pixels of the page or the part.
    """

    is_sound: bool
    rows: tuple[Row, ...]
    size: tuple[float, float]


class Pages(ABC):
    """The pages of a file, as a context manager: a worker may keep the file open until the end of the block.

    A page is decoded each time it is asked for, so that only one need be in memory.

    Attributes:
        format: of the file, as Pillow names it, or `PDF`.
        count: how many pages there are, counted no further than one more than are allowed or asked for.
        warnings: what is wrong with the pages that were decoded so far.
        jpeg: the mode, `RGB` or `L`, of a JPEG that is its only page as it is; None for other files.
    """

    format: str
    count: int
    jpeg: str | None = None

    def __init__(self, file: OpenFile) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file in the worker that has it open."""
        self._file.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    @property
    def numbers(self) -> Sequence[int]:
        """The number in the file of each page, counted from 0."""
        return range(self.count)

    @abstractmethod
    def image(self, number: int) -> Image.Image:
        """Return a page, counted from 0, as an upright RGB image."""

    def text(self, number: int) -> Text | None:
        """Return the text that the file holds of a page, counted from 0; None for a format that holds none."""
        return None

    @abstractmethod
    def size(self, number: int) -> tuple[int, int]:
        """Return the width and height in pixels, as the file has them, of a page that was decoded or whose text was
        taken."""

    @abstractmethod
    def points(self, number: int) -> tuple[float, float] | None:
        """Return the width and height of a page in points of 1/72 inch, or None if they are not known."""


def open_pages(
    data: bytes,
    limits: Limits,
    pool: DecodingPool,
    all_pages: bool = True,
    side: int | None = None,
    count_to: int | None = None,
) -> Pages:
    """Return the pages of a PDF, a TIFF, or an image of any other format, which has one.

    Args:
        data: the file.
        limits: what is decoded at all.
        pool: decodes it.
        all_pages: whether more than the first is wanted; if not, the file must be an image.
        side: of the square, in pixels, to which the pages are going to be reduced; None if they are not.
        count_to: the page up to which frames are counted, where only some pages are wanted and the file may have any
            number; None to count up to the limit, and to refuse a file that has more.

    Raises:
        UnsupportedMedia: none of these.
        InvalidImage: broken, locked, over the limits, or built to do harm.
        Unavailable: there are no workers or no memory for it now.
    """
    if is_pdf(data) and not all_pages:
        raise UnsupportedMedia("a PDF goes to a model that reads, such as rapidocr; send an image here")
    pages: Pages = PdfPages(data, limits, pool) if is_pdf(data) else ImagePages(data, limits, pool, side, count_to)
    if all_pages and count_to is None and pages.count > limits.max_pages:
        pages.close()
        raise InvalidImage(
            f"the document has more than the {limits.max_pages} pages allowed: ask for some of them with pages, or see "
            "MAX_PAGES"
        )
    return pages


def is_pdf(data: bytes) -> bool:
    """Return whether the file is a PDF. Some have other bytes before the header, and an image may contain a header."""
    start = data[:1024].find(b"%PDF-")
    if start > 0:
        Image.init()
        return not looks_like_image(data, tuple(Image.OPEN))
    return start == 0


class ImagePages(Pages):
    """The frames of a TIFF, or the one image of another format."""

    def __init__(self, data: bytes, limits: Limits, pool: DecodingPool, side: int | None, count_to: int | None) -> None:
        super().__init__(pool.open("image", data))
        self._arguments: dict[str, Any] = {
            "formats": limits.formats,
            "max_pixels": limits.max_pixels,
            "side": side,
        }
        self._sizes: dict[int, tuple[int, int]] = {}
        self._warnings: dict[int, list[str]] = {}
        first = self._decoded(0, limits.max_pages if count_to is None else count_to)
        self._first: Image.Image | None = _image_of(first)
        self.format = first.facts["format"]
        self.count = first.facts["frames"]
        self.jpeg = first.facts["jpeg"]

    @property
    def warnings(self) -> tuple[str, ...]:
        several = self.count > 1
        return tuple(
            f"page {number + 1}: {warning}" if several else warning
            for number, warnings in sorted(self._warnings.items())
            for warning in warnings
        )

    def image(self, number: int) -> Image.Image:
        # Hand the image out once and drop it: the next page may have to wait for its memory.
        first, self._first = self._first, None
        return first if first is not None and number == 0 else _image_of(self._decoded(number))

    def size(self, number: int) -> tuple[int, int]:
        return self._sizes[number]

    def points(self, number: int) -> None:
        return None

    def _decoded(self, frame: int, max_frames: int = 0) -> Decoded:
        """Decode a frame, and count the frames up to `max_frames`. Counting takes longer the more there are."""
        decoded = self._file.ask({**self._arguments, "frame": frame, "max_frames": max_frames})
        width, height = decoded.facts["size"]
        self._sizes[frame] = width, height
        self._warnings[frame] = decoded.facts["warnings"]
        return decoded


class PdfPages(Pages):
    """The pages of a PDF, rendered by PDFium."""

    format = "PDF"

    def __init__(self, data: bytes, limits: Limits, pool: DecodingPool) -> None:
        super().__init__(pool.open("pdf", data))
        self._arguments = {"dpi": limits.pdf_dpi, "max_pixels": limits.max_pixels}
        self._points: list[tuple[float, float]] = [(w, h) for w, h in self._file.ask().facts["sizes"]]
        self._sizes: dict[int, tuple[int, int]] = {}
        self.count = len(self._points)

    def image(self, number: int) -> Image.Image:
        image = _image_of(self._file.ask({**self._arguments, "number": number}))
        self._sizes[number] = image.size
        return image

    def text(self, number: int) -> Text:
        facts = self._file.ask({**self._arguments, "number": number, "text": True}).facts
        try:
            width, height = facts["size"]
            self._sizes[number] = size = int(width), int(height)
            return Text(bool(facts["sound"]), tuple(Row.of(*row) for row in facts["rows"]), size)
        except (LookupError, TypeError, ValueError) as error:
            raise InvalidImage(f"the text of page {number + 1} cannot be taken: ask with ocr=always") from error

    def laid_over(self, layers: bytes, onto: Sequence[int], numbers: Sequence[int]) -> bytes:
        """Return the file with pages of another PDF laid over its own, as `pdf_layers.lay_over` does.

        Raises:
            InvalidImage: broken beyond what can be written again.
        """
        encoded = base64.b64encode(layers).decode("ascii")
        return self._file.ask({"layers": encoded, "onto": [*onto], "numbers": [*numbers]}).file

    def size(self, number: int) -> tuple[int, int]:
        return self._sizes[number]

    def points(self, number: int) -> tuple[float, float]:
        return self._points[number]


def _image_of(decoded: Decoded) -> Image.Image:
    assert decoded.image is not None
    return decoded.image
