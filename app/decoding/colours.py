"""An image of any mode to RGB: deep greys scaled to 8 bits, transparency on a background."""

import numpy as np
from PIL import Image, ImageChops
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from app.decoding.tiff import white_is_zero

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_LIGHT = 180
"""The grey level from which the contrast with white is below 2.1 to 1, as WCAG 2 computes it."""
_MAX_EXAMINED_PIXELS = 4_000_000
"""Pixels that are enough to choose a background."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode. Transparency is laid on white, or on black if the image is too light to be seen on
    white."""
    negative = isinstance(image, TiffImageFile) and white_is_zero(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _to_8_bits(image)
        if negative:
            image = ImageChops.invert(image)
    elif negative:
        grey, alpha = image.split()
        image = Image.merge("LA", (ImageChops.invert(grey), alpha))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, _BLACK if _is_light_on_nothing(image) else _WHITE)
        canvas.alpha_composite(image)
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_light_on_nothing(image: Image.Image) -> bool:
    """Return whether an RGBA image is light, as white lettering is, in its opaque pixels and at their border."""
    if image.width * image.height > _MAX_EXAMINED_PIXELS:
        scale = (_MAX_EXAMINED_PIXELS / (image.width * image.height)) ** 0.5
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        # Take the nearest pixels instead of their mean, because a transparent pixel may have any colour.
        image = image.resize(size, Image.Resampling.NEAREST)
    alpha = image.getchannel("A")
    highest = int(np.max(alpha.getextrema()))
    shown = alpha.point([255 if 2 * level > highest else 0 for level in range(256)])
    inner = ImageChops.darker(ImageChops.offset(shown, 1, 0), ImageChops.offset(shown, 0, 1))
    grey = image.convert("L")
    return all(_is_light(grey.histogram(mask)) for mask in (shown, ImageChops.subtract(shown, inner)))


def _is_light(levels: list[int]) -> bool:
    return 2 * sum(levels[_LIGHT:]) > sum(levels)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey levels of more than 8 bits, which `convert` would clip."""
    levels = np.asarray(image)
    if image.mode.startswith("I;"):
        # Of the formats that Pillow reads in this mode, only TIFF may have 12 bits.
        bits = image.tag_v2[BITSPERSAMPLE][0] if isinstance(image, TiffImageFile) else 16
        return Image.fromarray((levels >> (bits - 8)).astype(np.uint8))
    finite = levels[np.isfinite(levels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if image.mode == "I" and low >= 0 and high <= 65535:
        return Image.fromarray((levels >> 8 if high > 255 else levels).astype(np.uint8))
    scaled = levels.astype(np.float64)
    # Compute in place: for the largest image, the array takes 800 MB.
    scaled -= low
    scaled *= 255 / ((high - low) or 1)
    np.nan_to_num(scaled, copy=False, posinf=255, neginf=0)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))
