"""Images in a PDF, compressed without a visible loss: ISO 32000-1, section 8.9."""

import io
import zlib

import pydyf  # type: ignore[import-untyped]
from PIL import Image, ImageChops

_QUALITY = 85
# The longest side that libjpeg writes.
_JPEG_SIDE = 65500


def encode(image: Image.Image) -> pydyf.Stream:
    """Compress an image: JPEG, in grey where it has no colour; without loss where it is black and white."""
    red, green, blue = image.split()
    if ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(green, blue).getbbox() is None:
        image = red
        if {colour for _, colour in image.getcolors(2) or ((0, 1),)} <= {0, 255}:
            image = image.convert("1", dither=Image.Dither.NONE)
    if image.mode == "1" or max(image.size) > _JPEG_SIDE:
        coding, data = "/FlateDecode", zlib.compress(image.tobytes(), 9)
    else:
        coding, data = "/DCTDecode", _jpeg(image)
    extra = {
        "Type": "/XObject",
        "Subtype": "/Image",
        "Width": image.width,
        "Height": image.height,
        "ColorSpace": "/DeviceRGB" if image.mode == "RGB" else "/DeviceGray",
        "BitsPerComponent": 1 if image.mode == "1" else 8,
        "Filter": coding,
    }
    return pydyf.Stream([data], extra)


def _jpeg(image: Image.Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "JPEG", quality=_QUALITY)
    return output.getvalue()
