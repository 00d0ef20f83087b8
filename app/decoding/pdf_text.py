"""Takes the text that a PDF holds, with its places."""

import ctypes
import math
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple, Self

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from app.decoding.soundness import covers, is_legible
from models.reading.geometry import Floats, turn_back

_MOST_CHARACTERS, _MOST_ROWS = 50_000, 2_000
"""Of a page; more are not for people to read."""
_SAME_ROW, _BACK, _TOUCHING = 0.5, 0.5, 0.05
"""Share of the lower height that words of a row have in common; how far a word may begin before the end of the last,
and how far from it where both are one, in heights."""
_WORD = re.compile(r"\S+")
_HYPHEN = "\x02"
"""What PDFium makes of a hyphen at the end of a line."""


def take(page: pypdfium2.PdfPage) -> dict[str, Any]:
    """Return the text of a page.

    Returns:
        `rows`: each `[polygon, [[word, start, end], ...]]`, as `models.reading.text_layer.Row` has them.
        `sound`: whether they say what is on the page.

    Raises:
        PdfiumError: broken.
    """
    with closing(page.get_textpage()) as layer:
        if layer.count_chars() > _MOST_CHARACTERS:
            return {"rows": [], "sound": False}
        to_page = _to_page(page)
        words = _Words(page, layer, _text(layer), to_page)
        rows = list(words.rows())
        if len(rows) > _MOST_ROWS:
            return {"rows": [], "sound": False}
        is_sound = is_legible(words.texts, words.unmapped) and covers(page, to_page, words.texts, words.boxes)
        return {"rows": rows, "sound": is_sound}


def flatten(document: pypdfium2.PdfDocument, number: int) -> None:
    """Make what annotations show, such as the values of form fields, a part of the page: its text is taken with it."""
    with closing(document[number]) as page:
        if pdfium.FPDFPage_GetAnnotCount(page) > 0:
            pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)


def _text(layer: pypdfium2.PdfTextPage) -> str:
    """Return the characters of a page, each at its number."""
    count: int = layer.count_chars()
    text = layer.get_text_range() if count else ""
    if isinstance(text, str) and len(text) == count:
        return text
    # PDFium leaves characters without Unicode out there.
    return "".join(chr(pdfium.FPDFText_GetUnicode(layer, at)) for at in range(count))


