"""Lines of print as a scan or a photo of a receipt has them: drawn in a font, printed badly, cut out, and made small.

What may go wrong with a line: heads of a thermal printer that fail (pale streaks), paper that fades, needles that hit
beside their place or run into another, a scan in black and white, strokes of a pen, rules, what reaches in from other
lines, blur, grain, JPEG.
"""

import random
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.reading.crops import Pixels

Ink = NDArray[np.float32]  # (height, width), 0 where paper is blank, 1 where it is all ink

TALL = 40  # pixels: the height of letters, from below to above, that lines are drawn at
MARGIN = 48  # pixels of paper around them
HEIGHTS = (16, 34)  # pixels of the crops of small print, of which letters are some 0.65


def drawn(text: str, font: Path, chance: random.Random) -> Ink:
    """Return a line as clean ink, its letters of about TALL pixels from their lowest to their highest."""
    face = ImageFont.truetype(font, TALL)
    _, top, _, bottom = face.getbbox("Agjp0")
    face = ImageFont.truetype(font, max(round(TALL * TALL / max(bottom - top, 1)), 8))
    track = chance.uniform(-0.02, 0.12) * TALL if chance.random() < 0.3 else 0.0
    wider = chance.uniform(0.7, 2.5) if chance.random() < 0.3 else 1.0
    if not track and wider == 1.0:
        lengths = [face.getlength(text)]
        parts = [text]
    else:
        parts = list(text)
        lengths = [face.getlength(part) * (wider if part == " " else 1) + track for part in parts]
    image = Image.new("L", (round(sum(lengths)) + 2 * MARGIN, 3 * TALL + MARGIN), 0)
    draw, x = ImageDraw.Draw(image), float(MARGIN)
    for part, length in zip(parts, lengths, strict=True):
        draw.text((x, MARGIN / 2 + TALL), part, font=face, fill=255, anchor="lm")
        x += length
    ink = np.asarray(image)
    if chance.random() < 0.45:
        size = (round(ink.shape[1] * chance.uniform(0.55, 1.25)), ink.shape[0])
        ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    x, y, wide, high = cv2.boundingRect(ink)
    return (ink[y : y + max(high, 1), x : x + max(wide, 1)] / 255).astype(np.float32)


def printed(ink: Ink, chance: random.Random) -> Ink:
    """Return clean ink (height, width) as a printer leaves it on paper; sides grow by MARGIN."""
    line = cv2.copyMakeBorder(ink, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_CONSTANT, value=(0.0,)).astype(np.float32)
    kernel = np.ones((chance.randint(1, 4), chance.randint(1, 4)), np.uint8)
    draw = chance.random()
    if draw < 0.2:
        line = cv2.erode(line, kernel).astype(np.float32) if line.mean() > 0.02 else line
    elif draw < 0.45:
        line = cv2.dilate(line, kernel).astype(np.float32)
    if chance.random() < 0.25:
        line = _dotted(line, chance)
    if chance.random() < 0.2:
        line = _jittered(line, chance)
    if chance.random() < 0.06:
        _cut_off(line, chance)
    if chance.random() < 0.35:
        line *= _fading(line.shape, chance)
    if chance.random() < 0.2:
        line *= _streaks(line.shape, chance)
    if chance.random() < 0.2:
        line *= (_cloud(line.shape, chance.uniform(2, 5), chance) > chance.uniform(-2.4, -1.3)).astype(np.float32)
    return line


def _dotted(line: Ink, chance: random.Random) -> Ink:
    """Make a line of few dots, as needles print it, and let them run into one another."""
    dots = chance.uniform(9, 20) / TALL
    size = (max(round(line.shape[1] * dots * chance.uniform(0.8, 1.4)), 4), max(round(len(line) * dots), 4))
    few = cv2.resize(line, size, interpolation=cv2.INTER_AREA) > chance.uniform(0.3, 0.5)
    method = chance.choice((cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC))
    many = cv2.resize(few.astype(np.float32), line.shape[::-1], interpolation=method)
    wide, high = chance.randint(1, 5), chance.randint(1, 3)
    return np.clip(cv2.dilate(many, np.ones((high, wide), np.uint8)), 0, 1).astype(np.float32)


