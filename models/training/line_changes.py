"""What may differ between two images of the same handwritten line: slant, margins, stroke, ink, paper, neighbours."""

import random

import cv2
import numpy as np

from models.reading.crops import Pixels

PAPER = 255
LEAST_CONTRAST = 20  # grey levels between ink and paper: fainter lines stay as they are


def changed(image: Pixels, neighbours: tuple[Pixels, Pixels], chance: random.Random) -> Pixels:
    """Return a line (height, width) as another pen, scanner and crop might have given it.

    Args:
        image: the line, dark on light.
        neighbours: two other lines, of which a strip may show above and below.
        chance: what it draws from.
    """
    line = _stroked(image, chance)
    line = _framed(line, neighbours, chance)
    line = _bent(line, chance)
    return _inked(line, chance)


def _stroked(image: Pixels, chance: random.Random) -> Pixels:
    """Make strokes bolder or finer, or leave them."""
    draw = chance.random()
    if draw < 0.15:
        return cv2.erode(image, np.ones((2, 2), np.uint8)).astype(np.uint8)
    if draw < 0.25:
        return cv2.dilate(image, np.ones((2, 2), np.uint8)).astype(np.uint8)
    return image


def _framed(image: Pixels, neighbours: tuple[Pixels, Pixels], chance: random.Random) -> Pixels:
    """Put paper around a line, as a detector's crop has it, with what reaches into it from its neighbours."""
    height = image.shape[0]
    above, below = (round(height * chance.uniform(-0.03, 0.28)) for _ in range(2))
    before, behind = (round(height * chance.uniform(0, 0.5)) for _ in range(2))
    paper = int(np.percentile(image, 90))
    kept = image[max(-above, 0) : height - max(-below, 0)]
    frame = (max(above, 0), max(below, 0), before, behind)
    sheet = cv2.copyMakeBorder(kept, *frame, cv2.BORDER_CONSTANT, value=(paper,)).astype(np.uint8)
    if chance.random() < 0.35:
        reach = round(height * chance.uniform(0.02, 0.3))
        sheet[:reach] = np.minimum(sheet[:reach], _strip(neighbours[0], reach, sheet.shape[1], -1, paper))
    if chance.random() < 0.35:
        reach = round(height * chance.uniform(0.02, 0.3))
        sheet[-reach:] = np.minimum(sheet[-reach:], _strip(neighbours[1], reach, sheet.shape[1], 1, paper))
    return sheet


def _strip(image: Pixels, rows: int, width: int, side: int, paper: int) -> Pixels:
    """Return the lowest rows (`side` -1) or the uppermost (1) of another line, as wide as is asked for."""
    strip = image[-rows:] if side < 0 else image[:rows]
    found = np.full((rows, width), paper, np.uint8)
    columns = min(width, strip.shape[1])
    found[: len(strip), :columns] = strip[:, :columns]
    return found


def _bent(image: Pixels, chance: random.Random) -> Pixels:
    """Slant, stretch and slope a line, and move its pixels a little, along a smooth field."""
    height, width = image.shape
    stretch, shear = chance.uniform(0.82, 1.22), chance.gauss(0, 0.12)
    slope = chance.gauss(0, 0.12) * height / width
    wide = max(round(width * stretch), 16)
    x, y = np.meshgrid(np.arange(wide, dtype=np.float32), np.arange(height, dtype=np.float32))
    middle = (height - 1) / 2
    source_x = x / np.float32(stretch) + np.float32(shear) * (y - middle)
    source_y = y + np.float32(slope) * (x / np.float32(stretch) - width / 2)
    if chance.random() < 0.6:
        across, along = max(height // 16, 2), max(wide // 24, 2)
        noise = np.random.default_rng(chance.getrandbits(32)).normal(0, height / 64, (2, across, along))
        moves = [cv2.resize(part.astype(np.float32), (wide, height), interpolation=cv2.INTER_CUBIC) for part in noise]
        source_x, source_y = source_x + moves[0], source_y + moves[1]
    bent = cv2.remap(image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return bent.astype(np.uint8)


def _inked(image: Pixels, chance: random.Random) -> Pixels:
    """Change the ink's and the paper's brightness, blur, and grain."""
    line = image.astype(np.float32)
    if chance.random() < 0.5:
        line = cv2.GaussianBlur(line, (0, 0), chance.uniform(0.4, 1.3)).astype(np.float32)
    if chance.random() < 0.25:
        small = (max(round(line.shape[1] * 0.55), 8), max(round(line.shape[0] * 0.55), 8))
        narrow = cv2.resize(line, small, interpolation=cv2.INTER_AREA)
        line = cv2.resize(narrow, line.shape[::-1]).astype(np.float32)
    darkest, lightest = np.percentile(line, (1, 95))
    paper, ink = chance.uniform(150, 255), chance.uniform(0, 90)
    if chance.random() < 0.7 and lightest - darkest > LEAST_CONTRAST:
        share = np.clip((line - darkest) / (lightest - darkest), 0, 1.1)
        line = ink + share ** chance.uniform(0.6, 1.5) * (paper - ink)
    if chance.random() < 0.4:
        grain = np.random.default_rng(chance.getrandbits(32)).normal(0, chance.uniform(1, 7), line.shape)
        line = line + grain.astype(np.float32)
    if chance.random() < 0.04:
        line = PAPER - line
    return np.clip(line, 0, PAPER).astype(np.uint8)
