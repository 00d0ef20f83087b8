"""Decoding: every format, orientation and mode gives the picture that was meant; the rest is refused in order."""

import io
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from app.decoding.animation import first_with_content
from app.decoding.images import DecodedImage, decode, looks_like_image
from app.errors import InvalidImage, UnsupportedMedia
from app.setting_types import FORMATS
from tests import hostile
from tests.conftest import encoded
from tests.drawn import STORED_AS
from tests.server import ROOT

# The service ignores Pillow's warnings; pytest sets filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

MAX_PIXELS = 1_000_000


def read(data: bytes) -> DecodedImage:
    return decode(data, FORMATS, MAX_PIXELS)


def quarters(mode: str = "RGB") -> Image.Image:
    """A picture of 64 x 48 whose quarters are white, red, blue and black: every turn of it is another."""
    picture = Image.new("RGB", (64, 48), "black")
    picture.paste("white", (0, 0, 32, 24))
    picture.paste("red", (32, 0, 64, 24))
    picture.paste("blue", (0, 24, 32, 48))
    return picture.convert(mode)


def assert_same(found: Image.Image, expected: Image.Image, tolerance: int = 0) -> None:
    """Compare away from edges, where what is lossy rings."""
    assert found.mode == "RGB"
    assert found.size == expected.size
    spots = [(x, y) for x in (16, found.width - 16) for y in (12, found.height - 12)]
    for spot in spots:
        difference = np.subtract(found.getpixel(spot), expected.convert("RGB").getpixel(spot))
        assert np.abs(difference).max() <= tolerance, spot


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG of 8-bit grey with these chunks, whatever they hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(bits: int, width: int, height: int, pixels: bytes) -> bytes:
    """Return a grey TIFF of one strip, with a depth that Pillow cannot write."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1)]
    entries += [(273, 4, 122), (277, 3, 1), (278, 4, height), (279, 4, len(pixels))]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return struct.pack("<4sIH", b"II*\0", 8, len(entries)) + table + bytes(4) + pixels


@pytest.mark.parametrize("format", FORMATS)
def test_formats(format: str) -> None:
    data = encoded(quarters(), format)
    decoded = read(data)
    assert decoded.format == format
    assert_same(decoded.image, quarters(), tolerance=30)
    assert looks_like_image(data, FORMATS)


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_that_is_left_out(format: str) -> None:
    others = [name for name in FORMATS if name != format]
    data = encoded(quarters(), format)
    with pytest.raises(UnsupportedMedia, match=f"send {', '.join(others)}"):
        decode(data, others, MAX_PIXELS)
    assert not looks_like_image(data, others)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_orientation(format: str, orientation: int) -> None:
    turn = STORED_AS[orientation]
    stored = quarters() if turn is None else quarters().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format, exif=exif.tobytes())
    assert_same(read(data).image, quarters(), tolerance=30)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0not a TIFF header at all",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        # The orientation as text, and as an impossible number.
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
    ],
    ids=["empty", "no header", "offset outside", "cut off", "text", "99"],
)
def test_broken_exif_is_ignored(format: str, exif: bytes) -> None:
    data = encoded(quarters(), format, exif=exif)
    assert exif.removeprefix(b"Exif\0\0") in data
    assert_same(read(data).image, quarters(), tolerance=30)


@pytest.mark.parametrize(
    "broken", [b"ZZZZ\xff\xff\xff\x7f", b"MM\0*\xff\xff\xff\x7f"], ids=["no header", "offset outside"]
)
def test_broken_exif_of_an_avif_is_ignored(broken: bytes) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 40
    data = encoded(quarters(), "AVIF", exif=exif)
    at = data.index(b"MM\0*")
    assert_same(read(data[:at] + broken + data[at + len(broken) :]).image, quarters(), tolerance=30)


def on_white(colour: tuple[int, ...], alpha: int) -> list[int]:
    return [round(level * alpha / 255 + 255 - alpha) for level in colour]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_white(format: str, alpha: int) -> None:
    picture = Image.new("RGBA", (64, 48), (200, 100, 0, alpha))
    found = read(encoded(picture, format)).image.getpixel((32, 24))
    assert found == pytest.approx(on_white((200, 100, 0), alpha), abs=8)


def test_transparency_beside_grey() -> None:
    picture = Image.new("LA", (4, 4), (100, 128))
    assert read(encoded(picture)).image.getpixel((0, 0)) == pytest.approx(on_white((100, 100, 100), 128), abs=1)


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(format: str) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30, 200, 100, 0])
    picture.putpixel((1, 1), 1)
    image = read(encoded(picture, format, transparency=0)).image
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 1)) == (200, 100, 0)


@pytest.mark.parametrize(
    ("mode", "shown", "transparency"), [("RGB", (9, 9, 8), (9, 9, 9)), ("L", (8, 8, 8), 9), ("1", (0, 0, 0), 255)]
)
def test_a_transparent_colour_is_white(mode: str, shown: tuple[int, ...], transparency: int | tuple[int, ...]) -> None:
    picture = Image.new("RGB", (4, 4), (255, 255, 255) if mode == "1" else (9, 9, 9)).convert(mode)
    picture.putpixel((1, 1), shown if mode == "RGB" else shown[0])
    image = read(encoded(picture, "PNG", transparency=transparency)).image
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 1)) == shown


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("JPEG", "L"), ("TIFF", "LAB")])
def test_modes(format: str, mode: str) -> None:
    if mode == "LAB":
        picture, expected = Image.new("LAB", (64, 48), (255, 128, 128)), Image.new("RGB", (64, 48), "white")
    else:
        picture = expected = quarters(mode)
    assert_same(read(encoded(picture, format)).image, expected, tolerance=30)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF", "BMP"])
def test_one_bit(format: str) -> None:
    assert_same(read(encoded(quarters("1"), format)).image, quarters("1"))


def greys(image: Image.Image) -> list[int]:
    return np.asarray(image)[0, :, 0].tolist()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(format: str) -> None:
    levels = np.array([[0, 0x4000, 0x8000, 0xC000, 0xFFFF]], np.uint16)
    assert greys(read(encoded(Image.fromarray(levels), format)).image) == [0, 64, 128, 192, 255]


def test_twelve_bits_are_scaled() -> None:
    # Two levels in three bytes: 0xFFF and 0x800, then 0x400 and 0.
    image = read(tiff(12, 4, 1, bytes.fromhex("fff800 400000"))).image
    assert greys(image) == [255, 128, 64, 0]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),
        ([0, 0x8000, 0xFFFF], [0, 128, 255]),
        ([0, 2**29, 2**31 - 1], [0, 64, 255]),
        ([-100, -50, 100], [0, 64, 255]),
        ([7, 7, 7], [7, 7, 7]),
        ([-7, -7, -7], [0, 0, 0]),
    ],
)
def test_thirty_two_bits_are_scaled(levels: list[int], expected: list[int]) -> None:
    picture = Image.fromarray(np.array([levels], np.int32))
    assert picture.mode == "I"
    assert greys(read(encoded(picture, "TIFF")).image) == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0, 0.25, 1], [0, 64, 255]),
        ([-1000, -500, 1000], [0, 64, 255]),
        ([0, 0.25, 1, np.nan], [0, 64, 255, 0]),
        ([0, 0.25, 1, np.inf, -np.inf], [0, 64, 255, 255, 0]),
        ([-3e38, -1.5e38, 3e38], [0, 64, 255]),
        ([np.nan, np.nan], [0, 0]),
        ([0.5, 0.5], [0, 0]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_floats_are_scaled(levels: list[float], expected: list[int]) -> None:
    picture = Image.fromarray(np.array([levels], np.float32))
    assert greys(read(encoded(picture, "TIFF")).image) == expected


def test_deep_greys_are_turned_upright() -> None:
    picture = Image.fromarray(np.array([[0, 0xFFFF]], np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 2
    assert greys(read(encoded(picture, "PNG", exif=exif)).image) == [255, 0]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_of_several_frames(format: str) -> None:
    others = [Image.new("RGB", (64, 48), colour) for colour in ("green", "yellow")]
    data = encoded(quarters(), format, save_all=True, append_images=others)
    with Image.open(io.BytesIO(data)) as file:
        assert getattr(file, "n_frames", 1) == 3
    assert_same(read(data).image, quarters(), tolerance=30)


def test_a_jpeg_of_several_pictures_is_a_jpeg() -> None:
    data = encoded(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    with Image.open(io.BytesIO(data)) as file:
        assert file.format == "MPO"
    decoded = read(data)
    assert decoded.format == "JPEG"
    assert_same(decoded.image, quarters(), tolerance=30)


def test_a_jpeg_that_is_also_a_page() -> None:
    data = encoded(quarters(), "JPEG", comment=b"<html><script>alert(1)</script>") + b"<html></html>"
    assert read(data).format == "JPEG"


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_extreme_sizes(format: str, size: tuple[int, int]) -> None:
    image = read(encoded(Image.new("RGB", size, "red"), format)).image
    assert image.size == size
    assert image.getpixel((0, 0)) == pytest.approx((255, 0, 0), abs=2)


def test_nothing() -> None:
    with pytest.raises(InvalidImage, match="zero bytes"):
        read(b"")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_cut_off(format: str, keep: float) -> None:
    random = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(random), format)
    with pytest.raises(InvalidImage):
        read(data[: int(len(data) * keep)])


@pytest.mark.parametrize("format", FORMATS)
def test_only_the_first_bytes(format: str) -> None:
    with pytest.raises(InvalidImage):
        read(encoded(quarters(), format)[:16])


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
@pytest.mark.parametrize("where", ["data", "sum"])
def test_a_bad_checksum(kind: bytes, where: str) -> None:
    data = bytearray(encoded(quarters()))
    at = data.index(kind)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    data[at + 4 + (length if where == "sum" else length // 2)] ^= 1
    with pytest.raises(InvalidImage):
        read(bytes(data))


def peak_memory_of(call: Callable[[], object]) -> int:
    """Return the bytes that Python and NumPy had at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [png(50_000, 50_000, chunk(b"IDAT", zlib.compress(b""))), png(1_001, 1_000, chunk(b"IDAT", zlib.compress(b"")))],
    ids=["far", "a little"],
)
def test_too_many_pixels_are_refused_before_decoding(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(InvalidImage, match="more than the 1000000 pixels"):
        read(data)


def test_as_many_pixels_as_allowed() -> None:
    data = encoded(Image.new("L", (100, 50)))
    assert decode(data, FORMATS, 5000).image.size == (100, 50)
    with pytest.raises(InvalidImage, match="100 x 50"):
        decode(data, FORMATS, 4999)


def test_a_gif_frame_larger_than_its_screen() -> None:
    data = bytearray(encoded(Image.new("P", (2000, 1000)), "GIF"))
    data[6:10] = struct.pack("<HH", 1, 1)
    with pytest.raises(InvalidImage, match="2000 x 1000"):
        read(bytes(data))


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 1)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(50_000_000), 1)),
        chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(50_000_000), 1)),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_bomb_of_metadata(bomb: bytes, place: str) -> None:
    pixels = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    data = png(8, 8, bomb, pixels) if place == "before" else png(8, 8, pixels, bomb)

    def refused() -> None:
        with pytest.raises(InvalidImage):
            read(data)

    assert peak_memory_of(refused) < 10_000_000


