"""Draw the sample images that lie beside this script.

Usage: python Input/make_samples.py [output directory]

Everything is drawn here from shapes, curves and the font that comes with Pillow, so the pictures
may be used freely. The random numbers are seeded: the same versions of Pillow and NumPy write the
same bytes each time.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Point = tuple[float, float]
Colour = tuple[int, ...]

SUPERSAMPLE = 2  # Pillow's shapes have hard edges: they are drawn larger and scaled down.
WORD_SPACE = 0.30  # Of the font size. The font's own space is so narrow that words seem to touch.
WHITE: Colour = (255, 255, 255)


# ---------------------------------------------------------------- drawing tools


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font; only a Pillow built without FreeType lacks it."""
    loaded = ImageFont.load_default(size=size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, which the samples need")
    return loaded


def smooth_curve(points: Sequence[Point], steps: int = 16) -> list[Point]:
    """Return a Catmull-Rom curve through the points; a point given twice makes a corner."""
    padded = [points[0], *points, points[-1]]
    curve: list[Point] = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(steps):
            t = step / steps
            x, y = (
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
                for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
            )
            curve.append((x, y))
    return [*curve, points[-1]]


def gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """Return an image that fades from the top colour to the bottom colour."""
    share = np.linspace(0.0, 1.0, size[1])[:, None, None]
    column = np.array(top) * (1 - share) + np.array(bottom) * share
    pixels = np.broadcast_to(column, (size[1], size[0], 3))
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def add_noise(image: Image.Image, strength: float, seed: int) -> Image.Image:
    """Return the image with grey grain, which also hides the steps in soft gradients."""
    grain = np.random.default_rng(seed).normal(0.0, strength, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.rint(np.asarray(image) + grain), 0, 255).astype(np.uint8))


