"""Animations whose first frame is blank: the first frame that is not blank is used instead."""

import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

_MAX_EXAMINED_PIXELS = 32_000_000
"""The most pixels that are examined, over all frames, which takes less than a second."""
_BLANK = 8
"""The largest range of grey levels of a single colour after lossy compression."""


def is_blank(image: Image.Image) -> bool:
    """True for an RGB image of one colour."""
    return all(int(np.ptp(band.getextrema())) <= _BLANK for band in image.split())


def first_with_content(
    file: ImageFile.ImageFile, first: Image.Image, to_rgb: Callable[[Image.Image], Image.Image]
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the first frame of an animation that is not blank, and a warning with its number.

    Args:
        file: the animation, at its first frame.
        first: the first frame, which is returned if no other is found.
        to_rgb: converts a frame.
    """
    # An RGB image is the file object itself, which `seek` changes.
    first = first.copy()
    size, number = file.size, 0
    while (number + 1) * first.width * first.height <= _MAX_EXAMINED_PIXELS:
        number += 1
        try:
            file.seek(number)
            if file.size != size:
                # A later frame of a GIF may enlarge the image, beyond all memory.
                break
            file.load()
            frame = to_rgb(file)
        except (EOFError, OSError, ValueError, SyntaxError, KeyError, struct.error, MemoryError):
            # The file ends here, or a later frame is broken or too large: return the first frame.
            break
        if frame.size == first.size and not is_blank(frame):
            blank = "the first frame is" if number == 1 else f"the first {number} frames are"
            return frame, (f"this is an animation of which {blank} blank: frame {number + 1} is used instead",)
    return first, ()