def _cut_off(line: Ink, chance: random.Random) -> None:
    """Take away the right part of the last letter, as a printer or a fold does; or the left of the first."""
    reach = MARGIN + round(chance.uniform(0.05, 0.25) * TALL)
    if chance.random() < 0.7:
        line[:, -reach:] *= chance.uniform(0, 0.2)
    else:
        line[:, :reach] *= chance.uniform(0, 0.2)


def _jittered(line: Ink, chance: random.Random) -> Ink:
    """Move rows sidewards, as needles that hit beside their place do, and leave some out."""
    pitch = TALL / chance.choice((7, 9, 14))
    moved = line.copy()
    reach = chance.uniform(0.5, 3.5)
    lost = chance.random() < 0.15
    for row in range(round(len(line) / pitch) + 1):
        first, last = round(row * pitch), round((row + 1) * pitch)
        shift = round(chance.choice((-1, 1)) * chance.random() * reach)
        moved[first:last] = np.roll(line[first:last], shift, axis=1)
        if lost and chance.random() < 0.08:
            moved[first:last] *= 0.15
    return moved


def _cloud(shape: tuple[int, ...], size: float, chance: random.Random) -> Ink:
    """Return smooth noise of deviation 1, its spots of about a size in pixels."""
    height, width = (max(round(side / size) + 3, 4) for side in shape)
    noise = np.random.default_rng(chance.getrandbits(32)).normal(0, 1, (height, width)).astype(np.float32)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)


def _fading(shape: tuple[int, ...], chance: random.Random) -> Ink:
    """Return how much ink stays, 0..1, where paper fades in patches or along a line."""
    cloud = _cloud((8, shape[1]), chance.uniform(20, 160), chance)[:1]
    if chance.random() < 0.4:
        cloud = _cloud(shape, chance.uniform(10, 40), chance)
    least = chance.uniform(0.15, 0.7)
    kept = np.clip(chance.uniform(0.5, 1.2) + chance.uniform(0.2, 0.7) * cloud, least, 1)
    return np.asarray(kept, np.float32)


def _streaks(shape: tuple[int, ...], chance: random.Random) -> Ink:
    """Return how much ink stays where some heads of a thermal printer fail: streaks across or along."""
    side = chance.choice((0, 1, 1))
    kept = np.ones(shape[side], np.float32)
    for _ in range(max(round(shape[side] / chance.uniform(30, 200)), 1)):
        start = chance.randrange(shape[side])
        kept[start : start + chance.randint(1, 6)] = chance.uniform(0.1, 0.6)
    return kept[:, None] if side == 0 else kept[None]