class Canvas:
    """A drawing surface measured in the pixels of the finished picture.

    Colours may carry a fourth number, their opacity.
    """

    def __init__(self, width: int, height: int, fill: Colour, scale: int = SUPERSAMPLE) -> None:
        self.width, self.height, self.scale = width, height, scale
        self.image = Image.new("RGB", (width * scale, height * scale), fill)
        self._renew()

    def _renew(self) -> None:
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        self.draw.polygon(self._scaled(points), fill=fill)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        self.draw.line(self._scaled(points), fill=fill, width=max(1, round(width * self.scale)), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        self.draw.ellipse(self._scaled([(x - rx, y - ry), (x + rx, y + ry)]), fill=fill)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float = 0) -> None:
        # Pillow's rectangles include their last pixel.
        box = [x0 * self.scale, y0 * self.scale, x1 * self.scale - 1, y1 * self.scale - 1]
        self.draw.rounded_rectangle(box, radius * self.scale, fill=fill)

    def shade(self, points: Sequence[Point], top: Colour, bottom: Colour) -> None:
        """Fill a polygon with a gradient that runs from its highest to its lowest point."""
        outline = self._scaled(points)
        top_y = math.floor(min(y for _, y in outline))
        height = max(1, math.ceil(max(y for _, y in outline)) - top_y)
        mask = Image.new("L", (self.image.width, height))
        ImageDraw.Draw(mask).polygon([(x, y - top_y) for x, y in outline], fill=255)
        self.image.paste(gradient(mask.size, top, bottom), (0, top_y), mask)
        self._renew()

    def glow(self, x: float, y: float, rx: float, ry: float, fill: Colour, blur: float) -> None:
        """Lay a blurred ellipse over the picture: light, haze or a soft shadow."""
        mask = Image.new("L", self.image.size)
        box = self._scaled([(x - rx, y - ry), (x + rx, y + ry)])
        ImageDraw.Draw(mask).ellipse(box, fill=fill[3])
        self._soft_paste(mask, fill, blur)

    def shadow(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, blur: float) -> None:
        """Lay a blurred rectangle over the picture."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).rectangle(self._scaled([(x0, y0), (x1, y1)]), fill=fill[3])
        self._soft_paste(mask, fill, blur)

    def _soft_paste(self, mask: Image.Image, fill: Colour, blur: float) -> None:
        self.image.paste(fill[:3], (0, 0), mask.filter(ImageFilter.GaussianBlur(blur * self.scale)))
        self._renew()

    def text_width(self, text: str, size: float, tracking: float = 0.0) -> float:
        face = font(round(size * self.scale))
        words = text.split(" ")
        ink = sum(face.getlength(word) for word in words) / self.scale
        letters = sum(len(word) for word in words)
        return ink + (letters - 1) * tracking + (len(words) - 1) * (WORD_SPACE * size + tracking)

    def text(
        self, x: float, y: float, text: str, size: float, fill: Colour,
        align: str = "left", bold: float = 0.0, tracking: float = 0.0,
    ) -> None:  # fmt: skip
        """Write one line whose baseline is y. The font has one weight: bold adds an outline of that width."""
        x -= {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * self.text_width(text, size, tracking)
        face = font(round(size * self.scale))
        for word in text.split(" "):
            for piece in word if tracking else [word]:
                at = (x * self.scale, y * self.scale)
                self.draw.text(at, piece, fill, face, anchor="ls", stroke_width=bold * self.scale)
                x += face.getlength(piece) / self.scale + tracking
            x += WORD_SPACE * size

    def text_upwards(self, x: float, y: float, text: str, size: float, fill: Colour) -> None:
        """Write one line that reads from bottom to top, centred on the point."""
        label = Canvas(round(self.text_width(text, size)) + 4, round(size * 1.5), WHITE, self.scale)
        label.text(2, size * 1.1, text, size, (0, 0, 0))
        mask = ImageChops.invert(label.image.convert("L")).transpose(Image.Transpose.ROTATE_90)
        corner = (round(x * self.scale - mask.width / 2), round(y * self.scale - mask.height / 2))
        self.image.paste(fill, corner, mask)

    def finish(self) -> Image.Image:
        return self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------- the invoice

PAPER: Colour = (252, 250, 245)
INK: Colour = (38, 42, 48)
SOFT_INK: Colour = (98, 104, 112)
GREEN: Colour = (28, 84, 76)
RULE: Colour = (214, 210, 200)
MARGIN = 84.0
RIGHT = 1000 - MARGIN
# The right edges of the three number columns.
QUANTITY_X, PRICE_X, AMOUNT_X = 604.0, 760.0, RIGHT - 20

# What was bought, how many, and the price of one in cents.
ITEMS = [
    ("Letterpress business cards", 500, 42),
    ("Watercolour paper, A3 pad", 12, 1850),
    ("Linen notebook, ruled", 24, 975),
    ("Archival ink, black", 6, 1425),
    ("Delivery and packing", 1, 3000),
]
TAX_PERCENT = 8


def money(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def invoice_head(canvas: Canvas) -> None:
    canvas.rect(0, 0, 1000, 14, GREEN)
    # The mark: a sheet with a folded corner and a leaf on it.
    canvas.rect(MARGIN, 78, MARGIN + 68, 146, GREEN, radius=14)
    leaf = smooth_curve([(102, 130), (102, 130), (104, 104), (134, 94), (134, 94), (128, 124), (102, 130), (102, 130)])
    canvas.polygon(leaf, PAPER)
    canvas.line([(98, 134), (124, 106)], GREEN, 2.5)
    canvas.text(174, 110, "Larkfield Paper Company", 29, INK, bold=0.45)
    canvas.text(174, 139, "Fine stationery and print", 18, SOFT_INK)
    canvas.text(RIGHT, 128, "INVOICE", 48, GREEN, align="right", bold=0.7, tracking=3)
    address = ["18 Mill Lane, Brookhaven", "Phone: 555 0142", "accounts@larkfield.example"]
    for row, line in enumerate(address):
        canvas.text(MARGIN, 204 + row * 27, line, 17.5, SOFT_INK)


def invoice_details(canvas: Canvas) -> None:
    canvas.line([(MARGIN, 296), (RIGHT, 296)], RULE, 1.5)
    canvas.text(MARGIN, 342, "Bill to", 17, GREEN, bold=0.3)
    customer = ["Juniper Street Gallery", "Attn: Rosa Lindqvist", "27 Juniper Street", "Port Ellery"]
    for row, line in enumerate(customer):
        canvas.text(MARGIN, 375 + row * 29, line, 19, INK, bold=0.0 if row else 0.3)
    facts = [
        ("Invoice number", "LP-20417"),
        ("Invoice date", "14 March 2025"),
        ("Due date", "13 April 2025"),
        ("Order reference", "JSG-308"),
    ]
    for row, (label, value) in enumerate(facts):
        canvas.text(560, 346 + row * 39, label, 18, SOFT_INK)
        canvas.text(RIGHT, 346 + row * 39, value, 19, INK, align="right", bold=0.3)


def invoice_table(canvas: Canvas, top: float) -> float:
    """Draw the bought items; return where the table ends."""
    canvas.rect(MARGIN, top, RIGHT, top + 50, GREEN, radius=6)
    headings = [("Quantity", QUANTITY_X), ("Unit price", PRICE_X), ("Amount", AMOUNT_X)]
    canvas.text(MARGIN + 20, top + 32, "Description", 18, PAPER, bold=0.3)
    for heading, x in headings:
        canvas.text(x, top + 32, heading, 18, PAPER, align="right", bold=0.3)
    y = top + 50
    for name, quantity, price in ITEMS:
        baseline = y + 38
        canvas.text(MARGIN + 20, baseline, name, 19, INK)
        numbers = [(str(quantity), QUANTITY_X), (money(price), PRICE_X), (money(quantity * price), AMOUNT_X)]
        for number, x in numbers:
            canvas.text(x, baseline, number, 19, INK, align="right")
        y += 62
        canvas.line([(MARGIN, y), (RIGHT, y)], RULE, 1.5)
    return y


def invoice_totals(canvas: Canvas, top: float) -> None:
    subtotal = sum(quantity * price for _, quantity, price in ITEMS)
    tax = round(subtotal * TAX_PERCENT / 100)
    for row, (label, cents) in enumerate([("Subtotal", subtotal), (f"Sales tax {TAX_PERCENT}%", tax)]):
        canvas.text(560, top + 48 + row * 40, label, 19, SOFT_INK)
        canvas.text(AMOUNT_X, top + 48 + row * 40, money(cents), 19, INK, align="right")
    canvas.rect(540, top + 112, RIGHT, top + 174, (228, 236, 230), radius=8)
    canvas.text(560, top + 152, "Total due", 24, GREEN, bold=0.5)
    canvas.text(AMOUNT_X, top + 152, money(subtotal + tax), 26, GREEN, align="right", bold=0.6)


def invoice_foot(canvas: Canvas, top: float) -> None:
    canvas.text(MARGIN, top, "Payment terms", 19, GREEN, bold=0.3)
    terms = [
        "Payment is due within 30 days of the invoice date.",
        "Please quote the invoice number with your payment.",
        "Bank: Brookhaven Savings   Account: 0072 4418 3956",
    ]
    for row, line in enumerate(terms):
        canvas.text(MARGIN, top + 36 + row * 31, line, 18, INK)
    canvas.line([(MARGIN, 1318), (RIGHT, 1318)], RULE, 1.5)
    canvas.text(500, 1356, "Thank you for your order", 18, SOFT_INK, align="centre")


def draw_invoice() -> Image.Image:
    canvas = Canvas(1000, 1414, PAPER)
    invoice_head(canvas)
    invoice_details(canvas)
    table_end = invoice_table(canvas, 536)
    invoice_totals(canvas, table_end)
    invoice_foot(canvas, table_end + 262)
    page = canvas.finish()
    # A sheet under a lamp is never equally bright all over.
    return ImageChops.multiply(page, gradient(page.size, WHITE, (249, 248, 246)))


# ---------------------------------------------------------------- the handwritten note

NOTE_LINES = [
    "Dear Maya,",
    "Please water the tomatoes and",
    "feed the cat at 6 each evening.",
    "The key is under the blue pot.",
    "Back on Sunday. Love, Tom",
]
# One pen alphabet. The strokes of a letter are parted by "/"; a stroke is a row of x,y points on a
# smooth curve. The writing line is y = 0, a small letter is 100 high, and y grows upwards.
LETTERS = {
    "a": "80,86 50,101 16,78 8,35 30,0 62,28 82,94 82,94 79,38 90,3 112,16",
    "b": "15,195 12,100 9,6 9,6 14,55 42,98 74,76 72,22 40,-2 9,12",
    "c": "76,80 50,100 16,72 12,26 42,-2 84,20",
    "d": "80,86 50,100 16,76 8,35 32,0 64,28 82,90 / 90,196 85,100 82,34 92,2 112,16",
    "e": "12,46 48,52 74,74 52,102 18,76 12,26 42,-2 88,22",
    "f": "78,178 56,194 38,150 32,60 26,-6 / 4,94 70,102",
    "g": "80,86 50,100 16,76 10,38 34,6 64,30 82,94 82,94 79,0 66,-72 34,-88 6,-64",
    "h": "16,195 12,90 8,0 8,0 16,56 45,98 67,80 65,22 77,0 96,15",
    "i": "12,98 9,30 20,0 42,15 / 17,142 20,138",
    "j": "30,98 28,0 16,-74 -12,-78 / 34,142 37,138",
    "k": "16,195 10,90 8,0 / 70,98 42,72 14,48 14,48 44,24 82,0",
    "l": "17,195 11,80 13,14 26,0 46,15",
    "m": "10,98 10,40 6,0 6,0 14,60 38,98 54,75 50,0 50,0 58,60 84,98 99,76 96,15 106,0 124,15",
    "n": "10,98 10,40 6,0 6,0 14,60 42,98 66,78 64,18 76,0 95,15",
    "o": "56,98 22,86 10,38 38,-2 74,25 76,74 50,102 36,94",
    "p": "12,98 10,20 4,-88 / 12,60 42,100 76,76 70,20 40,0 11,14",
    "q": "80,86 50,100 16,76 10,35 34,2 64,30 82,94 82,94 79,0 78,-86 98,-68",
    "r": "10,98 12,40 8,0 8,0 16,60 38,95 62,92",
    "s": "70,86 46,100 20,82 36,55 62,36 58,6 30,-3 4,14",
    "t": "6,108 66,114 / 36,166 31,80 31,20 48,-2 72,15",
    "u": "10,98 8,35 28,0 58,18 74,96 74,96 71,30 83,0 104,15",
    "v": "8,98 25,45 40,0 40,0 58,50 76,100",
    "w": "8,98 18,40 32,0 32,0 48,40 58,82 58,82 66,40 80,0 80,0 100,50 112,100",
    "x": "10,98 40,50 76,0 / 72,98 40,50 5,0",
    "y": "10,98 14,52 36,25 62,45 78,98 78,98 66,8 48,-64 20,-84 -2,-70",
    "z": "10,95 70,98 70,98 40,50 6,2 6,2 40,4 80,0",
    "B": "16,186 12,90 8,0 / 8,182 60,190 86,150 60,108 18,98 18,98 76,94 98,48 64,2 6,0",
    "D": "18,188 14,90 10,0 / 4,184 60,188 112,140 108,50 60,2 4,0",
    "L": "22,190 15,90 10,3 10,3 46,0 88,5",
    "M": "8,0 17,90 24,188 24,188 45,112 64,60 64,60 90,120 112,190 112,190 115,90 124,0",
    "P": "17,188 12,90 8,-2 / 6,180 60,192 94,150 66,96 13,86",
    "S": "86,160 60,192 22,170 28,122 72,86 80,32 40,-3 4,24",
    "T": "62,186 57,90 52,0 / 4,180 60,187 120,190",
    "6": "68,178 34,130 10,60 26,4 60,6 72,48 46,82 14,56",
    ".": "6,5 10,1",
    ",": "12,8 10,-8 0,-28",
}
TAILED = set("acdehklmntu")  # Letters whose last stroke ends low on the right,
LED_INTO = set("eijmnpruvwy")  # and those that begin at the upper left, where it may lead.
TUCKED = {"T": 40, "f": 26, "P": 14, "r": 4}  # How far the next letter slips under this one.
NOTE_X_HEIGHT = 26.0
NOTE_RULE = 78.0
NOTE_SCALE = 3


class Pen:
    """A hand that never makes the same letter twice. Its ink is a trail of dots: radius, x and y."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.dots: list[tuple[float, float, float]] = []

    def letter(self, char: str) -> list[list[Point]]:
        """Return the strokes of a letter in the alphabet's units, a little different each time."""
        slant, turn = self.random.gauss(0.17, 0.03), self.random.gauss(0.0, 0.022)
        wide, high = self.random.gauss(1.0, 0.05), self.random.gauss(1.0, 0.045)
        strokes = []
        for stroke in LETTERS[char].split(" / "):
            points: list[Point] = []
            last = ""
            for pair in stroke.split():
                if pair == last:
                    points.append(points[-1])  # Both halves of a corner move together.
                    continue
                last = pair
                x, y = (float(number) for number in pair.split(","))
                x, y = x * wide + self.random.gauss(0, 2.2), y * high + self.random.gauss(0, 2.2)
                points.append((x + slant * y - turn * y, y + turn * x))
            strokes.append(points)
        return strokes

    def stroke(self, points: Sequence[Point]) -> None:
        """Draw one stroke: the pen presses harder downwards and lifts at both ends."""
        if not points:
            return
        curve = smooth_curve(points, steps=40)
        press = self.random.gauss(1.0, 0.06)
        width = 1.5
        for index, (x, y) in enumerate(curve):
            before = curve[max(0, index - 1)]
            length = math.dist(before, (x, y))
            down = (y - before[1]) / length if length else 0.0
            lift = min(1.0, 0.55 + index / 30, 0.45 + (len(curve) - index) / 45)
            # The width follows slowly, as a hand does.
            width += 0.12 * ((1.6 + 0.5 * down) * press * lift - width)
            self.dots.append((width, x, y))

    def line(self, x: float, baseline: float, text: str) -> None:
        """Write one line of text that starts at x."""
        unit = NOTE_X_HEIGHT / 100
        rise, phase = self.random.gauss(-0.004, 0.003), self.random.uniform(0, math.tau)
        start = x
        # The last stroke waits until the next letter is known, which it may lead into.
        waiting: list[Point] = []
        for before, char in zip(" " + text, text + " ", strict=True):
            if char == " ":
                self.stroke(waiting)
                waiting = []
                x += self.random.gauss(64, 6) * unit
                continue
            floor = baseline + (x - start) * rise + 1.5 * math.sin(phase + x / 90) + self.random.gauss(0, 0.6)
            *strokes, last = [[(x + px * unit, floor - py * unit) for px, py in part] for part in self.letter(char)]
            if before in TAILED and char in LED_INTO and self.random.random() < 0.85:
                waiting.append((strokes or [last])[0][0])
            for part in [waiting, *strokes]:
                self.stroke(part)
            x = max(px for part in [*strokes, last] for px, _ in part)
            x += (self.random.gauss(8, 3) - TUCKED.get(char, 0)) * unit
            waiting = last

    def ink(self, size: tuple[int, int]) -> Image.Image:
        """Return a mask of what was written."""
        mask = Image.new("L", (size[0] * NOTE_SCALE, size[1] * NOTE_SCALE))
        draw = ImageDraw.Draw(mask)
        # The thin and pale dots first: a light stroke across a dark one leaves it dark.
        for radius, x, y in sorted(self.dots):
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse([side * NOTE_SCALE for side in box], fill=round(min(1.0, 0.55 + 0.25 * radius) * 255))
        return mask.resize(size, Image.Resampling.LANCZOS)


