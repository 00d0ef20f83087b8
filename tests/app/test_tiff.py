"""TIFF files: pages among thumbnails and masks, WebP in strips and tiles, raw files of cameras."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from app.decoding.images import DecodedImage, decode
from app.decoding.tiff import is_raw
from app.errors import InvalidImage, UnsupportedMedia
from app.setting_types import FORMATS
from tests.conftest import encoded

Tags = dict[int, tuple[int, ...]]


def read(data: bytes, frame: int = 0, max_frames: int = 1000) -> DecodedImage:
    return decode(data, FORMATS, 1_000_000, frame=frame, max_frames=max_frames)


def tiff(directories: list[Tags], pieces: bytes = b"") -> bytes:
    """Return a TIFF of directories, which refer to pieces that stand from byte 8 on."""
    data = b"II*\0" + struct.pack("<I", 8 + len(pieces)) + pieces
    for number, tags in enumerate(directories):
        start = len(data)
        lists = start + 2 + 12 * len(tags) + 4
        entries, behind = b"", b""
        for tag, values in sorted(tags.items()):
            packed = struct.pack(f"<{len(values)}I", *values)
            entries += struct.pack("<HHI", tag, 4, len(values))
            entries += packed if len(values) == 1 else struct.pack("<I", lists + len(behind))
            behind += b"" if len(values) == 1 else packed
        following = lists + len(behind) if number + 1 < len(directories) else 0
        data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + behind
    return data


def grey(level: int, **tags: int) -> tuple[Tags, bytes]:
    """Return the directory of a frame of 4 x 2 without the place of its pixels, and those."""
    common: Tags = {256: (4,), 257: (2,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (2,), 279: (8,)}
    return common | {int(tag[1:]): (value,) for tag, value in tags.items()}, bytes([level] * 8)


def frames(*all: tuple[Tags, bytes]) -> bytes:
    directories = [tags | {273: (8 + 8 * number,)} for number, (tags, _) in enumerate(all)]
    return tiff(directories, b"".join(pixels for _, pixels in all))


def test_thumbnails_and_masks_are_no_pages() -> None:
    data = frames(grey(1, t254=1), grey(50), grey(2, t255=2), grey(3, t254=4), grey(90, t254=2), grey(4, t254=5))
    assert read(data).frames == 2
    assert [read(data, page).image.getpixel((0, 0)) for page in (0, 1)] == [(50, 50, 50), (90, 90, 90)]


def test_a_file_of_thumbnails_alone_has_these_as_pages() -> None:
    data = frames(grey(1, t254=1), grey(2, t254=1))
    assert read(data).frames == 2
    assert read(data, 1).image.getpixel((0, 0)) == (2, 2, 2)


def test_thumbnails_are_not_counted_without_end() -> None:
    for count, page in ((1_000, 2), (5_000, 1)):
        data = frames(*[grey(1, t254=1)] * count, grey(2))
        assert read(data, max_frames=2).image.getpixel((0, 0)) == (page, page, page)


def test_a_page_may_be_asked_for_without_counting_the_others() -> None:
    data = frames(grey(1, t254=1), grey(50), grey(2, t254=1), grey(90), grey(120))
    for page, level in enumerate((50, 90, 120)):
        assert read(data, page, max_frames=0).image.getpixel((0, 0)) == (level, level, level)


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))


def of_webp(across: int, down: int, **more: int) -> bytes:
    """Return a TIFF of WebP files: tiles of so many pixels, or strips where they are as wide as the picture."""
    image, strips = picture(), across == 70
    boxes = [(x, y, x + across, y + down) for y in range(0, 50, down) for x in range(0, 70, across)]
    # A tile beyond the edge is filled up, a strip ends there.
    boxes = [(x, y, right, min(bottom, 50)) if strips else (x, y, right, bottom) for x, y, right, bottom in boxes]
    pieces = [encoded(image.crop(box), "WEBP", lossless=True) for box in boxes]
    starts = [8 + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    tags: Tags = {256: (70,), 257: (50,), 258: (8,), 259: (50_001,), 262: (2,), 277: (3,)}
    offsets, lengths = tuple(starts), tuple(map(len, pieces))
    tags |= {273: offsets, 278: (down,), 279: lengths} if strips else {}
    tags |= {} if strips else {322: (across,), 323: (down,), 324: offsets, 325: lengths}
    return tiff([tags | {int(tag[1:]): (value,) for tag, value in more.items()}], b"".join(pieces))


@pytest.mark.parametrize(("across", "down"), [(70, 50), (70, 16), (32, 32)], ids=["one strip", "strips", "tiles"])
def test_webp_in_a_tiff(across: int, down: int) -> None:
    assert read(of_webp(across, down)).image.tobytes() == picture().tobytes()


def test_webp_in_a_tiff_is_turned_upright() -> None:
    decoded = read(of_webp(70, 50, t274=6))
    assert decoded.size == (50, 70)
    assert decoded.image.tobytes() == picture().transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize("more", [{"t257": 90}, {"t256": 30}, {"t256": 90}, {"t257": 20}])
def test_webp_of_another_size_than_its_tiff_is_refused(more: dict[str, int]) -> None:
    with pytest.raises(InvalidImage):
        read(of_webp(70, 50, t278=50, **more))


SENSOR: Tags = {256: (8,), 257: (8,), 262: (32_803,)}


@pytest.mark.parametrize(
    "data",
    [
        tiff([grey(1)[0] | {273: (8,), 50_706: (0x0104,)}], bytes(8)),
        tiff([grey(1, t254=1)[0] | {273: (8,)}, SENSOR], bytes(8)),
        tiff([SENSOR | {262: (34_892,)}]),
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(9),
        b"\0\0\0\x18ftypcrx " + bytes(9),
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
    ],
    ids=["DNG", "second directory", "linear", "CR2", "CR3", "RAF", "ORF", "RW2"],
)
def test_raw_files(data: bytes) -> None:
    assert is_raw(data)
    with pytest.raises(UnsupportedMedia, match="raw file of a camera"):
        read(data)


def test_a_mosaic_within_another_directory() -> None:
    inner = tiff([SENSOR])
    preview = grey(1, t254=1)[0] | {273: (8,), 330: (8 + 8,)}
    data = tiff([preview], bytes(8) + inner[8:])
    assert is_raw(data)


def test_other_files_are_not_raw() -> None:
    for data in (
        frames(grey(1), grey(2)),
        encoded(picture(), "TIFF"),
        encoded(picture(), "JPEG"),
        b"II*\0",
        b"",
        b"MM\0*" * 9,
    ):
        assert not is_raw(data)


def test_directories_that_lead_in_circles_end() -> None:
    data = bytearray(tiff([grey(1)[0] | {330: (8,)}]))
    data[-4:] = struct.pack("<I", 8)
    assert not is_raw(bytes(data))
    with pytest.raises(InvalidImage):
        read(bytes(data))


def test_a_long_directory_is_not_read_without_end() -> None:
    with io.BytesIO() as buffer:
        buffer.write(b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(12 * 65_535 + 4))
        assert not is_raw(buffer.getvalue())
