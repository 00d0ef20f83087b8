"""Documents that are hard to write down, for the tests of every format."""

import math
import os
import shutil

import pytest
from PIL import Image, ImageDraw

from app.exports import Document, Page
from models.found import Line, Part, Point

WIDTH, HEIGHT = 1240, 1754
LETTER, LINE = 16, 36
"""Of print at 150 dpi, in pixels: as wide and as high as rectangles around it are."""


def line(text: str, x: float, y: float, degrees: float = 0.0, paragraph: int = 0, confidence: float = 0.875) -> Line:
    """A line whose top left corner is the pixel (x, y), turned clockwise about it."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def at(along: float, across: float) -> Point:
        return (x + along * cos - across * sin) / WIDTH, (y + along * sin + across * cos) / HEIGHT

    length = LETTER * max(len(text), 1)
    polygon = (at(0, 0), at(length, 0), at(length, LINE), at(0, LINE))
    return Line(text, confidence, polygon, paragraph)


def lines(*texts: str, x: float = 100, y: float = 100, degrees: float = 0.0, paragraph: int = 0) -> tuple[Line, ...]:
    """Lines below one another, along the slant."""
    step, angle = LINE * 1.2, math.radians(degrees)
    return tuple(
        line(text, x - index * step * math.sin(angle), y + index * step * math.cos(angle), degrees, paragraph)
        for index, text in enumerate(texts)
    )


def row(*texts: str, y: float = 100, step: float = 400, is_row: bool = False) -> Line:
    """A line of texts that stand apart, each in a column of its own."""
    found = [line(text, 100 + step * column, y) for column, text in enumerate(texts)]
    parts = tuple(Part(each.text, 0.875, each.polygon, column) for column, each in enumerate(found) if each.text)
    first, last = found[0].polygon, found[-1].polygon
    return Line(" ".join(filter(None, texts)), 0.875, (first[0], last[1], last[2], first[3]), 0, parts, is_row)


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Colours and shapes that tell up from down and left from right."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 3, height // 4), fill="red")
    draw.ellipse((width // 2, height // 2, width - 1, height - 1), fill="blue")
    return image


PICTURE = picture()


def page(*found: Line) -> Page:
    return Page(WIDTH, HEIGHT, found, lambda: PICTURE)


def document(*pages: Page, text: str | None = None) -> Document:
    """What a model that finds lines says, unless `text` is given."""
    if text is None:
        text = "\n".join(found.text for page in pages for found in page.lines)
    return Document(pages, text, "some-model")


PROSE = ("The quick brown fox jumps over the lazy dog,", "and the dog does not mind at all.", "It sleeps.")
LEFT, RIGHT = ("Left one and more", "Left two and more", "Left three and"), ("Right one too", "Right two too")
SCRIPTS = {
    "latin": "Grüße, señor Ångström",
    "cyrillic": "Привет большой мир",
    "chinese": "中文文本 测试",
    "japanese": "日本語のテキスト",
    "emoji": "🎉 party 👨‍👩‍👧 time",
    "devanagari": "क्षत्रिय हिन्दी",
    "marks": "e\u0301te\u0301 a\u0308",
    "hebrew": "שלום עולם טוב",
    "arabic": "مرحبا بالعالم",
}
HOSTILE = "a\x00b\x0bc\x1bd \ud800 \ufffe ]]> <b>&amp;</b> \"q\" 'q' \u2028x\ty\r\nz\x85 \x7f"

DOCUMENTS = {
    "prose": document(page(*lines(*PROSE))),
    "paragraphs": document(page(*lines(*PROSE), *lines("A second one.", "Of two lines.", y=400, paragraph=1))),
    "slanted": document(page(*lines(*PROSE, x=200, y=300, degrees=7))),
    "rising": document(page(*lines(*PROSE, x=200, y=900, degrees=-12))),
    "downward": document(page(*lines(*PROSE, x=800, y=200, degrees=90))),
    "upward": document(page(*lines(*PROSE, x=300, y=1200, degrees=-90))),
    "upside down": document(page(*lines(*PROSE, x=1100, y=1200, degrees=180))),
    "columns": document(page(*lines(*LEFT), *lines(*RIGHT, x=700, paragraph=1))),
    "rows": document(page(row("Bread rolls", "1,59 A"), row("Total", "12,52", y=150))),
    "pages": document(page(*lines(*PROSE)), page(), page(*lines("Last page."))),
    "nothing": document(page()),
    "blanks": document(page(*lines("", "  ", "\n"))),
    "hostile": document(page(*lines(HOSTILE, "plain"))),
    "long": document(page(line("word " * 2000 + "end", 0, 100), *lines("short", y=400))),
    "edge": document(
        page(
            Line("top left", 1.0, ((0.0, 0.0), (0.1, 0.0), (0.1, 0.02), (0.0, 0.02))),
            Line("bottom right", 0.0, ((0.9, 0.98), (1.0, 0.98), (1.0, 1.0), (0.9, 1.0))),
            Line("point", 0.5, ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))),
            Line("beyond", 1.5, ((-0.1, -0.1), (1.1, -0.1), (1.1, 1.1), (-0.1, 1.1))),
        )
    ),
    "scripts": document(page(*lines(*SCRIPTS.values()))),
    "marks only": document(page(*lines("\u0301\u0301"))),
    "caption": document(page(), text="a dog\nwith a <ball> in its mouth"),
    "caption of pages": document(page(), page(), text="two dogs\n\nand a cat"),
    "tiny": Document(
        (Page(1, 1, (Line("x y", 0.5, ((0, 0), (1, 0), (1, 1), (0, 1))),), lambda: picture(1, 1)),), "x y", "m"
    ),
}

TABLE = document(page(*(row(*cells, y=100 + 50 * number, is_row=True) for number, cells in enumerate(
    [("Item", "Qty", "Sum"), ("Rope | blue", "40", "48.00"), ("Total", "", "48.00")]
))))  # fmt: skip

every_document = pytest.mark.parametrize("sample", DOCUMENTS.values(), ids=list(DOCUMENTS))


def program(name: str) -> str:
    """Return the path of one of poppler's programs; CI has it."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"{name} is missing: install poppler-utils"
        pytest.skip(f"needs {name}, of Debian's package poppler-utils")
    return path