def note_paper() -> Canvas:
    """Draw a ruled sheet, held to a desk by a strip of tape."""
    canvas = Canvas(1000, 700, (0, 0, 0))
    canvas.image.paste(gradient(canvas.image.size, (126, 150, 148), (98, 122, 122)))
    canvas.shadow(48, 52, 964, 676, (20, 36, 36, 130), blur=12)
    canvas.rect(40, 40, 960, 664, (253, 250, 240), radius=5)
    for row in range(7):
        y = 150 + row * NOTE_RULE
        canvas.line([(40, y), (960, y)], (176, 204, 224), 1.5)
    canvas.line([(132, 40), (132, 664)], (232, 150, 150), 1.5)
    for y in (130, 352, 574):
        canvas.ellipse(84, y, 13, 13, (110, 134, 132))
        canvas.ellipse(84.8, y + 1.2, 11.8, 11.8, (120, 144, 142))
    canvas.polygon([(420, 18), (584, 24), (582, 66), (418, 60)], (238, 206, 120, 205))
    return canvas


def draw_note() -> Image.Image:
    canvas = note_paper()
    sheet = canvas.finish()
    pen = Pen(seed=7)
    for row, line in enumerate(NOTE_LINES):
        pen.line(pen.random.gauss(164, 4), 226 + row * NOTE_RULE, line)
    sheet.paste((34, 52, 122), (0, 0), pen.ink(sheet.size))
    return ImageChops.multiply(sheet, gradient(sheet.size, WHITE, (240, 238, 234)))


