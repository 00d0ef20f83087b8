"""Where the ink of a fragment is: the runs of text between its wide gaps, and the rules that are no text.

A detector joins what stands close together, also across the gutter between two columns. The gaps are seen in the
pixels: along the fragment, where no column of pixels has ink.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import INK, Floats, Pixels
from models.reading.geometry import Flags

GAP = 0.4  # narrowest gap between two runs, in heights of the fragment
EDGE = 0.1  # share of the height at the top and at the bottom that the lines above and below may reach into
RULE = 0.75  # share of the width from which a row of ink is a rule, and no letters
RULE_WIDTH = 0.15  # widest upright rule, in heights of the fragment
RULE_HEIGHT = 0.95  # least share of the height that an upright rule has ink in
SPECK = 0.04  # least ink in a column of pixels, in heights of the fragment


def runs(crop: Pixels, only: Callable[[Flags], Flags] | None = None) -> Floats:
    """Return start and end (n, 2) of the runs of text in a crop (height, width, 3), as shares of its width.

    `only` takes from the ink (height, width) what is no text.
    """
    ink = inked(crop) if only is None else only(inked(crop))
    height, width = ink.shape
    columns = np.flatnonzero(ink.sum(axis=0) >= max(1.0, SPECK * height))
    if not len(columns):
        return np.array([[0.0, 1.0]])
    breaks = np.flatnonzero(np.diff(columns) - 1 >= GAP * height)
    starts = columns[np.concatenate([[0], breaks + 1])]
    ends = columns[np.concatenate([breaks, [len(columns) - 1]])] + 1
    text = np.array([not is_upright_rule(ink[:, start:end]) for start, end in zip(starts, ends, strict=True)])
    if text.any():
        starts, ends = starts[text], ends[text]
    return np.asarray(np.stack([starts, ends], axis=1) / width, np.float64)


def is_upright_rule(ink: NDArray[np.bool_]) -> bool:
    """Tell whether a run (height, width) is a stroke from top to bottom: a rule between columns, or a box's edge."""
    height, width = ink.shape
    edge = int(EDGE * height)
    inside = ink[edge : height - edge].any(axis=1)
    return width <= max(RULE_WIDTH * height, 2.0) and float(inside.mean()) >= RULE_HEIGHT


def inked(crop: Pixels, rules: bool = False) -> NDArray[np.bool_]:
    """Tell ink from paper in a crop (height, width, 3), whichever is lighter.

    Without `rules`, those along a crop of one line, and what reaches into it from the lines above and below, are paper.

    The threshold is Otsu's, over how far each pixel is from the paper's grey.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    distance = cv2.absdiff(grey, np.full_like(grey, round(float(np.median(grey)))))
    level, _ = cv2.threshold(distance, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = distance > max(level, INK)
    if rules:
        return np.asarray(ink, np.bool_)
    edge = int(EDGE * len(ink))
    ink[:edge] = ink[len(ink) - edge :] = False
    ink[ink.mean(axis=1) >= RULE] = False
    return np.asarray(ink, np.bool_)
