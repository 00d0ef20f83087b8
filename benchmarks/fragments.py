"""The fragments that a detector would find on a drawn page, and its text in their order: layout without networks.

A fragment has the words of a row that stand close, a little wider and higher than their ink, with its edges off by some
hundredths of a letter height. The gaps in it are seen in the pixels, as on a page that is read.
"""

import random
import re
from typing import NamedTuple

import numpy as np

from benchmarks.sheets import Sheet
from models.reading.amounts import kinds_of
from models.reading.crops import Floats, Pixels, cut
from models.reading.geometry import rotate
from models.reading.layout import arrange
from models.reading.pieces import cut_pieces
from models.reading.runs import runs

JOINED = (0.9, 1.6)  # letter heights: words that stand closer are one fragment; drawn anew for each gap
ABOVE, BELOW, BESIDE = 0.85, 0.33, 0.12  # how far a fragment reaches from the base line, and from its ends
OFF = 0.06


class Word(NamedTuple):
    """A word with its ends and its base line in pixels, and the size of its font."""

    text: str
    left: float
    right: float
    base: float
    size: float


def read_in_order(sheet: Sheet, skew: float, chance: random.Random) -> str:
    """Return the text of a page, turned by so many degrees, in the order in which its fragments would be read."""
    straight = sheet.draw()
    fragments = joined(words_of(sheet), chance)
    polygons = np.array([polygon_of(fragment, chance) for fragment in fragments])
    image = np.asarray(straight.image)
    if skew:
        image = np.asarray(sheet.draw(skew).image)
        middles = (np.array(shape[1::-1]) / 2 for shape in (straight.image.size[::-1], image.shape))
        before, after = middles
        polygons = rotate(polygons - before, -skew) + after
    return in_order(image.astype(np.uint8), polygons, fragments)


def in_order(image: Pixels, polygons: Floats, fragments: list[list[Word]]) -> str:
    """Return the words of fragments (n, 4, 2) in reading order, one line of the page a line."""
    pieces = cut_pieces(polygons, [runs(cut(image, polygon)) for polygon in polygons])
    texts = [
        " ".join(word.text for word in fragments[owner] if start <= middle_of(word, fragments[owner]) < end)
        for owner, (start, end) in zip(pieces.owners, pieces.bounds, strict=True)
    ]
    kept = [number for number, text in enumerate(texts) if text]
    lines = arrange(pieces.polygons[kept], kinds_of([texts[number] for number in kept]))
    return "\n".join(" ".join(texts[kept[piece]] for piece in line.pieces) for line in lines)


def words_of(sheet: Sheet) -> list[Word]:
    """Return the words that were written on a sheet."""
    words = []
    for x, y, text, font in sheet.ink:
        base = y + font.getmetrics()[0]
        for found in re.finditer(r"\S+", text):
            left, right = (x + font.getlength(text[:end]) for end in found.span())
            words.append(Word(found[0], left, right, base, font.size))
    return words


def joined(words: list[Word], chance: random.Random) -> list[list[Word]]:
    """Return words as fragments: those of a row that stand close."""
    fragments: list[list[Word]] = []
    for word in sorted(words, key=lambda word: (row_of(word), word.left)):
        last = fragments[-1][-1] if fragments else None
        close = chance.uniform(*JOINED) * word.size
        same = last is not None and row_of(last) == row_of(word) and last.size == word.size
        if last is not None and same and word.left - last.right < close:
            fragments[-1].append(word)
        else:
            fragments.append([word])
    return fragments


def row_of(word: Word) -> int:
    """Return the number of the row that a word stands on; rows that differ by a tenth of a letter height are others."""
    return round(word.base / (0.1 * word.size))


def polygon_of(fragment: list[Word], chance: random.Random) -> Floats:
    """Return the polygon (4, 2) of a fragment on the page before it is turned."""
    first, last = fragment[0], fragment[-1]
    off = [chance.uniform(-OFF, OFF) * first.size for _ in range(4)]
    left, right = first.left - BESIDE * first.size + off[0], last.right + BESIDE * first.size + off[1]
    top, bottom = first.base - ABOVE * first.size + off[2], first.base + BELOW * first.size + off[3]
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def middle_of(word: Word, fragment: list[Word]) -> float:
    """Return the middle of a word as a share of its fragment's length."""
    left, right = fragment[0].left - BESIDE * word.size, fragment[-1].right + BESIDE * word.size
    return ((word.left + word.right) / 2 - left) / (right - left)