def test_exif_without_end() -> None:
    with pytest.raises(InvalidImage, match="metadata"):
        read(hostile.exif_in_pieces(300))
    assert read(hostile.exif_in_pieces(3)).image.size == (8, 8)


def test_frames_are_not_counted_without_end() -> None:
    data = hostile.tiff_of_many_frames(60_000)
    assert decode(data, FORMATS, MAX_PIXELS, max_frames=20).frames == 21
    assert decode(hostile.tiff_of_many_frames(20), FORMATS, MAX_PIXELS, max_frames=20).frames == 20


def test_deep_greys_take_little_memory() -> None:
    data = encoded(Image.fromarray(np.zeros((1000, 1000), np.uint16)))
    assert peak_memory_of(lambda: read(data)) < 8 * 1000 * 1000


NOT_IMAGES = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "xxe": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>',
    "html": b"<!doctype html><title>404</title>",
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "picture in pdf": encoded(quarters(), "PDF"),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "psd": struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 8, 8, 8, 3) + bytes(14) + bytes(3 * 64),
    "ppm": encoded(quarters(), "PPM"),
    "tga": encoded(quarters(), "TGA"),
    "ico": encoded(quarters(), "ICO"),
    "pcx": encoded(quarters(), "PCX"),
    "text": b"hello",
    "japanese": "なにもない".encode(),
    "nul": b"\0",
    "zeros": bytes(1000),
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_not_an_image_of_these_formats(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="send JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, HEIF"):
        read(data)
    assert not looks_like_image(data, FORMATS)


