"""The pages of a PDF to images, with PDFium. It keeps its state in globals: one thread at a time."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pypdfium2
from PIL import Image

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
            # What was filled into forms is drawn only then.
            document.init_forms()
            yield document
    except pypdfium2.PdfiumError as error:
        # PDFium's last error may be that of an earlier file.
        if error.err_code in _LOCKED and b"/Encrypt" in data:
            raise InvalidImage("the PDF is locked with a password: unlock it, and send it without") from error
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
    """Render a page, counted from 0, at a resolution, or one so much lower that it has no more pixels than allowed.

    Raises:
        InvalidImage: broken.
    """
    try:
        with closing(document[number]) as page:
            width, height = page.get_size()
            # A page of any size can be rendered; the limit only makes it coarser.
            # However thin it is, it is a pixel wide.
            scale = min(
                dpi / _POINTS_PER_INCH,
                (max_pixels / max(width * height, 1)) ** 0.5,
                max_pixels / max(width, height, 1),
            )
            image: Image.Image = page.render(scale=scale).to_pil()
            return image.convert("RGB")
    except pypdfium2.PdfiumError as error:
        raise InvalidImage(f"page {number + 1} of the PDF is broken") from error
