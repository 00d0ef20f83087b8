"""Decodes bytes to an upright RGB image. The content decides the format, not the name or type of the file."""

import io
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pillow_heif
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from app.decoding import mending, tiff
from app.decoding.animation import first_with_content, is_blank
from app.decoding.colours import to_rgb
from app.errors import InvalidImage, UnsupportedMedia

pillow_heif.register_heif_opener()
# The limit is checked here, before decoding, for every format alike.
Image.MAX_IMAGE_PIXELS = None

# Pillow warns of odd metadata, which does not matter here. It raises real errors.
warnings.filterwarnings("ignore", module=r"PIL\.")

log = logging.getLogger(__name__)

_BROKEN = "the image is broken or cut off and cannot be decoded"
# The transposition that undoes each EXIF orientation. Orientation 1 is upright already.
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
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

_REDUCED = {4: 5, 2: 3}
"""The fractions (1/4, 1/2) of its size at which a JPEG may be decoded, each with how many times as large as the model's
square the result must be. It then differs from a JPEG decoded in full, both scaled to the square, by less than one grey
level on average: benchmarks/README.md."""

_MAX_METADATA = 16_000_000
# The entry that declares an item of an AVIF as Exif: ISO 14496-12, section 8.11.6.
_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{7,9})Exif", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded file.

    Attributes:
        image: upright, RGB.
        format: the name of the format that the file has.
        frames: the number of pages: the frames of a TIFF except thumbnails. The frames of an animation are not pages.
        size: the width and height of the image in the file, upright.
        warnings: the defects of a file that could be decoded all the same.
        jpeg: the mode, `RGB` or `L`, of a JPEG that is the image as it is: upright, whole, and without a profile of
            its colours; None for other files.
    """

    image: Image.Image
    format: str
    frames: int
    size: tuple[int, int]
    warnings: tuple[str, ...] = ()
    jpeg: str | None = None


def decode(
    data: bytes,
    formats: Sequence[str],
    max_pixels: int,
    frame: int = 0,
    side: int | None = None,
    max_frames: int = 1_000,
) -> DecodedImage:
    """Decode an image: EXIF orientation applied, transparency on a background, deep colours scaled to 8 bits.

    A file that lacks its end but no pixel is decoded with a warning, and so is a PNG with a damaged ancillary chunk.

    Args:
        data: the file.
        formats: the formats to read, as Pillow names them.
        max_pixels: the largest width times height, checked before decoding.
        frame: which page of a TIFF, counted from 0.
        side: the side in pixels of the square that the caller scales the image to. A much larger JPEG is decoded at a
            fraction of its size, which is faster.
        max_frames: counting the pages of a TIFF stops at one more than this. 0 skips the counting, which is faster.

    Raises:
        UnsupportedMedia: the file is not an image of these formats.
        InvalidImage: the file is empty, broken, or too large.
        MemoryError: decoding takes more memory than is available.
    """
    if not data:
        raise InvalidImage("the image is empty: zero bytes came")
    if data[:2] == b"\xff\xd8":
        _check_metadata(data)
    elif tiff.is_raw(data):
        raise UnsupportedMedia("this is a raw file of a camera, which is not read here: develop it, and send a JPEG")
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        data = _without_exif(data)
    warnings: list[str] = []
    if data[:8] == b"\x89PNG\r\n\x1a\n" and "PNG" in formats:
        data, warnings = mending.mended_png(data, max_pixels)
    as_it_is = partial(_decoded, formats=formats, max_pixels=max_pixels, frame=frame, side=side, max_frames=max_frames)
    try:
        decoded = as_it_is(data)
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:
        # Decoders raise whatever they meet in a broken file: OSError, ValueError, SyntaxError, struct.error and others.
        mended = _mended(data, as_it_is)
        if mended is None:
            raise _refused(data, formats, error) from error
        decoded = mended
    return replace(decoded, warnings=(*warnings, *decoded.warnings))


def _decoded(
    data: bytes, formats: Sequence[str], max_pixels: int, frame: int, side: int | None, max_frames: int
) -> DecodedImage:
    """Decode a file as it is. Pillow's errors for a broken file pass through."""
    with Image.open(io.BytesIO(data), formats=list(formats)) as file:
        pages = [0]
        if isinstance(file, TiffImageFile):
            pages = tiff.pages_of(file, max(frame, max_frames))
            file.seek(pages[frame])
        _check_size(file.size, max_pixels)
        size = file.size
        if side and file.format in ("JPEG", "MPO"):
            _reduce(file, side)
        # Pillow names a JPEG of several pictures, as phones write them, MPO.
        format = "JPEG" if file.format == "MPO" else str(file.format)
        if isinstance(file, TiffImageFile) and file.info["compression"] == "webp":
            image = _turned(to_rgb(tiff.load_webp(file)), _orientation(file))
        else:
            file.load()
            image = _upright_rgb(file)
        upright = image.size
        if file.size != size:
            upright = size[::-1] if _orientation(file) in _ON_ITS_SIDE else size
        warnings: tuple[str, ...] = ()
        if format in _ANIMATED and is_blank(image):
            image, warnings = first_with_content(file, image, _upright_rgb)
        return DecodedImage(image, format, len(pages), upright, warnings, _plain_jpeg(file))


