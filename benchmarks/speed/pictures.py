"""Pictures, pages and texts to measure with, the same for the same numbers."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 480)
_WORDS = ("ferry", "pier", "seven", "bread", "evening", "river", "garden", "lamp", "window", "town", "cold", "coat")
_LINE_HEIGHT = 80


def photograph(number: int, grain: float = 12.0, size: tuple[int, int] = SIZE) -> bytes:
    """Return a JPEG of coloured clouds with grain: some 100 kB at 12, 200 kB at 32."""
    random = np.random.default_rng(number)
    clouds = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(clouds) + random.normal(0, grain, (size[1], size[0], 1))
    return encoded(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))


def photographs(count: int, first: int = 0) -> list[bytes]:
    """Return so many different photographs."""
    return [photograph(number) for number in range(first, first + count)]


def page(lines: int, number: int) -> tuple[bytes, list[bytes]]:
    """Return a page of so many lines of text, and each line on its own, as JPEGs."""
    font = ImageFont.load_default(size=40)
    sheet = Image.new("RGB", (1300, _LINE_HEIGHT * lines + 120), "white")
    draw = ImageDraw.Draw(sheet)
    for line, words in enumerate(sentences(lines, 7, number)):
        draw.text((60, 60 + _LINE_HEIGHT * line), words, "black", font)
    crops = [sheet.crop((40, top, 1260, top + 60)) for top in range(52, 52 + _LINE_HEIGHT * lines, _LINE_HEIGHT)]
    return encoded(sheet), [encoded(crop) for crop in crops]


def sentences(count: int, words: int, number: int = 0) -> Iterator[str]:
    """Yield so many different texts of so many words."""
    random = np.random.default_rng(number)
    for index in range(count):
        yield f"{' '.join(random.choice(_WORDS, words - 1))} {number * count + index}"


def encoded(image: Image.Image) -> bytes:
    """Return an image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
