"""Faults 42 to 56: what stands in an image, or in what is not one."""

import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from tests import drawn
from tests.app.api.test_native import SMALL, TITLE, assert_problem
from tests.app.test_images import NOT_IMAGES, STORED_AS, chunk, png
from tests.conftest import encoded
from tests.server import Server

WORDS = "Larkfield Paper Company"


def text_line() -> Image.Image:
    """Return a grey image on which WORDS stand."""
    with Image.open(io.BytesIO(TITLE)) as image:
        return image.convert("L")


def ink() -> Any:
    """Return how much ink stands where, 0 to 1, as floats (height, width)."""
    return 1 - np.asarray(text_line(), np.float64) / 255


def read(server: Server, data: bytes, **options: Any) -> dict[str, Any]:
    """Return what the reader says of an image."""
    response = server.generate(data, model="rapidocr", **options)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(server: Server, data: bytes, status: int = 422) -> None:
    assert_problem(server.generate(data, model="rapidocr"), status)


def test_42_zero_bytes(server: Server) -> None:
    """Zero bytes: 422"""
    refused(server, b"")
    headers = {"Content-Type": "image/png"}
    assert_problem(server.post("/generate-text?model=rapidocr", data=b"", headers=headers), 422, "invalid-image")


def test_43_a_huge_png(server: Server) -> None:
    """A 50,000 x 50,000 PNG: 422 before decoding"""
    pixels = zlib.compress(bytes(50_001 * 1_000), 9)
    problem = assert_problem(
        server.generate(png(50_000, 50_000, chunk(b"IDAT", pixels)), model="rapidocr"), 422, "invalid-image"
    )
    # Were it decoded first, it would be found cut off.
    assert "50000 x 50000" in problem["detail"]


def test_44_over_the_pixel_cap(server: Server) -> None:
    """Over the pixel cap where Pillow only warns: 422"""
    # Pillow warns from 89 million pixels, and refuses from 179.
    data = png(10_001, 10_000, chunk(b"IDAT", zlib.compress(b"")))
    problem = assert_problem(server.generate(data, model="rapidocr"), 422, "invalid-image")
    assert "10001 x 10000" in problem["detail"]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_45_a_bomb_of_metadata(server: Server, kind: bytes) -> None:
    """A PNG text or ICC bomb: 422"""
    head = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"ICC\0\0"}[kind]
    bomb = chunk(kind, head + zlib.compress(bytes(50_000_000), 1))
    refused(server, png(8, 8, bomb, chunk(b"IDAT", zlib.compress(bytes(9 * 8)))))


