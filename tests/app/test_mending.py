"""Files that lack their end or hold a damaged remark: shown with a warning, or refused because pixels are missing."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.decoding.images import DecodedImage, decode
from app.decoding.mending import WITHOUT_DETAIL, WITHOUT_END
from app.errors import InvalidImage
from app.setting_types import FORMATS
from tests import drawn
from tests.app.test_images import chunk, png
from tests.conftest import encoded

END = len(chunk(b"IEND", b""))


def read(data: bytes) -> DecodedImage:
    return decode(data, FORMATS, 1_000_000)


def picture() -> Image.Image:
    """A page on which the last pixels matter: noise below words."""
    page = drawn.page(drawn.numbered(4), (301, 203), (20, 20), 16)
    noise = np.random.default_rng(0).integers(0, 256, (60, 301, 3), dtype=np.uint8)
    page.paste(Image.fromarray(noise), (0, 143))
    return page


def remarks(place: str) -> bytes:
    """A PNG with a comment before or after its pixels."""
    data, comment = encoded(picture()), chunk(b"tEXt", b"Comment\0written by a tool")
    at = data.index(b"IDAT") - 4 if place == "before" else len(data) - END
    return data[:at] + comment + data[at:]


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def metadata_last() -> bytes:
    """A WebP that ends with its Exif."""
    data = encoded(picture(), "WEBP", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0" + bytes(50))
    assert data.rindex(b"EXIF") > data.index(b"VP8 ")
    return data


def animation(format: str) -> bytes:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (203, 301, 3), dtype=np.uint8))
    return encoded(picture(), format, save_all=True, append_images=[noise])


def tiff(compression: str, number: int) -> bytes:
    """A TIFF whose one strip stands at its end, behind the directory."""
    with Image.open(
        io.BytesIO(encoded(picture().convert("L"), "TIFF", compression=compression, strip_size=10**6))
    ) as file:
        tags = file.tag_v2  # type: ignore[attr-defined]
        assert file.fp is not None
        file.fp.seek(tags[273][0])
        strip = file.fp.read(tags[279][0])
    entries = [(256, 301), (257, 203), (258, 8), (259, number), (262, 1), (273, 122), (277, 1), (278, 203)]
    entries.append((279, len(strip)))
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<4sIH", b"II*\0", 8, len(entries)) + table + bytes(4) + strip


SHOWN: dict[str, tuple[Callable[[], bytes], Callable[[bytes], bytes], str]] = {
    "JPEG without its end marker": (lambda: encoded(picture(), "JPEG"), lambda data: data[:-2], WITHOUT_END),
    "JPEG with half an end marker": (lambda: encoded(picture(), "JPEG"), lambda data: data[:-1], WITHOUT_END),
    "JPEG with something else at its end": (
        lambda: encoded(picture(), "JPEG"), lambda data: data[:-2] + bytes(300), "",
    ),
    "progressive JPEG without its end marker": (
        lambda: encoded(picture(), "JPEG", progressive=True), lambda data: data[:-2], WITHOUT_END,
    ),
    "JPEG with restart markers": (
        lambda: encoded(picture(), "JPEG", restart_marker_rows=1), lambda data: data[:-2], WITHOUT_END,
    ),
    "grey JPEG": (lambda: encoded(picture().convert("L"), "JPEG"), lambda data: data[:-2], WITHOUT_END),
    "PNG without IEND": (lambda: encoded(picture()), lambda data: data[:-END], WITHOUT_END),
    "PNG with half an IEND": (lambda: encoded(picture()), lambda data: data[:-5], WITHOUT_END),
    "PNG cut off in a checksum": (lambda: encoded(picture()), lambda data: data[: -END - 2], WITHOUT_END),
    "PNG cut off in zlib's checksum": (lambda: encoded(picture()), lambda data: data[: -END - 4 - 3], WITHOUT_END),
    "PNG with garbage in place of its end": (
        lambda: encoded(picture()), lambda data: data[:-END] + b"\0\1\2 nothing", WITHOUT_END,
    ),
    "PNG cut off in a comment at its end": (lambda: remarks("after"), lambda data: data[: -END - 9], WITHOUT_END),
    "PNG with a bad checksum in a comment": (
        lambda: remarks("before"), lambda data: changed(data, data.index(b"Comment")), "checksum of the chunk tEXt",
    ),
    "PNG with a bad checksum in a comment at its end": (
        lambda: remarks("after"), lambda data: changed(data, data.index(b"Comment")), "checksum of the chunk tEXt",
    ),
    "GIF without its trailer": (lambda: encoded(picture(), "GIF"), lambda data: data[:-1], ""),
    "GIF without its last two blocks": (lambda: encoded(picture(), "GIF"), lambda data: data[:-3], WITHOUT_END),
    "GIF cut off in a later frame": (lambda: animation("GIF"), lambda data: data[:-500], ""),
    "WebP cut off in its Exif": (metadata_last, lambda data: data[:-20], WITHOUT_END),
    "WebP cut off in a later frame": (lambda: animation("WEBP"), lambda data: data[:-500], WITHOUT_END),
    "WebP with a wrong length": (
        lambda: encoded(picture(), "WEBP"), lambda data: data[:4] + b"\xff\xff\0\0" + data[8:], WITHOUT_END,
    ),
    "BMP without the last row's padding": (lambda: encoded(picture(), "BMP"), lambda data: data[:-1], ""),
    "TIFF without the end of its LZW": (lambda: tiff("tiff_lzw", 5), lambda data: data[:-1], WITHOUT_END),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHOWN)
def test_what_has_all_its_pixels_is_shown(kind: str) -> None:
    make, damage, warning = SHOWN[kind]
    whole = read(make())
    decoded = read(damage(make()))
    assert decoded.image.tobytes() == whole.image.tobytes()
    assert [warning in said for said in decoded.warnings] == ([True] if warning else [])
    assert whole.warnings == ()


MISSING: dict[str, tuple[Callable[[], bytes], int]] = {
    "JPEG": (lambda: encoded(picture(), "JPEG"), 60),
    "JPEG with restart markers": (lambda: encoded(picture(), "JPEG", restart_marker_rows=1), 200),
    "PNG": (lambda: encoded(picture()), END + 4 + 60),
    "interlaced PNG": (lambda: png_interlaced(), END + 4 + 8),
    "GIF": (lambda: encoded(picture(), "GIF"), 60),
    "WebP": (lambda: encoded(picture(), "WEBP"), 60),
    "lossless WebP": (lambda: encoded(picture(), "WEBP", lossless=True), 60),
    "BMP": (lambda: encoded(picture(), "BMP"), 60),
    "TIFF": (lambda: tiff("tiff_lzw", 5), 60),
    "TIFF of fax lines": (lambda: encoded(picture().convert("1"), "TIFF", compression="group3"), 300),
    "AVIF": (lambda: encoded(picture(), "AVIF"), 60),
    "HEIF": (lambda: encoded(picture(), "HEIF"), 60),
}


def png_interlaced() -> bytes:
    """A grey PNG of 8 x 8 in seven passes."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    rows = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    random = np.random.default_rng(0)
    pixels = b"".join(b"\0" + random.bytes(width) for count, width in rows for _ in range(count))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", MISSING)
