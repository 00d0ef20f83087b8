"""What one line says: a crop is made as high as the recogniser knows lines, and read character by character."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Pixels
from models.reading.ctc import Reading, decode
from models.reading.scripts import view_of
from models.reading.spaces import respaced

# (1, 3, height, width) in -1..1 -> probabilities (steps, characters), and what they come from (steps, channels)
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

CROP_HEIGHT = 48  # pixels, the recogniser's
MARGIN = 10  # pixels of repeated edge left and right of a crop
LONGEST_CROP = 4800  # pixels at CROP_HEIGHT
STEP = 32  # pixels; crops are as wide as a multiple, in eighths of the next lower power of two: 50 widths up to 4,864


def read_crop(crop: Pixels, network: Network, characters: Sequence[str], respace: bool = False) -> Reading:
    """Read one upright line or word (height, width, 3).

    With `respace`, spaces are where `models.reading.spaces` sees them, which knows the recogniser of the package.
    """
    small = scaled(crop)
    width = small.shape[1]
    right = bucket(width + 2 * MARGIN) - width - MARGIN
    padded = cv2.copyMakeBorder(small, 0, 0, MARGIN, right, cv2.BORDER_REPLICATE)
    tensor = padded.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    probabilities, steps = network(np.ascontiguousarray(tensor))
    reading = decode(probabilities, characters)
    ends = [round(place * len(probabilities) / padded.shape[1]) for place in (MARGIN, MARGIN + width)]
    reading = replace(
        reading,
        places=(reading.places * padded.shape[1] - MARGIN) / width,
        view=view_of(steps),
        spaces=probabilities[ends[0] : max(ends[1], ends[0] + 1), -1],
    )
    return respaced(reading, small) if respace else reading


def scaled(crop: Pixels) -> Pixels:
    """Return a crop (height, width, 3) as high as the recogniser knows lines."""
    scale = CROP_HEIGHT / crop.shape[0]
    width = min(max(round(crop.shape[1] * scale), 8), LONGEST_CROP)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(crop, (width, CROP_HEIGHT), interpolation=method).astype(np.uint8)


def bucket(width: int) -> int:
    """Return the width that crops are padded to: few widths, each at most an eighth more than the one below."""
    step = max(STEP, 1 << max(width.bit_length() - 4, 0))
    return -(-width // step) * step
