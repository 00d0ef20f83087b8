"""Letters, invoices, tables and receipts whose reading order is known: kinds of `benchmarks.layouts`."""

import random
from collections.abc import Callable, Sequence

from benchmarks.sheets import MARGIN, Sheet

PLACES = ("Porto", "Lyon", "Graz", "Leeds", "Turin", "Basel", "Ghent", "Malmo")
NAMES = (
    "Anna Keller",
    "Bruno Diaz",
    "Carla Rossi",
    "David Moore",
    "Elif Aydin",
    "Grace Lee",
    "Hugo Martin",
    "Ines Costa",
)
GOODS = (
    "Rope, 12 mm, blue",
    "Shackle, steel",
    "Delivery",
    "Canvas bag",
    "Brass lamp, large",
    "Paint, white",
    "Oak board",
)
MONTHS = ("January", "March", "April", "June", "August", "October")


def letter_head(sheet: Sheet) -> None:
    """An address with lines of its own beside the date, or beside the sender's; then the letter."""
    chance = sheet.chance
    address = [
        chance.choice(("Harbour Works Ltd", "Miller and Sons", "Northern Rope Company")),
        chance.choice(("Accounts payable", "Purchasing", "Attn. " + chance.choice(NAMES))),
        f"{chance.randint(1, 99)} {chance.choice(('Quay Street', 'Mill Lane', 'Station Road'))}",
        f"{chance.randint(1000, 9999)} {chance.choice(PLACES)}",
    ]
    date = f"{chance.randint(1, 28)} {chance.choice(MONTHS)} {chance.randint(1999, 2025)}"
    beside = [
        [date],
        [f"{chance.choice(PLACES)}, {date}"],
        [chance.choice(NAMES), f"{chance.randint(1, 99)} High Street", f"{chance.randint(1000, 9999)} Ghent", date],
        ["Phone 0551 " + str(chance.randint(10000, 99999)), "office@mill.example", "www.mill.example"],
    ]
    right, second = MARGIN + chance.uniform(22, 30), chance.choice(beside)
    y = MARGIN
    for line in address:
        y = sheet.say(MARGIN, y, line)
    top = MARGIN + sheet.leading * chance.choice((0, 0, 0.5, len(address) - len(second)))
    for line in second:
        top = sheet.say(right, max(top, MARGIN), line)
    y = sheet.say(MARGIN, max(y, top) + 2, "Dear Sir or Madam,") + 0.8
    sheet.prose(MARGIN, y, right + 8 - MARGIN, chance.randint(5, 14))


def letter(sheet: Sheet) -> None:
    """A letter whose sender stands at the right, above the address or beside it, or across the page; with a date."""
    chance, full = sheet.chance, sheet.chance.uniform(34, 44)
    sender = ["Miller and Sons", "Mill Lane 4", "4011 Graz", "Tel. 0551 39281", "office@mill.example"]
    sender = sender[: chance.randint(2, 5)]
    address = [chance.choice(("Harbour Works Ltd", "Purchasing", "Attn. " + chance.choice(NAMES)))]
    address += [f"{chance.randint(1, 99)} Quay Street", f"{chance.randint(1000, 9999)} {chance.choice(PLACES)}"]
    date = f"{chance.randint(1, 28)} {chance.choice(MONTHS)} {chance.randint(1999, 2025)}"
    y, style = MARGIN, chance.choice(("above", "beside", "across"))
    right = MARGIN + full - max(map(sheet.width, sender))
    if style == "across":
        y = _lines(sheet, lambda line: MARGIN + (full - sheet.width(line)) / 2, y, sender[:3]) + 1.5
        bottom = _lines(sheet, lambda _: MARGIN, y, address)
        row = y + chance.choice((0, 0.5, len(address) - 1)) * sheet.leading
        y = max(bottom, sheet.say(MARGIN + full - sheet.width(date), row, date))
    elif style == "above":
        y = _lines(sheet, lambda line: MARGIN + full - sheet.width(line), y, sender) + chance.uniform(0, 2)
        y = _lines(sheet, lambda _: MARGIN, y, address) + 1
        y = sheet.say(MARGIN + full - sheet.width(date), y, date)
    else:
        bottom = _lines(sheet, lambda _: MARGIN, y, address)
        y = max(bottom, _lines(sheet, lambda _: right, y + chance.choice((0, 0.5)), sender)) + 1.2
        y = sheet.say(MARGIN, y, date)
    y = sheet.say(MARGIN, y + 1.5, "Dear Sir or Madam,") + 0.8
    y = sheet.say(MARGIN, sheet.prose(MARGIN, y, full, chance.randint(4, 12)) + 1, "Yours sincerely,") + 1.5
    sheet.say(MARGIN, y, chance.choice(NAMES))


