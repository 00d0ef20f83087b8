"""What is particular to TIFF files: which frames are pages, which files are raw, and what Pillow leaves to do."""

import contextlib
import io
import struct
from collections.abc import Iterator

from PIL import Image
from PIL.TiffImagePlugin import (
    COMPRESSION,
    IMAGELENGTH,
    IMAGEWIDTH,
    OPEN_INFO,
    PHOTOMETRIC_INTERPRETATION,
    ROWSPERSTRIP,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    TiffImageFile,
)

from app.errors import InvalidImage

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 255, 330, 50_706
_REDUCED_OR_MASK = 1 | 4
"""Bits of NewSubfileType: a reduced version of another frame, and a transparency mask."""
_OLD_REDUCED = 2
_THUMBNAILS = 4_000
"""The most frames that are examined besides the pages."""
_OF_SENSORS = (32_803, 34_892)
"""Photometric interpretations of raw files: the mosaic of a sensor, and colours that are not developed yet."""
_RAW_FILES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
"""How raw files begin that are no TIFF: those of Fujifilm, Olympus, Panasonic, Sigma, Minolta and (older) Canon."""
_FAX_LINES = (2, 3)
_ENTRIES, _LOOK_AT = 500, 64
"""The most entries of a directory, and the most directories of a file, that are examined."""

for (prefix, photometric, *others), modes in list(OPEN_INFO.items()):
    # Pillow opens some deep grey modes only if 0 is black. Register them also for 0 as white: `white_is_zero` tells
    # which images to invert.
    if photometric == 1 and modes[0].startswith(("I", "F", "LA")):
        OPEN_INFO.setdefault((prefix, 0, *others), modes)  # type: ignore[arg-type]


def pages_of(file: TiffImageFile, most: int) -> list[int]:
    """Return the numbers of the frames that are pages, at most `most` + 1 of them. Thumbnails, reduced versions and
    masks are not pages, unless the file has nothing else."""
    frames = 0
    pages: list[int] = []
    while len(pages) <= most and frames <= most + _THUMBNAILS:
        try:
            # A frame that Pillow cannot decode is a page as well; it is refused when it is asked for.
            with contextlib.suppress(SyntaxError, KeyError):
                file.seek(frames)
        except EOFError:
            break
        tags = file.tag_v2
        reduced = tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK or tags.get(_SUBFILE_TYPE, 0) == _OLD_REDUCED
        if not reduced:
            pages.append(frames)
        frames += 1
    return pages or list(range(min(frames, most + 1)))


def white_is_zero(file: TiffImageFile) -> bool:
    """Return whether Pillow decodes the image as a negative."""
    return file.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0 and file.mode.startswith(("I", "F", "LA"))


def is_raw(data: bytes) -> bool:
    """True for a raw file of a camera. Most are TIFF files whose first frame is a small preview."""
    if data.startswith(_RAW_FILES) or data[4:12] == b"ftypcrx " or (data[:2] == b"II" and data[8:11] == b"CR\x02"):
        return True
    return any(
        _DNG_VERSION in tags or tags.get(PHOTOMETRIC_INTERPRETATION, (0,))[0] in _OF_SENSORS
        for tags in _directories(data)
    )


def hides_damage(data: bytes) -> bool:
    """True for a TIFF with fax lines (CCITT group 3), which libtiff skips without an error where they are broken."""
    return any(tags.get(COMPRESSION, (1,))[0] in _FAX_LINES for tags in _directories(data))


def _directories(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the numbers in the directories of a classic TIFF file, those within others included (TIFF 6.0, section 2,
    and Adobe's technical note 1), up to one that is broken."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return
    seen: set[int] = set()
    with contextlib.suppress(struct.error):
        ahead = list(struct.unpack_from(f"{order}I", data, 4))
        while ahead and len(seen) < _LOOK_AT:
            at = ahead.pop()
            if at != 0 and at not in seen:
                seen.add(at)
                tags, following = _directory(data, order, at)
                yield tags
                ahead += [following, *tags.get(_SUB_IFDS, ())]


def _directory(data: bytes, order: str, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the integers of a directory by tag, without long lists, and the offset of the next directory."""
    end = at + 2 + 12 * struct.unpack_from(f"{order}H", data, at)[0]
    tags = {}
    for entry in range(at + 2, min(end, at + 2 + 12 * _ENTRIES), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        letter = {1: "B", 3: "H", 4: "I", 13: "I"}.get(kind)
        if letter and 0 < length <= _LOOK_AT:
            layout = f"{order}{length}{letter}"
            is_here = struct.calcsize(layout) <= 4
            tags[tag] = struct.unpack_from(
                layout, data, entry + 8 if is_here else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            )
    return tags, struct.unpack_from(f"{order}I", data, end)[0]


def load_webp(file: TiffImageFile) -> Image.Image:
    """Decode the selected frame, as it is stored, of a TIFF whose strips or tiles are WebP files. The libtiff of
    Pillow's packages does not read them.

    Raises:
        InvalidImage: a strip or a tile is missing, or not of its size.
    """
    tags = file.tag_v2
    width, height = int(tags[IMAGEWIDTH]), int(tags[IMAGELENGTH])
    tiled = TILEOFFSETS in tags
    across = int(tags[TILEWIDTH]) if tiled else width
    down = int(tags[TILELENGTH]) if tiled else min(int(tags.get(ROWSPERSTRIP, height)), height)
    places = [(left, top) for top in range(0, height, down) for left in range(0, width, across)]
    offsets, lengths = tags[TILEOFFSETS if tiled else STRIPOFFSETS], tags[TILEBYTECOUNTS if tiled else STRIPBYTECOUNTS]
    if len(offsets) < len(places) or len(lengths) < len(places):
        raise InvalidImage("the image is cut off: pixels are missing")
    image = Image.new("RGBA" if file.mode == "RGBA" else "RGB", (width, height))
    for place, offset, length in zip(places, offsets, lengths, strict=False):
        assert file.fp is not None
        file.fp.seek(offset)
        with Image.open(io.BytesIO(file.fp.read(length)), formats=["WEBP"]) as piece:
            left, top = place
            fits = (
                min(across, width - left) <= piece.width <= across and min(down, height - top) <= piece.height <= down
            )
            if not fits:
                raise InvalidImage("the image is broken: a part of it has another size than the TIFF says")
            image.paste(piece, place)
    return image
