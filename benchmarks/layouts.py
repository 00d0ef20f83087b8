"""Printed pages whose reading order is known, because they are drawn here: `make(kind, seed)`.

Lengths are in letter heights, a letter height being the size of the font in pixels. The same seed gives the same page.
"""

import random
from collections.abc import Callable

from benchmarks.articles import list_beside, narrow_left, narrow_right, paragraphs
from benchmarks.forms import invoice, letter, letter_head, receipt, table
from benchmarks.sheets import MARGIN, WORDS, Drawn, Sheet

SKEW = 2.0  # degrees, the largest


def _columns(sheet: Sheet, count: int, gutter: float, y: float = MARGIN) -> None:
    chance = sheet.chance
    width = chance.uniform(12, 24) if count < 4 else chance.uniform(9, 13)
    justified = chance.random() < 0.5
    rows = chance.randint(8, 34)
    if chance.random() < 0.4:
        y = sheet.say(MARGIN, y, " ".join(chance.sample(WORDS, 4)).capitalize(), chance.choice((1.4, 1.8, 2.0))) + 0.6
    for column in range(count):
        short = rows if column < count - 1 else chance.randint(max(6, rows // 2), rows)
        sheet.prose(MARGIN + column * (width + gutter), y, width, short, justified)


def single(sheet: Sheet) -> None:
    """One column of paragraphs, ragged or justified."""
    y, width, justified = MARGIN, sheet.chance.uniform(16, 42), sheet.chance.random() < 0.6
    for _ in range(sheet.chance.randint(1, 4)):
        y = sheet.prose(MARGIN, y, width, sheet.chance.randint(3, 9), justified) + sheet.chance.choice((0, 0.8))


def sidebar(sheet: Sheet) -> None:
    """One or two columns beside a box with short lines, under a heading."""
    chance, y = sheet.chance, MARGIN
    y = sheet.say(MARGIN, y, " ".join(chance.sample(WORDS, 4)).capitalize(), 1.7) + 0.8
    left, top, width, gutter = MARGIN, y, chance.uniform(14, 20), chance.uniform(1.2, 3)
    for _ in range(chance.randint(1, 2)):
        sheet.prose(left, top, width, chance.randint(10, 24), chance.random() < 0.5)
        left += width + gutter
    rows = ["In brief", *(f"{chance.choice(WORDS).capitalize()} {chance.randint(2, 1900)}" for _ in range(6))]
    wide = max(map(sheet.width, rows)) + 1.6
    sheet.box(left, top - 0.4, left + wide, top + len(rows) * 1.5 + 1, chance.choice((None, "#e9e9da", "#dde6f2")))
    for row in rows:
        sheet.say(left + 0.8, top + 0.3, row)
        top += 1.5


def picture(sheet: Sheet) -> None:
    """Two columns, the first below a picture and its caption."""
    chance, width, gutter = sheet.chance, sheet.chance.uniform(14, 20), sheet.chance.uniform(1.0, 3)
    height = chance.uniform(8, 14)
    sheet.box(MARGIN, MARGIN, MARGIN + width, MARGIN + height, "#8a8a8a")
    y = MARGIN + height + 0.5
    if chance.random() < 0.5:
        y = sheet.say(MARGIN, y, "Figure 1: " + " ".join(chance.sample(WORDS, 2))) + 0.8
    sheet.prose(MARGIN, y, width, chance.randint(4, 12))
    sheet.prose(MARGIN + width + gutter, MARGIN, width, chance.randint(12, 22))


def _columns_of(count: int, gutter: float) -> Callable[[Sheet], None]:
    return lambda sheet: _columns(sheet, count, gutter)


KINDS: dict[str, Callable[[Sheet], None]] = {
    "single": single,
    "columns-2-gutter-0.8": _columns_of(2, 0.8),
    "columns-2-gutter-1.0": _columns_of(2, 1.0),
    "columns-2-gutter-2.0": _columns_of(2, 2.0),
    "columns-3": lambda sheet: _columns(sheet, 3, sheet.chance.uniform(1, 2.5)),
    "columns-4": lambda sheet: _columns(sheet, 4, sheet.chance.uniform(1, 2.5)),
    "paragraphs-2-gutter-0.8": lambda sheet: paragraphs(sheet, 2, 0.8),
    "paragraphs-2": lambda sheet: paragraphs(sheet, 2, sheet.chance.uniform(1, 2)),
    "paragraphs-3": lambda sheet: paragraphs(sheet, 3, sheet.chance.uniform(1, 2)),
    "sidebar": sidebar,
    "narrow-left": narrow_left,
    "narrow-right": narrow_right,
    "list-beside": list_beside,
    "letter-head": letter_head,
    "letter": letter,
    "invoice": invoice,
    "table": table,
    "receipt": receipt,
    "picture": picture,
}


def sheet_of(kind: str, seed: int) -> tuple[Sheet, float]:
    """Write a page of a kind; return it with the degrees by which it lies askew, as two in five do."""
    chance = random.Random(f"{kind} {seed}")
    sheet = Sheet(chance)
    KINDS[kind](sheet)
    return sheet, chance.uniform(-SKEW, SKEW) if chance.random() < 0.4 else 0.0


def make(kind: str, seed: int) -> Drawn:
    """Draw a page of a kind."""
    sheet, skew = sheet_of(kind, seed)
    return sheet.draw(skew)