def _lines(sheet: Sheet, left: Callable[[str], float], y: float, lines: Sequence[str]) -> float:
    """Write lines next in reading order, from where `left` says; return where the one below starts."""
    for line in lines:
        y = sheet.say(left(line), y, line)
    return y


def invoice(sheet: Sheet) -> None:
    """An address beside pairs of a label and a value; then a table without rules, and its total."""
    chance, y = sheet.chance, MARGIN
    address = ["Harbour Works Ltd", "Accounts payable", "7 Quay Street", f"4011 {chance.choice(PLACES)}"]
    pairs = [("Invoice no.", f"2024-{chance.randint(100, 999)}"), ("Date", "17 Aug 2024"), ("Customer no.", "C-20931")]
    for line in address:
        y = sheet.say(MARGIN, y, line)
    top = MARGIN
    for label, value in pairs:
        sheet.write(MARGIN + 24, top, label)
        sheet.write(MARGIN + 32, top, value)
        sheet.lines.append(f"{label} {value}")
        top += sheet.leading
    y = sheet.say(MARGIN, y + 1.5, "INVOICE", 1.6) + 1
    rows = [("Pos", "Description", "Qty", "Price", "Sum")]
    for position in range(1, chance.randint(3, 8)):
        price = chance.randint(100, 9900) / 100
        count = chance.randint(1, 9)
        rows.append((str(position), chance.choice(GOODS), str(count), f"{price:.2f}", f"{price * count:.2f}"))
    _table(sheet, y, (0, 2.5, 18, 24, 31), [*rows, ("", "", "", "Total", f"{chance.randint(100, 9900)}.50")], False)


def table(sheet: Sheet) -> None:
    """A table, with rules or without."""
    chance = sheet.chance
    rows = [("ID", "Name", "City", "Amount", "Date")]
    for number in range(chance.randint(5, 20)):
        amount, date = (
            f"{chance.randint(100, 99999) / 100:.2f}",
            f"2024-{chance.randint(10, 12)}-{chance.randint(10, 28)}",
        )
        rows.append((str(101 + number), chance.choice(NAMES), chance.choice(PLACES), amount, date))
    _table(sheet, MARGIN, (0, *_edges(chance, (2.6, 8, 5, 6))), rows, chance.random() < 0.5)


def _edges(chance: random.Random, widths: Sequence[float]) -> list[float]:
    edges, x = [], 0.0
    for width in widths:
        x += width + chance.uniform(0, 2)
        edges.append(x)
    return edges


def _table(sheet: Sheet, y: float, edges: Sequence[float], rows: Sequence[Sequence[str]], ruled: bool) -> None:
    step = sheet.leading + sheet.chance.uniform(0.2, 0.6)
    for row in rows:
        for edge, cell in zip(edges, row, strict=True):
            if cell:
                sheet.write(MARGIN + edge, y, cell)
            if ruled:
                sheet.box(MARGIN + edge - 0.4, y - 0.25, MARGIN + edges[-1] + 7, y - 0.25 + step)
        sheet.lines.append(" ".join(filter(None, row)))
        y += step


def receipt(sheet: Sheet) -> None:
    """A label and its amount at the other edge, on each row."""
    chance, y = sheet.chance, MARGIN
    y = sheet.say(MARGIN + 5, y, "MARKET SOUTH", 1.2)
    y = sheet.say(MARGIN + 4, y, f"47506 {chance.choice(PLACES)} 12") + 0.8
    for _ in range(chance.randint(4, 12)):
        label, amount = chance.choice(GOODS).upper(), f"{chance.randint(1, 99)},{chance.randint(10, 99)} A"
        sheet.write(MARGIN, y, label)
        sheet.write(MARGIN + 24 - sheet.width(amount), y, amount)
        sheet.lines.append(f"{label} {amount}")
        y += sheet.leading
    sheet.say(MARGIN + 4, y + 1, "Thank you for shopping!")
