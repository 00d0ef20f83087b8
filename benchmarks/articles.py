"""Articles whose reading order is known: columns of paragraphs, and what stands beside running text. Kinds of
`benchmarks.layouts`."""

from benchmarks.sheets import MARGIN, WORDS, Sheet


def some(sheet: Sheet, count: int) -> str:
    """Return so many words."""
    return " ".join(sheet.chance.choice(WORDS) for _ in range(count))


def paragraphs(sheet: Sheet, count: int, gutter: float) -> None:
    """Columns of paragraphs with headings, under a title or an introduction across them, over the page's number."""
    chance, width = sheet.chance, sheet.chance.uniform(10, 22)
    full, justified = count * width + (count - 1) * gutter, sheet.chance.random() < 0.5
    top = MARGIN
    if chance.random() < 0.6:
        top = sheet.say(MARGIN, top, some(sheet, 3).capitalize(), chance.choice((1, 1.5, 2))) + chance.choice(
            (0.5, 1.5)
        )
    if chance.random() < 0.3:
        top = sheet.prose(MARGIN, top, full, chance.randint(2, 4), justified) + chance.choice((0.3, 1))
    apart, usual, bottoms = chance.choice((0, 0.5, 1.0)), chance.randint(2, 6), [top]
    for column in range(count):
        x, y = MARGIN + column * (width + gutter), top
        for _ in range(chance.randint(max(1, usual - 1), usual + 1)):
            if chance.random() < 0.25:
                y = sheet.say(x, y, some(sheet, 2).capitalize(), chance.choice((1, 1.2))) + chance.choice((0, 0.3))
            y = sheet.prose(x, y, width, chance.randint(3, 8), justified) + apart
        bottoms.append(y)
    if chance.random() < 0.4:
        sheet.say(MARGIN + full / 2, max(bottoms) + 1.5, str(chance.randint(1, 300)))


def narrow_left(sheet: Sheet) -> None:
    """A narrow column, in a box or not, at the left of a wide one."""
    chance, top = sheet.chance, _titled(sheet)
    width, gutter, rows = chance.uniform(7, 11), chance.uniform(1.2, 3), chance.randint(4, 9)
    if chance.random() < 0.6:
        _box(sheet, MARGIN, top, width, rows)
    sheet.prose(MARGIN, top, width, rows)
    wide = chance.uniform(18, 28)
    sheet.prose(MARGIN + width + gutter, top, wide, rows + chance.randint(4, 14), chance.random() < 0.5)


def narrow_right(sheet: Sheet) -> None:
    """A narrow column under a heading of its own, in a box or not, at the right of a wide one."""
    chance, top = sheet.chance, _titled(sheet)
    wide, gutter = chance.uniform(18, 28), chance.uniform(1.5, 3)
    sheet.prose(MARGIN, top, wide, chance.randint(12, 24), chance.random() < 0.5)
    x, y = MARGIN + wide + gutter, top + chance.choice((0, 2, 4))
    width, rows = chance.uniform(7, 11), chance.randint(4, 9)
    if chance.random() < 0.7:
        _box(sheet, x, y, width, rows + 1)
    sheet.prose(x, sheet.say(x, y, some(sheet, 2).capitalize()[:12]), width, rows)


def list_beside(sheet: Sheet) -> None:
    """Short lines, on the same rows, at the right of running text."""
    chance = sheet.chance
    wide, gutter = chance.uniform(18, 28), chance.uniform(1.0, 3)
    sheet.prose(MARGIN, MARGIN, wide, chance.randint(8, 24), chance.random() < 0.5)
    y = sheet.say(MARGIN + wide + gutter, MARGIN, chance.choice(("Contents", "Contact", "Opening hours", "Facts")))
    for _ in range(chance.randint(3, 7)):
        item = chance.choice((some(sheet, 1), some(sheet, 2), f"Tel. {chance.randint(100, 999)}", "Mon-Fri 9-17"))
        y = sheet.say(MARGIN + wide + gutter, y, item)


def _titled(sheet: Sheet) -> float:
    return sheet.say(MARGIN, MARGIN, some(sheet, 4).capitalize(), 1.7) + 0.8 if sheet.chance.random() < 0.6 else MARGIN


def _box(sheet: Sheet, x: float, y: float, width: float, rows: int) -> None:
    fill = sheet.chance.choice((None, "#eeeeee"))
    sheet.box(x - 0.6, y - 0.5, x + width + 0.6, y + rows * sheet.leading + 0.8, fill)
