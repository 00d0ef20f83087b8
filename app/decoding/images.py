"""Bytes to an upright RGB image, by what they hold and not by what they are called."""

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from app.errors import InvalidImage, UnsupportedMedia

pillow_heif.register_heif_opener()
# The limit is checked here, before decoding, for every format alike.
Image.MAX_IMAGE_PIXELS = None

# Pillow also warns of odd metadata; what matters raises.
warnings.filterwarnings("ignore", module=r"PIL\.")

log = logging.getLogger(__name__)

_WHITE = (255, 255, 255)
# What undoes each EXIF orientation but the first.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)

_REDUCED = {4: 5, 2: 3}
"""A JPEG can be decoded at a quarter or half of its size. Reduced then to a model's square, it differs from one decoded
in full by less than one grey level on average, where it is still so many times as large: benchmarks/README.md."""

_MAX_METADATA = 16_000_000
# The entry that says which item of an AVIF is its Exif: ISO 14496-12, section 8.11.6.
_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{7,9})Exif", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright RGB image, the name of the format it came in, how many pages the file has (frames of a TIFF, for those
    of an animation are not pages), and the width and height of the image in the file, upright."""

    image: Image.Image
    format: str
    frames: int
    size: tuple[int, int]


def decode(
    data: bytes,
    formats: Sequence[str],
    max_pixels: int,
    frame: int = 0,
    side: int | None = None,
    max_frames: int = 1_000,
) -> DecodedImage:
    """Decode an image: EXIF orientation applied, transparency on white, deep colours scaled to 8 bits.

    Args:
        data: the file.
        formats: the formats to read, as Pillow names them.
        max_pixels: the largest width times height, checked before decoding.
        frame: which frame of a TIFF, counted from 0.
        side: of the square, in pixels, to which the image is going to be reduced. A JPEG much larger than that is
            decoded at a part of its size, which is faster.
        max_frames: how many frames of a TIFF are told apart from more.

    Raises:
        UnsupportedMedia: not an image of these formats.
        InvalidImage: empty, broken, or too large.
        MemoryError: it takes more than there is.
    """
    if not data:
        raise InvalidImage("the image is empty: zero bytes came")
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        data = _without_exif(data)
    if data[:2] == b"\xff\xd8":
        _check_metadata(data)
    try:
        with Image.open(io.BytesIO(data), formats=list(formats)) as file:
            frames = _frames(file, max_frames) if file.format == "TIFF" else 1
            if file.format == "TIFF":
                file.seek(frame)
            _check_size(file.size, max_pixels)
            if file.format == "PNG":
                _check_sums(data)
            size = file.size
            if side and file.format in ("JPEG", "MPO"):
                _reduce(file, side)
            file.load()
            # A JPEG of several pictures, as phones make them, calls itself MPO.
            format = "JPEG" if file.format == "MPO" else str(file.format)
            image = _upright_rgb(file)
            if file.size == size:
                return DecodedImage(image, format, frames, image.size)
            return DecodedImage(image, format, frames, size[::-1] if _orientation(file) in _ON_ITS_SIDE else size)
    except (InvalidImage, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data, formats) from error
    except Exception as error:
        # Decoders raise whatever they meet in a broken file: OSError, ValueError, SyntaxError, struct.error and others.
        raise InvalidImage("the image is broken or cut off and cannot be decoded") from error


def looks_like_image(data: bytes, formats: Sequence[str]) -> bool:
    """True when the first bytes are those of one of the formats."""
    Image.init()
    prefix = data[:16]
    for name in formats:
        accepts = Image.OPEN[name][1] if name in Image.OPEN else None
        if accepts is not None and accepts(prefix):
            return True
    return False


def what_is_read(formats: Sequence[str]) -> str:
    """Return in words what may be sent where images of these formats may."""
    return f"{', '.join(formats)}, or a PDF to a model that reads"


def _check_metadata(jpeg: bytes) -> None:
    """Add up what stands before the pixels. Pillow joins Exif in many segments one by one, and copies those before."""
    at = 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] not in (b"\xda", b""):
        # Any byte of filling may come before a marker.
        filled = jpeg[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if at > _MAX_METADATA:
            raise InvalidImage(f"the JPEG has more than {_MAX_METADATA} bytes of metadata: save it without")


def _frames(file: Image.Image, most: int) -> int:
    """Return how many frames there are, or `most` and one."""
    for number in range(1, most + 1):
        try:
            file.seek(number)
        except EOFError:
            return number
    return most + 1


def _without_exif(avif: bytes) -> bytes:
    """Name the Exif item otherwise. libavif refuses the whole file where it is broken, and does not need it to turn
    the image upright: in an AVIF that is said elsewhere."""
    return _EXIF_ITEM.sub(rb"\1skip", avif, count=1)


def _reduce(jpeg: Image.Image, side: int) -> None:
    """Have a JPEG decoded at a part of its size, where that is enough for a square of so many pixels."""
    width, height = jpeg.size
    for part, times in _REDUCED.items():
        if min(width, height) >= part * times * side:
            jpeg.draft(None, (width // part, height // part))
            return


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InvalidImage(
            f"the image is {width} x {height}, more than the {max_pixels} pixels allowed: scale it down, "
            "or see MAX_IMAGE_PIXELS"
        )


def _check_sums(png: bytes) -> None:
    """Check what `load` passes over: the checksums of the pixels."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as file:
        file.verify()


def _unidentified(data: bytes, formats: Sequence[str]) -> InvalidImage | UnsupportedMedia:
    if looks_like_image(data, formats):
        return InvalidImage("the image is broken or cut off and cannot be decoded")
    return UnsupportedMedia(f"this is not an image that can be read here: send {what_is_read(formats)}")


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _to_8_bits(image)
    if turn is not None:
        image = image.transpose(turn)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, _WHITE)
        canvas.alpha_composite(image)
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:
        # Whatever is wrong with the metadata, the pixels can be shown as they are.
        log.debug("EXIF cannot be read: %s", error)
        return 1


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey levels of more than 8 bits, which `convert` would clip."""
    levels = np.asarray(image)
    if image.mode.startswith("I;"):
        # Of what Pillow reads so, TIFF alone may hold 12 bits.
        bits = image.tag_v2[BITSPERSAMPLE][0] if isinstance(image, TiffImageFile) else 16
        return Image.fromarray((levels >> (bits - 8)).astype(np.uint8))
    finite = levels[np.isfinite(levels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if image.mode == "I" and low >= 0 and high <= 65535:
        return Image.fromarray((levels >> 8 if high > 255 else levels).astype(np.uint8))
    scaled = levels.astype(np.float64)
    # In place: these are 800 MB for the largest image.
    scaled -= low
    scaled *= 255 / ((high - low) or 1)
    np.nan_to_num(scaled, copy=False, posinf=255, neginf=0)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))
