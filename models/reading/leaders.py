"""Dot leaders, as between the titles of a table of contents and their pages. No detector sees them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels
from models.reading.runs import inked

LEADER = "...."  # what stands for one in the text, however long it is
LEAST_GAP = 3.0  # narrowest gap between two texts that is looked at, in heights
DOTS = 5  # least number of dots
LARGEST_DOT = 0.3  # height and width of one, in heights of the text
UNEVEN = 0.25  # largest share of dots whose distance from the one before differs from the usual
TOLERANCE = 0.25  # by how much a distance differs from the usual at most, as a share of it


def between(left: Floats, right: Floats) -> Floats | None:
    """Return the quadrilateral (4, 2) between two texts on a line, each (4, 2); None where they stand close."""
    height = float(np.linalg.norm(left[3] - left[0]))
    if float(np.linalg.norm(right[0] - left[1])) < LEAST_GAP * height:
        return None
    return np.array([left[1], right[0], right[3], left[2]])


def is_leader(strip: Pixels) -> bool:
    """Tell whether a strip of paper (height, width, 3) between two texts holds dots at even distances, and no more."""
    ink: NDArray[np.uint8] = inked(strip, rules=True).astype(np.uint8)
    count, _, stats, centres = cv2.connectedComponentsWithStats(ink, connectivity=8)
    dots, size = stats[1:], LARGEST_DOT * len(strip)
    if count - 1 < DOTS or bool((dots[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]] > max(size, 2)).any()):
        return False
    pitches = np.diff(np.sort(np.asarray(centres[1:, 0], np.float64)))
    usual = float(np.median(pitches))
    return float((np.abs(pitches - usual) > TOLERANCE * usual).mean()) <= UNEVEN
