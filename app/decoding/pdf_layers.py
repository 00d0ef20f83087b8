"""Lays text over the pages of a PDF, which stay as they are: images, links, metadata and all."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.errors import InvalidImage

if TYPE_CHECKING:
    import pikepdf


def lay_over(data: bytes, layers: bytes, onto: Sequence[int], numbers: Sequence[int]) -> bytes:
    """Return a PDF with the pages of another laid over its own.

    Args:
        data: the PDF.
        layers: the pages to lay over, each of the size of its page as that is shown.
        onto: the page, counted from 0, that each belongs to.
        numbers: the pages to keep, in this order.

    Raises:
        InvalidImage: broken beyond what can be written again.
    """
    # Workers that only decode need not wait for this library.
    import pikepdf

    try:
        with pikepdf.open(io.BytesIO(data)) as document, pikepdf.open(io.BytesIO(layers)) as texts:
            pages = list(document.pages)
            for number, text in zip(onto, texts.pages, strict=True):
                # What is outside of the media box is not shown.
                shown = pikepdf.Rectangle(pages[number].cropbox) & pikepdf.Rectangle(pages[number].mediabox)
                pages[number].add_overlay(text, shown)
            if list(numbers) != list(range(len(pages))):
                _keep(document, numbers)
            buffer = io.BytesIO()
            document.save(buffer)
            return buffer.getvalue()
    except (pikepdf.PdfError, LookupError, TypeError, ValueError) as error:
        raise InvalidImage("the PDF is broken: no text can be laid over it") from error


def _keep(document: "pikepdf.Pdf", numbers: Sequence[int]) -> None:
    """Leave only some pages, in their order."""
    pages = list(document.pages)
    del document.pages[:]
    document.pages.extend(pages[number] for number in numbers)