def test_missing_pixels_are_refused(kind: str) -> None:
    make, cut = MISSING[kind]
    with pytest.raises(InvalidImage, match=r"cut off|broken"):
        read(make()[:-cut])


def test_an_interlaced_png_may_lack_its_end_too() -> None:
    whole, cut = read(png_interlaced()), read(png_interlaced()[: -END - 4])
    assert cut.image.tobytes() == whole.image.tobytes()
    assert cut.warnings == (WITHOUT_END,)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_a_bad_checksum_of_what_is_necessary_is_refused(kind: bytes) -> None:
    data = encoded(picture())
    at = data.index(kind)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    with pytest.raises(InvalidImage, match="checksum"):
        read(changed(data, at + 4 + length))


def scans(jpeg: bytes) -> Iterator[int]:
    """Yield where the scans of a JPEG begin."""
    at = 0
    while (at := jpeg.find(b"\xff\xda", at + 1)) != -1:
        yield at


def test_a_progressive_jpeg_cut_off_late_is_shown_without_its_finest_detail() -> None:
    data = encoded(picture(), "JPEG", progressive=True, quality=90)
    whole = np.asarray(read(data).image, float)
    last = [*scans(data)][-1]
    for cut in (len(data) - 40, (last + len(data)) // 2, last + 20, last):
        decoded = read(data[:cut])
        assert decoded.warnings == (WITHOUT_DETAIL,)
        assert np.abs(np.asarray(decoded.image, float) - whole).mean() < 12


def test_a_progressive_jpeg_cut_off_early_is_refused() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    # The scans that libjpeg writes: the last of the first bits of the brightness is the fifth.
    starts = [*scans(data)]
    for cut in (starts[1], starts[4], starts[5] - 60):
        with pytest.raises(InvalidImage):
            read(data[:cut])


def test_a_jpeg_of_one_scan_for_each_colour_lacks_colours() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    with pytest.raises(InvalidImage):
        read(data[: next(scans(data)) + 12])


def test_a_bomb_without_an_end_is_not_inflated() -> None:
    bomb = png(50_000, 50_000, chunk(b"IDAT", zlib.compress(bytes(10_000_000))))[:-END]
    with pytest.raises(InvalidImage):
        read(bomb)


def test_a_png_cut_off_in_a_large_file_is_read_in_proportion() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8))
    assert read(encoded(noise)[:-END]).image.tobytes() == read(encoded(noise)).image.tobytes()


def test_what_is_left_out_of_a_png_is_only_the_remark() -> None:
    """Its transparency and its orientation stay."""
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "of a tool")
    drawing = Image.new("LA", (30, 20), (0, 0))
    drawing.paste((0, 255), (0, 0, 15, 20))
    data = encoded(drawing, exif=exif, pnginfo=info)
    whole, mended = read(data), read(changed(data, data.index(b"Comment")))
    assert mended.image.size == (20, 30)
    assert mended.image.tobytes() == whole.image.tobytes()
    assert len(mended.warnings) == 1