def test_46_cut_off(server: Server) -> None:
    """Missing pixels, or a bad CRC of them: 422 (`verify()` does not see truncation; `load()` does). Only the end
    missing, a progressive JPEG cut off late, or a bad CRC of a remark: 200, with a warning"""
    whole, progressive = encoded(text_line(), "JPEG"), encoded(text_line(), "JPEG", progressive=True)
    refused(server, whole[: len(whole) * 9 // 10])
    refused(server, progressive[: len(progressive) // 4])
    refused(server, TITLE[: len(TITLE) * 9 // 10])
    broken = bytearray(TITLE)
    # The sum alone: broken pixels are mostly found out without it.
    broken[broken.index(b"IEND") - 5] ^= 1
    refused(server, bytes(broken))
    remark = bytearray(chunk(b"tEXt", b"Comment\0of a tool"))
    remark[-1] ^= 1
    for shown in (whole[:-2], progressive[:-60], TITLE[:-12], TITLE[:33] + remark + TITLE[33:]):
        answer = read(server, shown)
        assert answer["text"] == WORDS
        assert len(answer["warnings"]) == 1


@pytest.mark.parametrize("kind", ["svg", "xxe"])
def test_47_svg(server: Server, kind: str) -> None:
    """SVG, XXE: 415"""
    refused(server, NOT_IMAGES[kind], 415)


def test_48_formats_that_are_not_on_the_list(server: Server) -> None:
    """EPS, FITS, PSD and every other format not on the list: 415 (PDF: 200 for reading models, 415 for captioners);
    give `formats=` to `Image.open`"""
    for kind in ("eps", "psd", "ppm", "tga", "ico", "pcx", "html", "text", "zip"):
        refused(server, NOT_IMAGES[kind], 415)
    refused(server, b"SIMPLE  =                    T" + b" " * 2_850, 415)
    document = drawn.pdf([text_line().convert("RGB")])
    assert read(server, document)["text"] == WORDS
    assert_problem(server.generate(document, model="blip-base"), 415, "unsupported-media-type")


def test_49_an_extension_that_lies(server: Server) -> None:
    """An extension or Content-Type that lies: 200, by the bytes"""
    file = ("notes.pdf", encoded(text_line(), "WEBP"), "image/gif")
    answer = server.post("/generate-text", files={"image_file": file}, data={"model": "rapidocr"}).json()
    assert (answer["text"], answer["image"]["format"]) == (WORDS, "WEBP")
    headers = {"Content-Type": "image/gif"}
    assert server.post("/generate-text?model=rapidocr", data=SMALL, headers=headers).json()["image"]["format"] == "PNG"


def test_50_a_jpeg_that_is_also_html(server: Server) -> None:
    """A JPEG that is also HTML: 200; when served back: nosniff, sandboxed, as an attachment"""
    page = b"<html><script>alert(1)</script></html>"
    data = encoded(Image.new("RGB", (40, 30), "teal"), "JPEG", comment=page) + page
    saved = read(server, data)["image"]["saved_as"]
    response = server.get(f"/{saved}")
    assert response.content == data
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Content-Disposition"].startswith("attachment")


def with_orientation(value: int) -> bytes:
    turn = STORED_AS[value]
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(text_line() if turn is None else text_line().transpose(turn), "JPEG", exif=exif, quality=95)


BROKEN_EXIF = (
    b"Exif\0\0not a TIFF header at all",
    b"Exif\0\0II*\0\xff\xff\xff\x7f",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
)


def avif_of_broken_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "anything"
    data = encoded(text_line().convert("RGB"), "AVIF", exif=exif)
    at = data.index(b"MM\0*")
    return data[:at] + b"ZZZZ" + data[at + 4 :]


def test_51_exif(server: Server) -> None:
    """EXIF orientations 1 to 8: the same text; broken EXIF: 200"""
    for value in STORED_AS:
        assert read(server, with_orientation(value))["text"] == WORDS, value
    for exif in BROKEN_EXIF:
        for format in ("JPEG", "PNG", "WEBP", "HEIF"):
            assert read(server, encoded(text_line().convert("RGB"), format, exif=exif))["text"] == WORDS, format
    assert read(server, avif_of_broken_exif())["text"] == WORDS


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_52_cmyk(server: Server, format: str) -> None:
    """CMYK: 200"""
    assert read(server, encoded(text_line().convert("CMYK"), format))["text"] == WORDS


def deep() -> Iterator[tuple[str, bytes]]:
    """Yield pages of more than 8 bits, all of whose levels would be white were they clipped."""
    levels = 0.2 + 0.8 * (1 - ink())
    yield "16 bits", encoded(Image.fromarray((levels * 65_535).astype(np.uint16)))
    yield "32 bits", encoded(Image.fromarray((levels * 2**31 * 0.99).astype(np.int32)), "TIFF")
    yield "floats", encoded(Image.fromarray((levels * 1e6).astype(np.float32)), "TIFF")


def test_53_deep_colours(server: Server) -> None:
    """16-bit, I and F modes: 200, scaled rather than clipped"""
    for name, data in deep():
        assert read(server, data)["text"] == WORDS, name


def transparent() -> Iterator[tuple[str, bytes]]:
    """Yield pages in black on nothing, which is black where transparency is left out, and one in white."""
    alpha = Image.fromarray((ink() * 255).astype(np.uint8))
    black = Image.new("L", alpha.size, 0)
    yield "LA", encoded(Image.merge("LA", (black, alpha)))
    yield "RGBA", encoded(Image.merge("RGBA", (black, black, black, alpha)))
    palette = text_line().point(lambda level: 1 if level < 128 else 0).convert("P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    yield "P", encoded(palette, transparency=0)
    white = Image.new("L", alpha.size, 255)
    yield "white", encoded(Image.merge("RGBA", (white, white, white, alpha)))


def test_54_transparency(server: Server) -> None:
    """Palette, LA, RGBA: 200, on white; what is light itself, on black"""
    for name, data in transparent():
        assert read(server, data)["text"] == WORDS, name


def joined(*tiffs: bytes) -> bytes:
    """Return one TIFF of the frames of several."""
    buffer = io.BytesIO()
    with AppendingTiffWriter(buffer) as writer:
        for tiff in tiffs:
            with Image.open(io.BytesIO(tiff)) as frame:
                frame.save(writer, "TIFF", tiffinfo={254: frame.tag_v2.get(254, 0)})  # type: ignore[attr-defined]
                writer.newFrame()
    return buffer.getvalue()


def test_55_animations_and_pages(server: Server) -> None:
    """Animated: 200, first frame that is not blank. A many-page TIFF: every page for reading models (a thumbnail is
    none), the first, with a warning, for captioners"""
    first, other = text_line().convert("RGB"), Image.new("RGB", text_line().size, "teal")
    for format in ("GIF", "WEBP", "PNG", "AVIF"):
        data = encoded(first, format, save_all=True, append_images=[other, other])
        assert read(server, data)["text"] == WORDS, format
        data = encoded(other, format, save_all=True, append_images=[first, other])
        assert read(server, data)["text"] == WORDS, format
    thumbnail = encoded(first.resize((80, 10)), "TIFF", tiffinfo={254: 1})
    assert "pages" not in read(server, joined(thumbnail, encoded(first, "TIFF")))
    pages = drawn.tiff([first, other, first])
    answer = read(server, pages)
    assert [page["text"] for page in answer["pages"]] == [WORDS, "", WORDS]
    captioned = server.generate(pages, model="blip-base").json()
    assert "pages" not in captioned
    assert any("only the first page was used" in warning for warning in captioned["warnings"])


@pytest.mark.parametrize("model", ["rapidocr", "blip-base"])
def test_56_extreme_sizes(server: Server, model: str) -> None:
    """1 x 1 and 1 x 10,000: 200 or 422, never 500"""
    for size in ((1, 1), (1, 10_000), (10_000, 1)):
        response = server.generate(encoded(Image.new("RGB", size, "red")), model=model)
        assert response.status_code in (200, 422), (size, response.text)
