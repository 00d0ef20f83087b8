"""Images in a PDF, compressed without a visible loss: ISO 32000-1, section 8.9."""

import io
from typing import Any, NamedTuple

import pydyf  # type: ignore[import-untyped]
from PIL import Image, ImageChops
from PIL.TiffImagePlugin import ROWSPERSTRIP, STRIPBYTECOUNTS, STRIPOFFSETS

_QUALITY = 85
# The longest side that libjpeg writes.
_JPEG_SIDE = 65500
_COLOURS = 256
"""An image of so few is drawn or set, not photographed: it may be smaller without a loss."""


class Jpeg(NamedTuple):
    """A JPEG that shows a page as it is: the file, and its mode as Pillow names it, `RGB` or `L`."""

    data: bytes
    mode: str


def encode(image: Image.Image, jpeg: Jpeg | None = None) -> pydyf.Stream:
    """Compress an RGB image: without loss where it is black and white, or has few colours and is smaller so; else
    as a JPEG, in grey where it has no colour. A `jpeg` of the image is taken as it is."""
    if jpeg is not None:
        return _stream(image.size, jpeg.mode, "DCTDecode", jpeg.data)
    red, green, blue = image.split()
    if ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(green, blue).getbbox() is None:
        image = red
        if {colour for _, colour in image.getcolors(2) or ((0, 1),)} <= {0, 255}:
            image = image.convert("1", dither=Image.Dither.NONE)
            return min(_fax(image), _deflated(image), key=lambda stream: len(stream.stream[0]))
    lossy = _jpeg(image) if max(image.size) <= _JPEG_SIDE else None
    if lossy is None or image.getcolors(_COLOURS) is not None:
        whole = _deflated(image)
        if lossy is None or len(whole.stream[0]) < len(lossy):
            return whole
    return _stream(image.size, image.mode, "DCTDecode", lossy)


def _stream(
    size: tuple[int, int], mode: str, coding: str, data: bytes, parameters: dict[str, Any] | None = None
) -> pydyf.Stream:
    extra = {
        "Type": "/XObject",
        "Subtype": "/Image",
        "Width": size[0],
        "Height": size[1],
        "ColorSpace": "/DeviceRGB" if mode == "RGB" else "/DeviceGray",
        "BitsPerComponent": 1 if mode == "1" else 8,
        "Filter": f"/{coding}",
    }
    if parameters:
        extra["DecodeParms"] = pydyf.Dictionary({"Columns": size[0], **parameters})
    return pydyf.Stream([data], extra)


def _fax(image: Image.Image) -> pydyf.Stream:
    """Compress an image in black and white: CCITT's group 4, as libtiff writes it in one strip."""
    output = io.BytesIO()
    image.save(output, "TIFF", compression="group4", tiffinfo={ROWSPERSTRIP: image.height})
    with Image.open(output, formats=["TIFF"]) as file:
        tags = file.tag_v2  # type: ignore[attr-defined]
        start, length = tags[STRIPOFFSETS][0], tags[STRIPBYTECOUNTS][0]
    data = output.getvalue()[start : start + length]
    return _stream(image.size, "1", "CCITTFaxDecode", data, {"K": -1, "Rows": image.height, "BlackIs1": "true"})


def _deflated(image: Image.Image) -> pydyf.Stream:
    """Compress an image as PNG does, whose predictors PDF has."""
    output = io.BytesIO()
    image.save(output, "PNG", optimize=image.mode == "1")
    data, at, pixels = output.getvalue(), 8, b""
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            pixels += data[at + 8 : at + 8 + length]
        at += 12 + length
    parameters = {"Predictor": 15, "Colors": len(image.getbands()), "BitsPerComponent": 1 if image.mode == "1" else 8}
    return _stream(image.size, image.mode, "FlateDecode", pixels, parameters)


def _jpeg(image: Image.Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "JPEG", quality=_QUALITY)
    return output.getvalue()
