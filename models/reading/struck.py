"""Words that are struck through: the stroke is taken out of a line's crop, and the line is read a second time."""

import cv2
import numpy as np

from models.reading.crops import Pixels
from models.reading.runs import inked

UNSURE, SURE = 0.99, 0.999  # confidence of a reading that is doubted, and of a second one that counts in its place
# In heights of the crop.
SHORTEST, THICKEST = 0.7, 0.14  # of a stroke
BETWEEN = 0.3, 0.75  # its top and its bottom


def unstruck(crop: Pixels) -> Pixels | None:
    """Return a line's crop (height, width, 3) with paper in place of level strokes through its letters, but where they
    cross a stem; None without strokes."""
    height, width = crop.shape[:2]
    ink = inked(crop, rules=True)
    level = np.ones((1, max(round(SHORTEST * height), 8)), np.uint8)
    strokes = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, level)
    _, _, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    paper, clean = np.median(crop.reshape(-1, 3), axis=0), crop.copy()
    found = False
    for left, top, wide, thick, _ in stats[1:]:
        if thick > max(THICKEST * height, 3) or top < BETWEEN[0] * height or top + thick > BETWEEN[1] * height:
            continue
        found = True
        first, last = top - 1, top + thick + 1  # with the soft edges
        here = slice(left, min(left + wide, width))
        stems = ink[max(first - 2, 0) : first, here].any(axis=0) & ink[last : last + 2, here].any(axis=0)
        clean[first:last, here][:, ~stems] = paper.astype(np.uint8)
    return clean if found else None
