"""Cutting quadrilaterals out of an image and turning pages: pixels and points, no networks."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
INK_HEIGHT = 48  # pixels: the height that crops are scaled down to, which averages out the grain of the paper
INK_BLUR = 8.0  # pixels: the deviation of the blur that gives the colour of the paper
INK = 8.0  # grey levels, of 255, by which the faintest ink differs from the paper around it


def cut(image: Pixels, polygon: Floats, margin: float = 0.0) -> Pixels:
    """Return the upright crop of a polygon (4, 2) in pixels, with a margin in heights on every side.

    Outside the image, its edge is repeated, because black corners would look like ink.
    """
    corners = widen(polygon, margin)
    width = max(1, round(float(np.linalg.norm(corners[1] - corners[0]))))
    height = max(1, round(float(np.linalg.norm(corners[3] - corners[0]))))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    crop = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop.astype(np.uint8)


def widen(polygon: Floats, margin: float) -> Floats:
    """Move the corners of a polygon (4, 2) outwards by a margin given in heights."""
    along, across = polygon[1] - polygon[0], polygon[3] - polygon[0]
    height = float(np.linalg.norm(across))
    along = along / max(float(np.linalg.norm(along)), 1e-6) * margin * height
    across = across * margin
    moves = np.array([-along - across, along - across, along + across, across - along])
    return np.asarray(polygon + moves, np.float64)


def turn(image: Pixels, degrees: int) -> Pixels:
    """Return an image turned clockwise by 0, 90, 180 or 270 degrees."""
    return cv2.rotate(image, TURNS[degrees]).astype(np.uint8) if degrees else image


def turn_boxes(boxes: Floats, image: Pixels, degrees: int) -> Floats:
    """Take boxes (n, 4) in pixels of an image to that image turned clockwise by 0, 90, 180 or 270 degrees."""
    height, width = image.shape[:2]
    left, top, right, bottom = boxes.T
    turned = {
        0: (left, top, right, bottom),
        90: (height - bottom, left, height - top, right),
        180: (width - right, height - bottom, width - left, height - top),
        270: (top, width - right, bottom, width - left),
    }[degrees]
    return np.stack(turned, axis=1)


def has_ink(crop: Pixels) -> bool:
    """Return whether a crop (height, width, 3) has ink on it, and is not blank paper with grain or shade.

    On blank paper, the detector often finds one text as large as the page, and a recogniser invents the words of it.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    scale = min(1.0, INK_HEIGHT / min(grey.shape))
    size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    paper = cv2.GaussianBlur(small, (0, 0), INK_BLUR, borderType=cv2.BORDER_REPLICATE)
    return float(np.abs(small - paper).max()) >= INK


def paper_colour(image: Pixels) -> tuple[float, ...]:
    """Return the median colour of the outermost pixels of an image (height, width, 3)."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return tuple(float(value) for value in np.median(border, axis=0))
