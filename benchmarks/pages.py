"""Pages with a known text, made by stacking the lines of one IAM form.

A page is what a reader has to cope with: lines of different length and height, uneven gaps and left edges, each line
with a slope of its own, and a sheet that lies slightly askew. The same seed gives the same page.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 120  # pixels of paper around the text

Pixels = NDArray[np.uint8]
Polygon = NDArray[np.float64]
Forms = dict[str, list[tuple[Pixels, str]]]  # form id -> its lines, each a grey image (height, width) with its text


@dataclass(frozen=True)
class Stacking:
    """How untidy a page is."""

    gap: tuple[float, float]  # least and largest gap below a line, as a share of its height; below 0 they overlap
    indent: int  # largest shift of a line's left edge, in pixels
    line_slant: float  # largest slope of one line, in degrees
    page_slant: float  # largest slope of the sheet, in degrees


TIDY = Stacking(gap=(0.05, 0.5), indent=80, line_slant=0.3, page_slant=1.5)
CROWDED = Stacking(gap=(-0.15, 0.2), indent=200, line_slant=0.8, page_slant=4.0)
STYLES = {"tidy": TIDY, "crowded": CROWDED}


@dataclass(frozen=True)
class Page:
    """A page image with what is written on it."""

    form: str
    image: Pixels  # (height, width, 3), RGB
    texts: list[str]  # one per line, top to bottom
    polygons: list[Polygon]  # one (4, 2) per line, in pixels


def read_forms(folder: Path, limit: int | None = None) -> Forms:
    """Return the forms of an IAM folder, or the first `limit` of them, each with its lines from top to bottom.

    Raises FileNotFoundError where the image of a line is missing or cannot be decoded.
    """
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in sorted((folder / "lines.tsv").read_text(encoding="utf-8").splitlines()):
        name, _, text = row.partition("\t")
        rows[Path(name).stem.rpartition("-")[0]].append((name, text))
    return {
        form: [(_read_grey(folder / "lines" / name), text) for name, text in lines]
        for form, lines in list(rows.items())[:limit]
    }


def stack(form: str, lines: list[tuple[Pixels, str]], seed: int, style: Stacking = TIDY) -> Page:
    """Stack lines into one page: varying gaps and offsets, sloping lines, a slight slant of the sheet."""
    random = np.random.default_rng([seed, *form.encode()])
    slanted = [_turn(_corners(image), image, random.uniform(-style.line_slant, style.line_slant)) for image, _ in lines]
    width = max(image.shape[1] for image, _ in slanted) + style.indent + 2 * MARGIN
    height = sum(int(image.shape[0] * (1 + style.gap[1])) for image, _ in slanted) + 2 * MARGIN
    sheet = np.full((height, width), 255, np.uint8)
    polygons, top = [], MARGIN
    for image, corners in slanted:
        left = MARGIN + int(random.integers(0, style.indent + 1))
        window = sheet[top : top + image.shape[0], left : left + image.shape[1]]
        np.minimum(window, image, out=window)
        polygons.append(corners + np.array([left, top]))
        top += int(image.shape[0] * (1 + random.uniform(*style.gap)))
    sheet = sheet[: top + MARGIN]
    points, angle = np.concatenate(polygons), random.uniform(-style.page_slant, style.page_slant)
    sheet, points = _turn(points, sheet, angle)
    rgb = np.repeat(sheet[..., None], 3, axis=2)
    return Page(form, rgb, [text for _, text in lines], list(points.reshape(-1, 4, 2)))


def make_pages(forms: Forms, style: Stacking = TIDY, seed: int = 0) -> Iterator[Page]:
    """Yield one page for each form."""
    return (stack(form, lines, seed, style) for form, lines in forms.items())


def _read_grey(path: Path) -> Pixels:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(path)
    return image.astype(np.uint8)


def _corners(image: Pixels) -> Polygon:
    height, width = image.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _turn(points: Polygon, image: Pixels, degrees: float) -> tuple[Pixels, Polygon]:
    """Rotate an image on white paper large enough to hold it, and points (n, 2) with it."""
    matrix = cv2.getRotationMatrix2D((0.0, 0.0), degrees, 1.0)
    corners = _corners(image) @ matrix[:, :2].T
    matrix[:, 2] = -corners.min(axis=0)
    width, height = np.ceil(np.ptp(corners, axis=0)).astype(int).tolist()
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255.0,))
    return turned.astype(np.uint8), points @ matrix[:, :2].T + matrix[:, 2]
