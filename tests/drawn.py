"""Pages that tests draw themselves, and what a page says of itself: words that tell the lines apart."""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "anchor", "basket", "candle", "desert", "engine", "forest", "garden", "hammer", "island", "jacket",
    "kettle", "ladder", "market", "needle", "orange", "pencil", "quarry", "ribbon", "silver", "tunnel",
)  # fmt: skip

# What turns an upright picture into what a camera held that way would have stored, by its EXIF orientation.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def numbered(count: int, rest: str = "stands on a line of its own") -> list[str]:
    """Return so many lines, each with its number and a word that no other has."""
    return [f"{number} {WORDS[number % len(WORDS)]} {rest}" for number in range(1, count + 1)]


def page(
    lines: Sequence[str],
    size: tuple[int, int] = (700, 900),
    at: tuple[int, int] = (60, 60),
    height: int = 24,
    step: float = 1.6,
    colours: tuple[str, str] = ("white", "black"),
) -> Image.Image:
    """Draw lines below one another on a page, in a font of so many pixels."""
    image = Image.new("RGB", size, colours[0])
    write(image, lines, at, height, step, colours[1])
    return image


def write(
    image: Image.Image, lines: Sequence[str], at: tuple[int, int], height: int, step: float = 1.6, colour: str = "black"
) -> None:
    """Draw lines below one another on an image."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=height)
    for number, line in enumerate(lines):
        draw.text((at[0], at[1] + number * height * step), line, fill=colour, font=font)


def pdf(pages: Sequence[Image.Image], dpi: float = 200) -> bytes:
    """Return images as a PDF whose pages have their size at a resolution."""
    return _saved(pages, "PDF", resolution=dpi)


def tiff(pages: Sequence[Image.Image]) -> bytes:
    """Return images as a TIFF of many pages."""
    return _saved(pages, "TIFF")


def _saved(pages: Sequence[Image.Image], format: str, **options: Any) -> bytes:
    # Copies: Pillow leaves in an image how one format was written, and trips over it in the next.
    first, *others = (page.copy() for page in pages)
    buffer = io.BytesIO()
    first.save(buffer, format, save_all=True, append_images=others, **options)
    return buffer.getvalue()
