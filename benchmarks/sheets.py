"""Paper that is written on: what the pages of `benchmarks.layouts` are drawn with.

Lengths are in letter heights, a letter height being the size of the font in pixels.
"""

import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

_NAMES = (
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
)
SIZES = (13, 14, 17, 20, 24, 30, 34, 42, 50, 67)  # pixels: 9 points at 100 dpi to 12 points at 400 dpi
MARGIN = 3.0
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


@cache
def fonts() -> tuple[str, ...]:
    """Return the fonts that are installed; Debian has all in fonts-dejavu, -freefont, -tlwg and -nanum."""
    return tuple(name for name in _NAMES if _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        ImageFont.truetype(name, 10)
    except OSError:
        return False
    return True


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
        self.name = chance.choice(fonts())
        self.leading = chance.uniform(1.2, 1.6)
        self.lines: list[str] = []  # in reading order
        self.ink: list[tuple[float, float, str, ImageFont.FreeTypeFont]] = []
        self._boxes: list[tuple[float, float, float, float, str | None]] = []

    def font(self, scale: float = 1.0) -> ImageFont.FreeTypeFont:
        """Return the font at so many letter heights."""
        return _font(self.name, round(self.size * scale))

    def write(self, x: float, y: float, text: str, scale: float = 1.0) -> None:
        """Draw one run of text with its left end at x and its line's top at y, both in letter heights."""
        self.ink.append((x * self.size, y * self.size, text, self.font(scale)))

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
        rights = [x + font.getlength(text) for x, _, text, font in self.ink] + [box[2] for box in self._boxes]
        bottoms = [y + font.size * 1.3 for _, y, _, font in self.ink] + [box[3] for box in self._boxes]
        margin = MARGIN * self.size
        image = Image.new("RGB", (round(max(rights) + margin), round(max(bottoms) + margin)), "white")
        draw = ImageDraw.Draw(image)
        for left, top, right, bottom, fill in self._boxes:
            draw.rectangle((left, top, right, bottom), fill=fill, outline="black", width=max(1, self.size // 16))
        for x, y, text, font in self.ink:
            draw.text((x, y), text, fill="black", font=font)
        if skew:
            image = image.rotate(skew, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
        return Drawn(image, "\n".join(self.lines))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(name, size)