def _whole(word: str) -> str:
    """Return a word with halves of characters joined: PDFium counts in UTF-16. A half alone is U+FFFD."""
    return word.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Words:
    """The words of a page, in the order of the file.

    Attributes:
        texts: of each.
        boxes: (n, 4), left, top, right, bottom in fractions of the page.
        unmapped: how many begin with a character that the font has no Unicode for.
    """

    def __init__(self, page: pypdfium2.PdfPage, layer: pypdfium2.PdfTextPage, text: str, to_page: Floats) -> None:
        self._layer, self._size = layer, page.get_size()
        found = list(_WORD.finditer(text))
        ends = [self._box(at) for match in found for at in (match.start(), match.end() - 1)]
        # (words, first and last character, left top and right bottom, x and y)
        corners = (np.array(ends, np.float64).reshape(-1, 2) @ to_page[:2] + to_page[2]).reshape(-1, 2, 2, 2)
        inside = ((corners.mean(axis=(1, 2)) >= 0) & (corners.mean(axis=(1, 2)) <= 1)).all(axis=1)
        found = [match for match, is_inside in zip(found, inside, strict=True) if is_inside]
        self._corners = corners[inside]
        self._turns = np.array([self._turn(match.start()) for match in found], np.intp) - page.get_rotation() // 90
        # Where a raised or lowered character touches a word, PDFium begins a line.
        self._after_break = [" " not in text[max(match.start() - 2, 0) : match.start()] for match in found]
        self.texts = [_whole(match[0].replace(_HYPHEN, "-")) for match in found]
        self.boxes = np.concatenate([self._corners.min(axis=(1, 2)), self._corners.max(axis=(1, 2))], axis=1)
        self.unmapped = sum(pdfium.FPDFText_HasUnicodeMapError(layer, match.start()) == 1 for match in found)

    def rows(self) -> Iterator[list[Any]]:
        """Yield the words that follow one another on a row: `[polygon, [[word, start, end], ...]]`."""
        size = np.array(self._size)
        boxes = np.zeros((len(self.texts), 2, 4))
        turns = self._turns % 4
        for turn in range(4):
            among = turns == turn
            points = turn_back(self._corners[among], -90 * turn % 360) * (size if turn % 2 == 0 else size[::-1])
            boxes[among] = np.concatenate([points.min(axis=2), points.max(axis=2)], axis=2)
        row: list[_Placed] = []
        words = map(_Placed.of, self.texts, turns.tolist(), *boxes.transpose(1, 0, 2).tolist())
        for word, after_break in zip(words, self._after_break, strict=True):
            if row and not word.follows(row[-1]):
                yield self._row(row)
                row = []
            if row and after_break and word.touches(row[-1]):
                row[-1] = row[-1].joined(word)
            else:
                row.append(word)
        if row:
            yield self._row(row)

    def _row(self, words: "list[_Placed]") -> list[Any]:
        degrees = 90 * words[0].turn
        across = np.array(self._size if degrees % 180 == 0 else self._size[::-1])
        backward = words[0].backward
        words = sorted(words, key=lambda word: word.left)
        left, right = words[0].left, words[-1].right
        (top, bottom), (end_top, end_bottom) = (
            (words[0].last, words[-1].first) if backward else (words[0].first, words[-1].last)
        )
        polygon = turn_back(
            np.array([[left, top], [right, end_top], [right, end_bottom], [left, bottom]]) / across, degrees
        )
        length = max(right - left, 1e-6)
        shares = [[word.text, (word.left - left) / length, (word.right - left) / length] for word in words]
        if backward:
            shares = [[" ".join(word.text for word in reversed(words)), 0.0, 1.0]]
        return [np.clip(polygon, 0, 1).tolist(), shares]

    def _box(self, at: int) -> tuple[float, float, float, float]:
        box = pdfium.FS_RECTF()
        pdfium.FPDFText_GetLooseCharBox(self._layer, at, box)
        return box.left, box.top, box.right, box.bottom

    def _turn(self, at: int) -> int:
        """Return by how many quarters of a turn, anticlockwise, a character is turned."""
        return round(float(pdfium.FPDFText_GetCharAngle(self._layer, at)) / (math.pi / 2))


class _Placed(NamedTuple):
    """A word, turned upright: its ends in points, and the top and the bottom of its first and its last character. It is
    written backward if it runs from right to left."""

    text: str
    turn: int
    left: float
    right: float
    first: tuple[float, float]
    last: tuple[float, float]
    backward: bool

    @classmethod
    def of(cls, text: str, turn: int, first: list[float], last: list[float]) -> Self:
        """Take the boxes of the first and the last character: left, top, right, bottom."""
        backward = first[0] > last[0]
        left, right = (last[0], first[2]) if backward else (first[0], last[2])
        return cls(text, turn, left, right, (first[1], first[3]), (last[1], last[3]), backward)

    def touches(self, other: "_Placed") -> bool:
        """Tell whether no paper is between the word and the one before it, both written from left to right."""
        gap = abs(self.left - other.right)
        return gap <= _TOUCHING * (other.last[1] - other.last[0]) and not (self.backward or other.backward)

    def joined(self, other: "_Placed") -> "_Placed":
        """Return this word with one that touches its end."""
        return self._replace(text=self.text + other.text, right=other.right, last=other.last)

    def follows(self, other: "_Placed") -> bool:
        """Tell whether the word stands on one row with the one before it, and comes after it."""
        (top, bottom), (other_top, other_bottom) = self.first, other.last
        height, other_height = bottom - top, other_bottom - other_top
        common = min(bottom, other_bottom) - max(top, other_top)
        if self.turn != other.turn or common < _SAME_ROW * min(height, other_height):
            return False
        gap = other.left - self.right if self.backward else self.left - other.right
        return gap >= -_BACK * max(height, other_height)


def _to_page(page: pypdfium2.PdfPage) -> Floats:
    """Return what page coordinates are in fractions of the page as it is shown: (3, 2), for x, y and 1."""
    whole, far = 1_000_000, 10_000
    x, y = ctypes.c_int(), ctypes.c_int()

    def shown(*point: float) -> Floats:
        pdfium.FPDF_PageToDevice(page, 0, 0, whole, whole, 0, *point, x, y)
        return np.array([x.value, y.value]) / whole

    origin = shown(0, 0)
    return np.stack([(shown(far, 0) - origin) / far, (shown(0, far) - origin) / far, origin])