# ---------------------------------------------------------------- the sign

NAVY: Colour = (20, 52, 104)
ENAMEL: Colour = (244, 242, 232)


def tiled_wall(canvas: Canvas) -> None:
    """Cover the canvas with glazed tiles, no two quite alike."""
    dice = random.Random(11)
    wide, high, joint = 116, 58, 4
    for row in range(canvas.height // high + 1):
        green = row in (10, 11)
        for column in range(-1, canvas.width // wide + 1):
            x, y = column * wide + (row % 2) * wide / 2, row * high
            tone = dice.gauss(0, 3.5)
            base = (52, 104, 88) if green else (222, 214, 192)
            top = tuple(round(part + tone + 8) for part in base)
            bottom = tuple(round(part + tone - 7) for part in base)
            x1, y1 = x + wide - joint, y + high - joint
            canvas.shade([(x, y), (x1, y), (x1, y1), (x, y1)], top, bottom)
            # A bevel: light along the upper edges, shade along the lower ones.
            canvas.line([(x + 2, y1 - 2), (x + 2, y + 2), (x1 - 2, y + 2)], (255, 255, 255, 70), 2.5)
            canvas.line([(x + 2, y1 - 2), (x1 - 2, y1 - 2), (x1 - 2, y + 2)], (40, 34, 20, 60), 2.5)


def plate(canvas: Canvas, box: tuple[float, float, float, float], face: Colour, trim: Colour) -> None:
    """Screw an enamel plate with a trim line to the wall."""
    x0, y0, x1, y1 = box
    canvas.shadow(x0 + 6, y0 + 12, x1 + 8, y1 + 14, (30, 24, 12, 150), blur=9)
    canvas.rect(x0, y0, x1, y1, (24, 26, 30), radius=20)
    canvas.rect(x0 + 1, y0 + 1, x1 - 2, y1 - 3, face, radius=19)
    canvas.rect(x0 + 12, y0 + 12, x1 - 12, y1 - 12, trim, radius=13)
    canvas.rect(x0 + 17, y0 + 17, x1 - 17, y1 - 17, face, radius=9)
    middle = (y0 + y1) / 2
    for x in (x0 + 34, x1 - 34):
        canvas.ellipse(x + 1, middle + 2, 9, 9, (0, 0, 0, 110))
        canvas.ellipse(x, middle, 8, 8, (178, 176, 168))
        canvas.ellipse(x - 1, middle - 1.5, 5.5, 5.5, (206, 204, 198))
        canvas.line([(x - 5, middle - 3), (x + 5, middle + 3)], (84, 82, 78), 2)


def chips(canvas: Canvas, spots: Sequence[tuple[float, float, float]]) -> None:
    """Knock the enamel off the steel here and there."""
    dice = random.Random(5)
    for x, y, size in spots:
        for scale, colour in ((1.5, (214, 206, 190)), (1.0, (96, 62, 42)), (0.55, (58, 40, 32))):
            rim = []
            for turn in range(9):
                reach = size * scale * dice.uniform(0.7, 1.15)
                angle = turn / 9 * math.tau
                rim.append((x + reach * math.cos(angle), y + reach * 0.8 * math.sin(angle)))
            canvas.polygon(rim, colour)


def photograph(image: Image.Image, corners: Sequence[Point]) -> Image.Image:
    """Return the image as a camera off to one side sees it: the corners become those of the photo."""
    width, height = image.size
    rows, values = [], []
    for (x, y), (u, v) in zip([(0, 0), (width, 0), (width, height), (0, height)], corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    warp = np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float))
    return image.transform(image.size, Image.Transform.PERSPECTIVE, warp.tolist(), Image.Resampling.BICUBIC)


def lamplight(image: Image.Image) -> Image.Image:
    """Return the image lit from the upper left, with darker corners."""
    y, x = np.mgrid[0.0 : 1.0 : image.height * 1j, 0.0 : 1.0 : image.width * 1j]
    light = 1.13 - 0.36 * np.hypot(x - 0.3, (y - 0.22) * 0.9) ** 1.4
    light -= 0.35 * np.hypot(x - 0.5, y - 0.5) ** 3
    warm = np.array([1.0, 0.975, 0.92])
    lit = np.asarray(image) * light[:, :, None] * warm
    return Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))


