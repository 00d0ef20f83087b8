"""Animations whose first frame is blank: the first frame that shows something stands for them."""

import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

_PIXELS_LOOKED_AT = 32_000_000
"""Of all frames together: under a second of work."""
_BLANK = 8
"""Grey levels within which lossy compression leaves a single colour."""


def is_blank(image: Image.Image) -> bool:
    """True for an RGB image of one colour."""
    return all(int(np.ptp(band.getextrema())) <= _BLANK for band in image.split())


def first_with_content(
    file: ImageFile.ImageFile, first: Image.Image, to_rgb: Callable[[Image.Image], Image.Image]
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the first frame of an animation that is not blank, and a warning that says which it is.

    Args:
        file: at its first frame.
        first: that frame, which is returned if no other is found.
        to_rgb: converts a frame.
    """
    # An RGB image is the file itself, which changes with the frame.
    first = first.copy()
    number = 0
    while (number + 1) * first.width * first.height <= _PIXELS_LOOKED_AT:
        number += 1
        try:
            file.seek(number)
            file.load()
            frame = to_rgb(file)
        except (EOFError, OSError, ValueError, SyntaxError, KeyError, struct.error, MemoryError):
            # The end, or a later frame is broken or too large: the first one is there.
            break
        if frame.size == first.size and not is_blank(frame):
            blank = "the first frame is" if number == 1 else f"the first {number} frames are"
            return frame, (f"this is an animation of which {blank} blank: frame {number + 1} stands for it",)
    return first, ()