def _mended(data: bytes, decode: Callable[[bytes], DecodedImage]) -> DecodedImage | None:
    """Mend and decode a file that cannot be decoded as it is. Return None if more than its end is missing."""

    def attempt(mended: bytes, warning: str) -> DecodedImage | None:
        try:
            return replace(decode(mended), warnings=(warning,), jpeg=None)
        except MemoryError:
            raise
        except Exception as error:
            log.debug("cannot be mended: %s", error)
            return None

    if data[8:12] == b"WEBP":
        webp = mending.mended_webp(data)
        return attempt(webp, mending.WITHOUT_END) if webp else None
    is_jpeg = data[:2] == b"\xff\xd8"
    scans = mending.scans_of(data) if is_jpeg else mending.Scans(True, True, False)
    if scans is None or not (is_jpeg or data.startswith((b"GIF", b"BM", b"II", b"MM"))) or tiff.hides_damage(data):
        return None
    whole: DecodedImage | None = None
    for end in mending.possible_ends(data) if scans.covered else ():
        other = attempt(end, mending.WITHOUT_END if scans.whole else mending.WITHOUT_DETAIL)
        if other is None or (whole and ImageChops.difference(whole.image, other.image).getbbox()):
            break
        whole = whole or other
    else:
        if whole:
            return whole
    return attempt(data + mending.JPEG_END, mending.WITHOUT_DETAIL) if scans.covered_before else None


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
    """Return a list of what can be sent, for error messages: images of these formats, and PDFs."""
    return f"{', '.join(formats)}, or a PDF to a model that reads"


def _check_metadata(jpeg: bytes) -> None:
    """Limit the metadata before the pixels. Pillow joins segments of Exif one by one, which takes quadratic time."""
    at = 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] not in (b"\xda", b""):
        # Any number of fill bytes (0xFF) may precede a marker.
        filled = jpeg[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if at > _MAX_METADATA:
            raise InvalidImage(f"the JPEG has more than {_MAX_METADATA} bytes of metadata: save it without")


def _without_exif(avif: bytes) -> bytes:
    """Rename the type of the Exif item, so that libavif ignores it. libavif refuses a file with broken Exif, and does
    not need it for the orientation, which an AVIF has in other properties."""
    return _EXIF_ITEM.sub(rb"\1skip", avif, count=1)


def _reduce(jpeg: Image.Image, side: int) -> None:
    """Make Pillow decode a JPEG at a fraction of its size, if that suffices for a square of `side` pixels."""
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


def _refused(data: bytes, formats: Sequence[str], error: Exception) -> InvalidImage | UnsupportedMedia:
    if isinstance(error, UnidentifiedImageError) and not looks_like_image(data, formats):
        return UnsupportedMedia(f"this is not an image that can be read here: send {what_is_read(formats)}")
    return InvalidImage(_BROKEN)


def _upright_rgb(image: Image.Image) -> Image.Image:
    # Most photos are RGB already.
    is_rgb = image.mode == "RGB" and not image.has_transparency_data
    return _turned(image if is_rgb else to_rgb(image), _orientation(image))


def _plain_jpeg(file: Image.Image) -> str | None:
    is_plain = file.format == "JPEG" and file.mode in ("RGB", "L") and "icc_profile" not in file.info
    return file.mode if is_plain and _orientation(file) == 1 else None


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:
        # Broken metadata does not prevent decoding: leave the image as it is.
        log.debug("EXIF cannot be read: %s", error)
        return 1