def draw_sign() -> Image.Image:
    canvas = Canvas(1000, 750, (168, 160, 142))
    tiled_wall(canvas)
    plate(canvas, (140, 165, 860, 385), NAVY, ENAMEL)
    canvas.text(500, 306, "PLATFORM 4", 86, ENAMEL, align="centre", bold=2.4, tracking=5)
    plate(canvas, (220, 427, 780, 547), (244, 196, 48), (28, 28, 30))
    canvas.text(500, 506, "MIND THE STEP", 52, (28, 28, 30), align="centre", bold=1.6, tracking=3)
    chips(canvas, [(147, 376, 6), (852, 250, 5), (640, 168, 5), (772, 437, 4.5)])
    # The lamp mirrored in the enamel.
    canvas.glow(310, 208, 130, 13, (255, 255, 255, 90), blur=14)
    canvas.glow(330, 449, 90, 7, (255, 255, 255, 110), blur=9)
    scale = canvas.scale
    corners = [(62.0, 38.0), (968.0, 84.0), (940.0, 690.0), (30.0, 726.0)]
    seen = photograph(canvas.image, [(x * scale, y * scale) for x, y in corners])
    photo = seen.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
    return add_noise(lamplight(photo.filter(ImageFilter.GaussianBlur(0.8))), 4.0, seed=3)


