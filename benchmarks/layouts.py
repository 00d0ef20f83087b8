"""Printed pages whose reading order is known, because they are drawn here: `make(kind, seed)`.

Lengths are in letter heights, a letter height being the size of the font in pixels. The same seed gives the same page.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSansCondensed.ttf",
    "DejaVuSerifCondensed.ttf",
    "DejaVuSans-Bold.ttf",
    "FreeSans.ttf",
    "FreeSerif.ttf",
    "FreeMono.ttf",
    "Loma.ttf",
    "Norasi.ttf",
    "NanumGothic.ttf",
)  # those of them that are installed; Debian has them in fonts-dejavu, -freefont, -tlwg and -nanum
SIZES = (13, 14, 17, 20, 24, 30, 34, 42, 50, 67)  # pixels: 9 points at 100 dpi to 12 points at 400 dpi
MARGIN = 3.0
SKEW = 2.0  # degrees, the largest
_TEXT = """
the old mill stands where river bends and road from north comes down to ford nobody has ground corn there
since war but wheel still turns when water is high children are told not climb on it in autumn of that year
a stranger took upper room for month paid advance she wrote letters morning walked along bank after lunch
always alone with same grey umbrella baker said had come paint though no one seen her brush first snow fell
asked bill left key table was gone before post arrived years later parcel came town none us could find map
held view winter done ink note thanked silence we hung above stairs visitors ask who made say do know which
nearly true every spring marked new posts harbour built century ships grew too large walls granite islands
little repair lighthouse younger
"""
WORDS = _TEXT.split()
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


@dataclass(frozen=True)
class Drawn:
    """A page, and its text in reading order, one line of the page a line."""

    image: Image.Image  # RGB
    text: str


class Sheet:
    """White paper that grows with what is written on it, in one font."""

    def __init__(self, chance: random.Random, size: int | None = None) -> None:
        self.chance = chance
        self.size = size or chance.choice(SIZES)
        self.name = chance.choice(FONTS)
        self.leading = chance.uniform(1.2, 1.6)
        self.lines: list[str] = []  # in reading order
        self._ink: list[tuple[float, float, str, ImageFont.FreeTypeFont]] = []
        self._boxes: list[tuple[float, float, float, float, str | None]] = []

    def font(self, scale: float = 1.0) -> ImageFont.FreeTypeFont:
        """Return the font at so many letter heights."""
        return ImageFont.truetype(self.name, round(self.size * scale))

    def write(self, x: float, y: float, text: str, scale: float = 1.0) -> None:
        """Draw one run of text with its left end at x and its line's top at y, both in letter heights."""
        self._ink.append((x * self.size, y * self.size, text, self.font(scale)))

    def width(self, text: str, scale: float = 1.0) -> float:
        """Return how wide a text is, in letter heights."""
        return self.font(scale).getlength(text) / self.size

    def box(self, x: float, y: float, right: float, bottom: float, fill: str | None = None) -> None:
        """Draw a rectangle: filled, or its outline."""
        self._boxes.append((x * self.size, y * self.size, right * self.size, bottom * self.size, fill))

    def say(self, x: float, y: float, text: str, scale: float = 1.0) -> float:
        """Write a line that is next in reading order; return where the one below it starts."""
        self.write(x, y, text, scale)
        self.lines.append(text)
        return y + self.leading * scale

    def prose(self, x: float, y: float, width: float, rows: int, justified: bool = False) -> float:
        """Fill rows of a column with words, next in reading order; return where the row below starts."""
        for row in range(rows):
            words = self._row(width if row < rows - 1 else width * self.chance.uniform(0.4, 1.0))
            self.lines.append(" ".join(words))
            if justified and row < rows - 1 and len(words) > 1:
                space = (width - sum(map(self.width, words))) / (len(words) - 1)
                left = x
                for word in words:
                    self.write(left, y, word)
                    left += self.width(word) + space
            else:
                self.write(x, y, self.lines[-1])
            y += self.leading
        return y

    def _row(self, width: float) -> list[str]:
        words = [self.chance.choice(WORDS).capitalize() if self.chance.random() < 0.1 else self.chance.choice(WORDS)]
        while True:
            word = self.chance.choice(WORDS) + self.chance.choice(("", "", "", "", "", "", ",", "."))
            if self.width(" ".join([*words, word])) > width:
                return words
            words.append(word)

    def draw(self, skew: float = 0.0) -> Drawn:
        """Return the page, turned by so many degrees."""
        rights = [x + font.getlength(text) for x, _, text, font in self._ink] + [box[2] for box in self._boxes]
        bottoms = [y + font.size * 1.3 for _, y, _, font in self._ink] + [box[3] for box in self._boxes]
        margin = MARGIN * self.size
        image = Image.new("RGB", (round(max(rights) + margin), round(max(bottoms) + margin)), "white")
        draw = ImageDraw.Draw(image)
        for left, top, right, bottom, fill in self._boxes:
            draw.rectangle((left, top, right, bottom), fill=fill, outline="black", width=max(1, self.size // 16))
        for x, y, text, font in self._ink:
            draw.text((x, y), text, fill="black", font=font)
        if skew:
            image = image.rotate(skew, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
        return Drawn(image, "\n".join(self.lines))


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
    "sidebar": sidebar,
    "letter-head": letter_head,
    "invoice": invoice,
    "table": table,
    "receipt": receipt,
    "picture": picture,
}


def make(kind: str, seed: int) -> Drawn:
    """Draw a page of a kind; two in five lie askew."""
    chance = random.Random(f"{kind} {seed}")
    sheet = Sheet(chance)
    KINDS[kind](sheet)
    return sheet.draw(chance.uniform(-SKEW, SKEW) if chance.random() < 0.4 else 0.0)