def framed(line: Ink, others: tuple[Ink, Ink], chance: random.Random) -> Ink:
    """Cut a printed line out as a detector does, with what reaches in from lines above and below, rules and a pen."""
    height = len(line) - 2 * MARGIN
    # Letters of one height only, such as digits, still get the frame of a whole line, or nearly.
    full = max(height, round(TALL * 0.72))
    above, below = (round(full * chance.uniform(0.1, 0.42) + (full - height) / 2) for _ in range(2))
    beside = [round(full * chance.uniform(0.04, 0.4)) for _ in range(2)]
    top, left = max(MARGIN - above, 0), max(MARGIN - beside[0], 0)
    sheet = line[top : MARGIN + height + below, left : line.shape[1] - MARGIN + beside[1]].copy()
    for other, at in zip(others, (0, -1), strict=True):
        if chance.random() < 0.25:
            reach = max(round(full * chance.uniform(0.02, 0.16)), 1)
            strip = other[-reach:] if at == 0 else other[:reach]
            wide = min(strip.shape[1], sheet.shape[1])
            rows = slice(0, len(strip)) if at == 0 else slice(len(sheet) - len(strip), len(sheet))
            sheet[rows, :wide] = np.maximum(sheet[rows, :wide], strip[:, :wide])
    if chance.random() < 0.05:
        y = len(sheet) - chance.randint(2, 6) if chance.random() < 0.75 else chance.randint(0, 3)
        step = chance.choice((1, 1, 6, 12))
        sheet[y : y + chance.randint(1, 3), ::step] = 1.0
        if step > 1:
            sheet[y : y + 3] = cv2.dilate(sheet[y : y + 3], np.ones((1, step // 2), np.uint8))
    if chance.random() < 0.06:
        _pen(sheet, chance)
    return _sloped(sheet, chance)


def _pen(sheet: Ink, chance: random.Random) -> None:
    height, width = sheet.shape
    x = chance.uniform(0, width)
    points = [
        (round(x + part * chance.uniform(-1.5, 1.5) * height), round(part * height * 1.4 - 0.2 * height))
        for part in (0.0, 0.4, 0.7, 1.0)
    ]
    cv2.polylines(sheet, [np.array(points, np.int32)], False, (chance.uniform(0.5, 0.9),), chance.randint(1, 3))


def _sloped(sheet: Ink, chance: random.Random) -> Ink:
    height, width = sheet.shape
    slope, shear = chance.gauss(0, 0.05) * height / max(width, height), chance.gauss(0, 0.02)
    matrix = np.array([[1, shear, -shear * height / 2], [slope, 1, -slope * width / 2]], np.float32)
    return cv2.warpAffine(sheet, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def scanned(sheet: Ink, height: int, chance: random.Random) -> Pixels:
    """Return ink as a scan or a photo (height, width, 3) of so many pixels' height."""
    size = (max(round(sheet.shape[1] * height / len(sheet)), 4), height)
    method = cv2.INTER_AREA if chance.random() < 0.85 else cv2.INTER_LINEAR
    line = cv2.resize(sheet, size, interpolation=method).astype(np.float32)
    if chance.random() < 0.5:
        line = cv2.GaussianBlur(line, (0, 0), chance.uniform(0.25, 0.035 * height)).astype(np.float32)
    grain = np.asarray(np.random.default_rng(chance.getrandbits(32)).normal(0, 1, line.shape), np.float32)
    draw = chance.random()
    if draw < 0.15:
        # A scan in black and white.
        black = np.greater(line + chance.uniform(0.02, 0.15) * grain, chance.uniform(0.25, 0.6))
        line = np.asarray(black, np.float32)
        if chance.random() < 0.5:
            line = cv2.GaussianBlur(line, (0, 0), chance.uniform(0.3, 0.6)).astype(np.float32)
    elif draw < 0.6:
        line = line + chance.uniform(0.005, 0.06) * grain
    line = np.clip(line, 0, 1) ** chance.uniform(0.7, 1.6)
    paper = np.array([chance.uniform(170, 255)] * 3) - np.abs([chance.gauss(0, 5) for _ in range(3)])
    darkest = chance.choice((chance.uniform(0, 70), chance.uniform(40, 150)))
    ink = np.array([darkest] * 3)
    if chance.random() < 0.25:
        ink += np.array([chance.uniform(0, 90), chance.uniform(0, 40), chance.uniform(-20, 40)])
    ink = np.minimum(ink, paper - 40)
    pixels = paper + line[..., None] * (ink - paper)
    if chance.random() < 0.2:
        pixels = pixels + 10 * _cloud(line.shape, height, chance)[..., None]
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    return _coded(image, chance.randint(25, 92)) if chance.random() < 0.5 else image


def _coded(image: Pixels, quality: int) -> Pixels:
    """Return an image as JPEG leaves it."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(np.uint8)


def small_print(text: str, font: Path, others: tuple[Ink, Ink], chance: random.Random) -> tuple[Pixels, Ink]:
    """Return a line as a crop of a bad print, and its clean ink, which may reach into another."""
    clean = drawn(text, font, chance)
    height = chance.randint(*HEIGHTS) if chance.random() < 0.85 else chance.randint(34, 64)
    return scanned(framed(printed(clean, chance), others, chance), height, chance), clean