# ---------------------------------------------------------------- the chart

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]
# Thousands of visits in each month.
SERIES: dict[str, tuple[Colour, list[float]]] = {
    "Adults": ((38, 92, 138), [5.2, 4.8, 6.1, 6.7, 7.4, 8.3]),
    "Children": ((240, 152, 66), [3.1, 3.6, 3.9, 5.0, 4.4, 6.2]),
}
PLOT = (110.0, 150.0, 950.0, 540.0)
CHART_TOP_VALUE = 10


def chart_frame(canvas: Canvas) -> None:
    """Draw everything about the chart but its bars."""
    left, top, right, bottom = PLOT
    canvas.text(60, 62, "Library visits by month", 32, INK, bold=0.5)
    canvas.text(60, 98, "January to June 2024, both branches", 19, SOFT_INK)
    for value in range(0, CHART_TOP_VALUE + 1, 2):
        y = bottom - (bottom - top) * value / CHART_TOP_VALUE
        canvas.line([(left, y), (right, y)], (226, 229, 233) if value else (120, 126, 134), 1.5)
        canvas.text(left - 16, y + 6, str(value), 18, SOFT_INK, align="right")
    canvas.text_upwards(48, (top + bottom) / 2, "Visits (thousands)", 18, SOFT_INK)
    canvas.text((left + right) / 2, 612, "Month", 18, SOFT_INK, align="centre")
    x = 716.0
    for name, (colour, _) in SERIES.items():
        canvas.rect(x, 46, x + 20, 66, colour, radius=4)
        canvas.text(x + 30, 63, name, 19, INK)
        x += 120


def draw_chart() -> Image.Image:
    canvas = Canvas(1000, 640, WHITE)
    chart_frame(canvas)
    left, top, right, bottom = PLOT
    step, bar = (right - left) / len(MONTHS), 46.0
    for month, name in enumerate(MONTHS):
        centre = left + step * (month + 0.5)
        canvas.text(centre, bottom + 30, name, 19, INK, align="centre")
        for (colour, values), x in zip(SERIES.values(), (centre - bar - 3, centre + 3), strict=True):
            y = bottom - (bottom - top) * values[month] / CHART_TOP_VALUE
            canvas.rect(x, y, x + bar, bottom, colour, radius=5)
            canvas.rect(x, y + 8, x + bar, bottom, colour)  # Only the upper corners are round.
            canvas.rect(x + 6, y - 25, x + bar - 6, y - 5, WHITE)  # No grid line behind the number.
            canvas.text(x + bar / 2, y - 9, f"{values[month]:.1f}", 17, INK, align="centre")
    return canvas.finish()


# ---------------------------------------------------------------- the scene


def draw_sky(canvas: Canvas) -> None:
    blue, pale, peach = (104, 182, 226), (190, 224, 230), (255, 228, 190)
    canvas.shade([(0, 0), (960, 0), (960, 190), (0, 190)], blue, pale)
    canvas.shade([(0, 190), (960, 190), (960, 350), (0, 350)], pale, peach)
    canvas.glow(716, 150, 130, 130, (255, 238, 186, 130), blur=46)
    canvas.glow(716, 150, 62, 62, (255, 248, 216, 200), blur=16)
    canvas.ellipse(716, 150, 46, 46, (255, 216, 98))
    for x, y, size in ((150, 96, 1.0), (452, 66, 0.72), (876, 74, 0.62), (560, 176, 0.5)):
        for dx, dy, radius in ((-46, 0, 22), (-14, -14, 32), (24, -6, 26), (52, 2, 18)):
            canvas.ellipse(x + dx * size, y + dy * size, radius * size, radius * size, (255, 253, 247))
        canvas.rect(x - 70 * size, y - 2 * size, x + 72 * size, y + 22 * size, (255, 253, 247), radius=12 * size)
    for x, y in ((394, 142), (428, 126), (452, 154)):
        wings = [(x - 12, y - 5), (x - 6, y - 8), (x, y), (x, y), (x + 6, y - 8), (x + 12, y - 5)]
        canvas.line(smooth_curve(wings), (70, 88, 110), 2)


def land(canvas: Canvas, ridge: Sequence[Point], bottom: float, colours: tuple[Colour, Colour]) -> None:
    """Fill the land between a smooth ridge and a level bottom."""
    outline = smooth_curve(ridge)
    canvas.shade([*outline, (ridge[-1][0], bottom), (ridge[0][0], bottom)], *colours)