def test_damage_anywhere_is_an_answer() -> None:
    """Whatever a decoder raises on a damaged file is an InvalidImage, or the file can still be read."""
    random = np.random.default_rng(0)
    for format in FORMATS:
        data = encoded(quarters(), format)
        for _ in range(40):
            damaged = np.frombuffer(data, np.uint8).copy()
            places = random.integers(4, len(data), size=4)
            damaged[places] = random.integers(0, 256, size=4)
            try:
                decoded = read(damaged.tobytes())
            except (InvalidImage, UnsupportedMedia):
                continue
            assert decoded.image.mode == "RGB"


def test_many_threads_at_once() -> None:
    files = {format: encoded(quarters(), format) for format in FORMATS}
    expected = {format: read(data).image.tobytes() for format, data in files.items()}
    start = threading.Barrier(8)
    wrong: list[str] = []

    def work(shift: int) -> None:
        start.wait(10)
        for turn in range(16):
            format = FORMATS[(turn + shift) % len(FORMATS)]
            try:
                if read(files[format]).image.tobytes() != expected[format]:
                    wrong.append(format)
            except Exception as error:
                wrong.append(f"{format}: {error!r}")

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_the_first_images_of_a_process_may_come_at_once(tmp_path: Path) -> None:
    for format in FORMATS:
        (tmp_path / format).write_bytes(encoded(quarters(), format))
    program = """
import pathlib, sys, threading
from app.setting_types import FORMATS
from app.decoding.images import decode
start, found = threading.Barrier(len(FORMATS)), []
def work(format):
    data = (pathlib.Path(sys.argv[1]) / format).read_bytes()
    start.wait(10)
    found.append(decode(data, FORMATS, 10_000).format)
threads = [threading.Thread(target=work, args=(format,)) for format in FORMATS]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*found)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.split()) == sorted(FORMATS), done.stderr


def natural(width: int, height: int) -> Image.Image:
    """Return a picture with as much of each frequency as photographs have, and less colour than light."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height))
    # As 1/f, and somewhat faster: a lens blurs.
    falling = np.maximum(np.hypot(across, down), 1 / max(width, height)) ** -1.3
    waves = falling[..., None] * np.exp(2j * np.pi * random.random((height, width, 4)))
    light, *colours = np.moveaxis(np.fft.ifft2(waves, axes=(0, 1)).real, 2, 0)
    pixels = np.stack([light + 0.2 * colour for colour in colours], axis=2)
    pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("side", "part"), [(None, 1), (200, 1), (161, 1), (160, 2), (100, 2), (49, 2), (48, 4), (20, 4)]
)
def test_a_jpeg_much_larger_than_what_is_seen_of_it_is_decoded_at_a_part_of_its_size(
    side: int | None, part: int
) -> None:
    data = encoded(natural(1203, 962), "JPEG", quality=92)
    full = decode(data, FORMATS, 10_000_000)
    decoded = decode(data, FORMATS, 10_000_000, side=side)
    assert decoded.size == full.size == (1203, 962)
    assert decoded.image.size == (-(-1203 // part), -(-962 // part))
    if side:
        small, expected = (
            np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), float)
            for image in (decoded.image, full.image)
        )
        assert np.abs(small - expected).mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_its_size_is_upright_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(natural(640, 480), "JPEG", exif=exif)
    decoded, full = (decode(data, FORMATS, 10_000_000, side=side) for side in (64, None))
    assert decoded.size == full.size == full.image.size
    assert decoded.image.size == (full.size[0] // 2, full.size[1] // 2)
    small, expected = (np.asarray(image.resize((64, 64)), float) for image in (decoded.image, full.image))
    assert np.abs(small - expected).mean() < 1.5


def test_the_limit_of_pixels_is_that_of_the_file() -> None:
    with pytest.raises(InvalidImage, match="pixels allowed"):
        decode(encoded(natural(640, 480), "JPEG"), FORMATS, 300_000, side=20)


def test_other_formats_are_decoded_in_full() -> None:
    decoded = decode(encoded(natural(640, 480)), FORMATS, 10_000_000, side=20)
    assert decoded.image.size == decoded.size == (640, 480)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_a_blank_first_frame_stays_where_no_other_can_be_shown(format: str) -> None:
    blank = Image.new("RGB", (64, 48), "teal")
    frames = [blank, Image.new("RGB", (64, 48), "red")]
    data = encoded(blank, format, save_all=True, append_images=frames[1:])
    decoded = read(data)
    assert_same(decoded.image, blank, tolerance=3)
    assert decoded.warnings == ()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    data = encoded(blank, format, save_all=True, append_images=[noise])
    assert read(data).warnings[0].endswith("frame 2 is used instead")
    assert_same(read(data[: len(data) * 8 // 10]).image, blank, tolerance=3)


def test_frames_are_not_looked_at_without_end() -> None:
    frames = [Image.new("L", (900, 900), level) for level in range(0, 250, 2)]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900), dtype=np.uint8))
    data = encoded(frames[0], "GIF", save_all=True, append_images=[*frames[1:], noise])
    assert decode(data, FORMATS, MAX_PIXELS).warnings == ()


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_greys_whose_zero_is_white(bits: int) -> None:
    pixels = bytes.fromhex("fff800 400000") if bits == 12 else struct.pack("<4H", 0xFFFF, 0x8000, 0x4000, 0)
    data = tiff(bits, 4, 1, pixels)
    assert greys(read(data).image) == [255, 128, 64, 0]
    white_is_zero = data.replace(struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0))
    assert greys(read(white_is_zero).image) == [0, 127, 191, 255]


def test_floats_whose_zero_is_white() -> None:
    picture = Image.fromarray(np.array([[0, 0.25, 1]], np.float32))
    assert greys(read(encoded(picture, "TIFF", tiffinfo={262: 0})).image) == [255, 191, 0]


def test_a_later_frame_that_enlarges_an_animation_is_not_decoded() -> None:
    class Growing:
        size = (100, 100)

        def seek(self, number: int) -> None:
            self.size = (65_535, 65_535)

        def load(self) -> None:
            pytest.fail("it takes gigabytes")

    first = Image.new("RGB", (100, 100), "white")
    file: Any = Growing()
    found, warnings = first_with_content(file, first, lambda frame: frame)
    assert (found.size, warnings) == (first.size, ())
