"""Judges whether the text that a page of a PDF holds says what is seen on it.

It does if it is legible and covers what is drawn: not if its font has no Unicode for its letters, or the wrong one, nor
if it is only a stamp on an image. OCRmyPDF's `--skip-text` asks less: any text at all.
"""

import ctypes
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from models.reading.geometry import Floats

_GARBAGE = 0.1
"""The largest share of characters that stand for nothing; a few bullets are on many pages."""
_LETTERS, _VOWELS = 100, 0.22
"""How many letters of Latin words of four and more tell of a page's text, and the least share of them that are vowels.
Languages that are written in these letters have a third and more, text with other letters in their places half of it. A
page of codes is read, which does no harm."""
_LITTLE = 200
"""Characters. A stamp, a header of a fax or a signature on a scan has fewer; most pages of text have more."""
_SMALL, _LARGE = 0.05, 0.5
"""Shares of a page that pictures cover: so little is no picture of text; so much may be a scan."""
_PATHS = 300
"""Drawn shapes on a page with little text that may be its letters."""
_COVERED = 0.5
"""The least share of the ink on a page that lies under its text if this is all the text that is seen."""
_DPI, _LONGEST, _CONTRAST, _MARGIN = 50, 1_000, 60, 0.3
"""Of the picture on which ink is looked for: its resolution and longest side; grey levels by which ink differs; what is
added around words, in their height."""
_GRID, _MAX_OBJECTS, _MAX_DEPTH = 50, 20_000, 5

_NOTHING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufffd-\uffff\U000f0000-\U0010ffff]")
"""Control and private characters, and those that stand for others that are missing."""
_LATIN = re.compile("[a-zA-Z\u00c0-\u024f]{4,}")
_VOWEL = re.compile("[aeiouyAEIOUY\u00c6\u00d8\u00e6\u00f8\u0152\u0153\u0131]")


def is_legible(words: Sequence[str], unmapped: int = 0) -> bool:
    """Tell words from what a font without a table of its characters makes of them.

    Args:
        words: of a page.
        unmapped: how many of them begin with a character that the font has no Unicode for.
    """
    letters = sum(map(len, words))
    if not letters or unmapped > _GARBAGE * len(words):
        return False
    if len(_NOTHING.findall("".join(words))) > _GARBAGE * letters:
        return False
    latin = "".join(match[0] for word in words for match in _LATIN.finditer(word))
    vowels = len(_VOWEL.findall(unicodedata.normalize("NFD", latin)))
    return len(latin) < _LETTERS or vowels >= _VOWELS * len(latin)


def covers(page: pypdfium2.PdfPage, to_page: Floats, words: Sequence[str], boxes: Floats) -> bool:
    """Tell whether words are the text that is seen on a page, and not a stamp on the image of one.

    Args:
        page: the page.
        to_page: page coordinates in fractions of the page as it is shown: (3, 2), for x, y and 1.
        words: those of its text.
        boxes: (n, 4) of the words, in fractions of the page: left, top, right, bottom.
    """
    pictured, paths = _drawn(page, to_page)
    is_little = sum(map(len, words)) < _LITTLE
    if pictured < (_SMALL if is_little else _LARGE) and not (is_little and paths >= _PATHS):
        return True
    return _inked_under(page, boxes) >= _COVERED


def _drawn(page: pypdfium2.PdfPage, to_page: Floats) -> tuple[float, int]:
    """Return the share of a page that pictures cover, and the number of shapes that are drawn on it."""
    cells = np.zeros((_GRID, _GRID), np.bool_)
    paths = 0
    for kind, drawn, placement in islice(_objects(page, to_page), _MAX_OBJECTS):
        paths += kind == pdfium.FPDF_PAGEOBJ_PATH
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            corners = _corners(drawn) @ placement
            first, last = np.clip(np.stack([corners.min(axis=0), corners.max(axis=0)]), 0, 1) * _GRID
            (left, top), (right, bottom) = np.floor(first).astype(int), np.ceil(last).astype(int)
            cells[top:bottom, left:right] = True
    return float(cells.mean()), paths


def _objects(page: pypdfium2.PdfPage, to_page: Floats) -> Iterator[tuple[int, Any, Floats]]:
    """Yield what is drawn on a page: its kind, itself, and its coordinates in fractions of the page, as `to_page`."""
    return _within(page, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject, to_page, _MAX_DEPTH)


def _within(
    owner: Any, count: Callable[[Any], int], item: Callable[[Any, int], Any], to_page: Floats, depth: int
) -> Iterator[tuple[int, Any, Floats]]:
    for number in range(count(owner)):
        found = item(owner, number)
        kind = pdfium.FPDFPageObj_GetType(found)
        if kind == pdfium.FPDF_PAGEOBJ_FORM and depth:
            count_inner, inner = pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject
            yield from _within(found, count_inner, inner, _matrix(found) @ to_page, depth - 1)
        else:
            yield kind, found, to_page


def _corners(drawn: Any) -> Floats:
    """Return the corners (4, 3) of the box around something drawn, in its own coordinates: x, y and 1."""
    sides = [ctypes.c_float() for _ in range(4)]
    pdfium.FPDFPageObj_GetBounds(drawn, *sides)
    left, bottom, right, top = (side.value for side in sides)
    return np.array([[left, bottom, 1], [left, top, 1], [right, bottom, 1], [right, top, 1]])


def _matrix(form: Any) -> Floats:
    """Return the matrix of a form: (3, 3), for rows of x, y and 1."""
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(form, matrix)
    return np.array([[matrix.a, matrix.b, 0], [matrix.c, matrix.d, 0], [matrix.e, matrix.f, 1]])


def _inked_under(page: pypdfium2.PdfPage, boxes: Floats) -> float:
    """Return the share of a page's ink that lies under boxes (n, 4); 1 for a blank page."""
    grey: Image.Image = (
        page.render(scale=min(_DPI / 72, _LONGEST / max(page.get_size())), grayscale=True).to_pil().convert("L")
    )
    contrast = ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(3)), grey.filter(ImageFilter.MinFilter(3)))
    ink = np.asarray(contrast) >= _CONTRAST
    if not ink.any():
        return 1.0
    under = Image.new("1", grey.size)
    draw = ImageDraw.Draw(under)
    margins = _MARGIN * np.minimum(*((boxes[:, 2:] - boxes[:, :2]) * grey.size).T)[:, None]
    wide = boxes * (*grey.size, *grey.size) + np.concatenate([-margins, -margins, margins, margins], axis=1)
    for box in wide.tolist():
        draw.rectangle(box, fill=1)
    return float((ink & np.asarray(under)).sum() / ink.sum())