def draw_lake(canvas: Canvas) -> None:
    """Draw the far shore, the water, and the sun's path on it."""
    ridge = [(300, 320), (400, 262), (470, 284), (560, 216), (650, 276), (730, 246), (830, 290), (900, 250), (970, 268)]
    land(canvas, ridge, 362, ((150, 168, 196), (206, 204, 206)))
    ridge = [(300, 340), (420, 312), (540, 322), (680, 300), (800, 326), (970, 296)]
    land(canvas, ridge, 362, ((104, 150, 142), (150, 184, 160)))
    canvas.shade([(300, 350), (960, 350), (960, 520), (300, 520)], (178, 214, 216), (58, 132, 160))
    dice = random.Random(21)
    for row in range(19):
        y = 355 + row * 7.2
        reach = 20 + row * 2.4
        for _ in range(2):
            x = 716 + dice.uniform(-0.5, 0.5) * reach
            half = dice.uniform(0.25, 0.75) * reach
            canvas.rect(x - half, y, x + half, y + 2.6, (255, 236, 180, 165), radius=1.3)
    for _ in range(26):
        x, y = dice.uniform(430, 940), dice.uniform(362, 490)
        half = dice.uniform(10, 34)
        canvas.rect(x - half, y, x + half, y + 2, (255, 255, 255, 70), radius=1)


def draw_hill(canvas: Canvas) -> None:
    """Draw the hill with its path, and the meadow in front."""
    ridge = [(-10, 330), (90, 286), (210, 262), (330, 276), (440, 336), (540, 412), (640, 468), (760, 520)]
    land(canvas, ridge, 560, ((142, 190, 104), (96, 158, 88)))
    left = [(252, 350), (262, 376), (322, 402), (330, 440), (250, 490), (210, 560), (230, 650)]
    right = [(352, 650), (300, 560), (318, 498), (374, 446), (366, 398), (290, 368), (276, 350)]
    ridge = [(-10, 520), (140, 476), (330, 492), (520, 520), (700, 506), (970, 462)]
    land(canvas, ridge, 650, ((118, 176, 88), (60, 126, 72)))
    canvas.polygon([*smooth_curve(left), *smooth_curve(right)], (236, 214, 166))


def draw_house(canvas: Canvas) -> None:
    canvas.glow(240, 353, 92, 9, (40, 84, 50, 120), blur=5)
    for x, y, radius in ((330, 150, 15), (318, 166, 12), (311, 182, 9)):
        canvas.ellipse(x, y, radius, radius * 0.8, (255, 255, 255, 140))
    canvas.rect(296, 194, 316, 250, (168, 92, 74))
    canvas.rect(293, 190, 319, 198, (140, 74, 60))
    canvas.shade([(206, 262), (330, 262), (330, 352), (206, 352)], (252, 240, 218), (238, 216, 184))
    canvas.polygon([(190, 266), (220, 204), (316, 204), (346, 266)], (196, 84, 66))
    canvas.polygon([(190, 266), (193, 260), (343, 260), (346, 266)], (164, 64, 52))
    for row in range(3):
        y = 218 + row * 15
        canvas.line([(220 - (y - 204) * 0.48, y), (316 + (y - 204) * 0.48, y)], (180, 74, 58), 1.5)
    canvas.rect(248, 294, 282, 352, WHITE, radius=3)
    canvas.rect(252, 298, 278, 352, (74, 116, 128), radius=2)
    canvas.ellipse(273, 327, 2, 2, (240, 214, 140))
    for x, radius in ((208, 15), (228, 11), (312, 12), (330, 16)):
        canvas.ellipse(x, 350, radius, radius * 0.8, (74, 142, 80))
        canvas.ellipse(x + 3, 347, radius * 0.6, radius * 0.45, (104, 168, 90))
    for x in (220, 292):
        canvas.rect(x - 3, 287, x + 25, 317, WHITE, radius=2)
        canvas.rect(x, 290, x + 22, 314, (255, 214, 122))
        canvas.line([(x + 11, 290), (x + 11, 314)], WHITE, 2)
        canvas.line([(x, 302), (x + 22, 302)], WHITE, 2)
        canvas.rect(x - 5, 317, x + 27, 321, (196, 84, 66), radius=1)


def draw_tree(canvas: Canvas, x: float, ground: float, size: float, light: float) -> None:
    """Draw a broad tree; light is 1 where the sun stands to its right and -1 to its left."""
    canvas.glow(x - 24 * size * light, ground, 70 * size, 9 * size, (26, 70, 40, 130), blur=5)
    trunk = [(-12, 0), (-7, -60), (-30, -112), (-24, -116), (-1, -84), (2, -130), (10, -130), (9, -84), (30, -114)]
    trunk += [(35, -109), (11, -58), (15, 0)]
    canvas.polygon([(x + dx * size, ground + dy * size) for dx, dy in trunk], (112, 78, 56))
    crown = [(-50, -128, 42), (50, -126, 42), (-28, -172, 46), (30, -176, 46), (0, -136, 48), (2, -206, 36)]
    for shift, shrink, colour in ((0, 1.0, (56, 122, 76)), (8, 0.84, (74, 144, 82)), (19, 0.5, (94, 162, 90))):
        for dx, dy, radius in crown:
            at = (x + (dx + shift * light) * size, ground + (dy - shift) * size)
            canvas.ellipse(*at, radius * shrink * size, radius * shrink * size, colour)


def draw_walker(canvas: Canvas, x: float, ground: float) -> None:
    """Draw a person walking to the right with a dog on a lead."""
    canvas.glow(x - 4, ground, 30, 5, (20, 60, 34, 150), blur=3)
    canvas.glow(x + 84, ground + 2, 34, 5, (20, 60, 34, 150), blur=3)
    skin, coat, trousers = (236, 184, 146), (214, 82, 74), (48, 64, 98)
    canvas.line([(x, ground - 48), (x - 9, ground - 24), (x - 20, ground - 4)], trousers, 10)
    canvas.line([(x + 1, ground - 48), (x + 10, ground - 26), (x + 12, ground - 4)], trousers, 10)
    canvas.rect(x - 26, ground - 6, x - 12, ground + 1, (70, 48, 40), radius=3)
    canvas.rect(x + 7, ground - 6, x + 22, ground + 1, (70, 48, 40), radius=3)
    back = [(x - 12, ground - 46), (x - 11, ground - 82), (x - 5, ground - 94), (x + 7, ground - 94)]
    canvas.polygon(smooth_curve([*back, (x + 12, ground - 82), (x + 14, ground - 44), (x - 12, ground - 46)]), coat)
    canvas.line([(x - 4, ground - 86), (x - 14, ground - 68), (x - 10, ground - 54)], (184, 62, 58), 8)
    canvas.line([(x + 5, ground - 86), (x + 16, ground - 72), (x + 28, ground - 66)], (230, 100, 88), 8)
    canvas.ellipse(x + 29, ground - 66, 5, 5, skin)
    canvas.rect(x - 2, ground - 100, x + 6, ground - 90, skin)
    canvas.ellipse(x, ground - 106, 13, 13, (94, 60, 44))
    canvas.ellipse(x + 5, ground - 107, 11, 11.5, skin)
    hat = [(x - 13, ground - 111), (x - 8, ground - 122), (x + 4, ground - 126), (x + 14, ground - 120)]
    canvas.polygon(smooth_curve([*hat, (x + 17, ground - 113), (x - 13, ground - 111)]), (46, 96, 120))
    lead = [(x + 30, ground - 66), (x + 54, ground - 58), (x + 80, ground - 52), (x + 104, ground - 40)]
    canvas.line(smooth_curve(lead), (90, 50, 44), 2)
    draw_dog(canvas, x + 84, ground + 2)


def draw_dog(canvas: Canvas, x: float, ground: float) -> None:
    fur, dark = (166, 110, 66), (134, 84, 50)
    for dx, foot in ((-22, -28), (20, 26)):
        canvas.line([(x + dx, ground - 22), (x + foot, ground - 2)], dark, 7)
    for dx, foot in ((-16, -14), (14, 12)):
        canvas.line([(x + dx, ground - 22), (x + foot, ground - 1)], fur, 7)
    canvas.line(smooth_curve([(x - 22, ground - 34), (x - 33, ground - 37), (x - 40, ground - 46)]), fur, 6)
    canvas.rect(x - 27, ground - 42, x + 26, ground - 18, fur, radius=12)
    canvas.polygon([(x + 10, ground - 38), (x + 22, ground - 56), (x + 34, ground - 46), (x + 25, ground - 24)], fur)
    canvas.ellipse(x + 29, ground - 52, 12, 11, fur)
    canvas.rect(x + 30, ground - 54, x + 49, ground - 44, fur, radius=5)
    canvas.ellipse(x + 48, ground - 51, 3.2, 3, (50, 36, 34))
    canvas.ellipse(x + 33, ground - 55, 1.8, 1.8, (50, 36, 34))
    ear = [(x + 18, ground - 60), (x + 27, ground - 60), (x + 26, ground - 44), (x + 18, ground - 42)]
    canvas.polygon(smooth_curve([*ear, ear[0]]), dark)
    canvas.line([(x + 14, ground - 44), (x + 24, ground - 35)], (60, 128, 168), 4)


def draw_flowers(canvas: Canvas) -> None:
    dice = random.Random(4)
    for _ in range(70):
        x, y = dice.uniform(0, 960), dice.uniform(545, 632)
        if 190 < x < 372 or (450 < x < 640 and y < 600):
            continue  # The path stays clear, and so do the feet.
        size = 1.6 + (y - 545) / 60
        canvas.line([(x, y), (x - 1, y + 5 * size)], (44, 104, 60), 1.4)
        canvas.ellipse(x, y, 1.7 * size, 1.7 * size, dice.choice([(255, 244, 214), (250, 204, 96), (238, 132, 122)]))


def draw_scene() -> Image.Image:
    canvas = Canvas(960, 640, WHITE)
    draw_sky(canvas)
    draw_lake(canvas)
    draw_hill(canvas)
    draw_tree(canvas, 112, 372, 0.62, light=1)
    draw_house(canvas)
    draw_flowers(canvas)
    draw_tree(canvas, 836, 540, 1.15, light=-1)
    draw_walker(canvas, 500, 580)
    return canvas.finish()


SAMPLES: dict[str, Callable[[], Image.Image]] = {
    "invoice.png": draw_invoice,
    "note.png": draw_note,
    "sign.jpg": draw_sign,
    "chart.png": draw_chart,
    "scene.jpg": draw_scene,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sample images.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for name, draw in SAMPLES.items():
        draw().save(directory / name, quality=90, subsampling=0, optimize=True)
        print(f"{name}: {(directory / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
