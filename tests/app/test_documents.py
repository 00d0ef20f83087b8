"""PDFs and TIFFs to pages."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.decoding.documents import Limits, is_pdf, open_pages
from app.decoding.pool import DecodingPool
from app.errors import InvalidImage, UnsupportedMedia
from app.setting_types import FORMATS
from tests import drawn
from tests.conftest import encoded

LIMITS = Limits(FORMATS, max_pixels=4_000_000, max_pages=5, pdf_dpi=100)
COLOURS = ("red", "green", "blue")


def sheets(count: int = 3, size: tuple[int, int] = (200, 300)) -> list[Image.Image]:
    return [Image.new("RGB", (size[0], size[1] + 25 * number), COLOURS[number % 3]) for number in range(count)]


def written_pdf(
    box: str = "0 0 200 100", count: int = 1, content: bytes = b"", extra: str = "", trailer: str = ""
) -> bytes:
    """Write a PDF by hand: what no library would."""
    kids = " ".join(f"{4 + number} 0 R" for number in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        *[f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 3 0 R {extra} >>".encode()] * count,
    ]
    data, offsets = b"%PDF-1.6\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>"
    return data + f"{end}\nstartxref\n{len(data)}\n%%EOF\n".encode()


BORN = written_pdf(
    "0 0 400 100",
    content=b"BT /F 24 Tf 40 40 Td (Received with thanks) Tj ET",
    extra="/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>",
)


LOCK = f"""/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{"ab" * 32}> /U <{"cd" * 32}> >>
/ID [<{"ef" * 16}> <{"ef" * 16}>]"""


def colour(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel


def test_the_pages_of_a_pdf(pool: DecodingPool) -> None:
    data = drawn.pdf(sheets(), dpi=100)
    pages = open_pages(data, LIMITS, pool)
    assert (pages.format, pages.count) == ("PDF", 3)
    for number, sheet in enumerate(sheets()):
        image = pages.image(number)
        assert (image.mode, image.size) == ("RGB", sheet.size)
        assert colour(image, (100, 100)) == pytest.approx(colour(sheet, (100, 100)), abs=3)
    assert np.array_equal(np.asarray(pages.image(0)), np.asarray(pages.image(0))), "a page may be asked for again"


def test_a_page_makes_room_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.decoding.pool._PATIENCE", 5)
    pool = DecodingPool(1, 4.0, 1_500_000_000, max_decoded_bytes=1)
    pages = open_pages(drawn.tiff(sheets()), LIMITS, pool)
    for number in (0, 1, 2, 0):
        # One who held on to a page would wait for himself here.
        assert colour(pages.image(number), (0, 0)) == colour(sheets()[number], (0, 0))
    pool.close()


@pytest.mark.parametrize(("dpi", "size"), [(72, (200, 100)), (144, (400, 200)), (36, (100, 50))])
def test_a_pdf_is_rendered_at_its_resolution(dpi: int, size: tuple[int, int], pool: DecodingPool) -> None:
    pages = open_pages(written_pdf(), Limits(FORMATS, 4_000_000, 5, dpi), pool)
    assert pages.image(0).size == size
    assert colour(pages.image(0), (5, 5)) == (255, 255, 255), "paper is white"


@pytest.mark.parametrize(
    ("degrees", "red_at"), [(0, (0.1, 0.9)), (90, (0.1, 0.1)), (180, (0.9, 0.1)), (270, (0.9, 0.9))]
)
def test_a_page_of_a_pdf_that_says_it_is_turned_comes_upright(
    degrees: int, red_at: tuple[float, float], pool: DecodingPool
) -> None:
    corner = b"1 0 0 rg 0 0 40 20 re f"
    image = open_pages(written_pdf(content=corner, extra=f"/Rotate {degrees}"), LIMITS, pool).image(0)
    assert (image.width > image.height) == (degrees in (0, 180))
    assert colour(image, (int(red_at[0] * image.width), int(red_at[1] * image.height))) == (255, 0, 0)
    assert (np.asarray(image) == (255, 0, 0)).all(axis=2).mean() == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(
    "box",
    [
        "0 0 14400 14400",
        "0 0 1000000 1000000",
        "0 0 100000000 0.5",
        "0 0 0.5 100000000",
        "0 0 1000000000 0.001",
        "0 0 3000000000 3000000000",
        "0 0 1e30 1e30",
        "-1000000 -1000000 1000000 1000000",
        "0 0 0 0",
        "0 0 0.001 0.001",
        "100 100 0 0",
        "0 0 nan inf",
    ],
)
def test_a_page_of_any_size_has_no_more_pixels_than_allowed(box: str, pool: DecodingPool) -> None:
    pages = open_pages(written_pdf(box), LIMITS, pool)
    started = time.monotonic()
    try:
        image = pages.image(0)
    except InvalidImage:
        return
    assert 1 <= image.width * image.height <= LIMITS.max_pixels * 1.01
    assert time.monotonic() - started < 20


def test_a_page_that_stretches_itself_has_no_more_pixels_than_allowed(pool: DecodingPool) -> None:
    image = open_pages(written_pdf("0 0 14400 14400", extra="/UserUnit 1000"), LIMITS, pool).image(0)
    assert image.width * image.height <= LIMITS.max_pixels * 1.01


def whole() -> bytes:
    return drawn.pdf(sheets(), dpi=100)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"%PDF-1.7\n", "broken"),
        (b"%PDF-1.7\n" + b"\0" * 5000, "broken"),
        (whole()[:700], "broken"),
        (written_pdf(trailer=LOCK), "locked"),
        (written_pdf(count=0), "without pages"),
        (written_pdf(count=6), "more than the 5 pages allowed"),
        (written_pdf(count=2000), "more than the 5 pages allowed"),
        (drawn.tiff(sheets(6)), "more than the 5 pages allowed"),
        (drawn.tiff(sheets())[:300], "broken"),
        (b"", "empty"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_opened(data: bytes, says: str, pool: DecodingPool) -> None:
    with pytest.raises(InvalidImage, match=says):
        open_pages(data, LIMITS, pool)


@pytest.mark.parametrize("kids", ["[9 0 R]", "[1 0 R]", "[2 0 R]"])
def test_pages_that_are_not_there(kids: str, pool: DecodingPool) -> None:
    data = written_pdf().replace(b"[4 0 R]", kids.encode())
    with pytest.raises(InvalidImage):
        open_pages(data, LIMITS, pool).image(0)


def test_garbage_in_a_pdf_is_an_answer_or_a_refusal(pool: DecodingPool) -> None:
    """Never anything else than InvalidImage, whatever stands in the file."""
    random = np.random.default_rng(0)
    clean = np.frombuffer(drawn.pdf([drawn.page(["words"], (200, 100))], dpi=100), np.uint8)
    outcomes = set()
    for _ in range(60):
        dirty = clean.copy()
        places = random.integers(8, len(dirty), size=40)
        dirty[places] = random.integers(0, 256, size=40, dtype=np.uint8)
        try:
            outcomes.add(type(open_pages(dirty.tobytes(), LIMITS, pool).image(0)))
        except InvalidImage as error:
            outcomes.add(type(error))
    assert outcomes == {Image.Image, InvalidImage}


def test_no_image_at_all(pool: DecodingPool) -> None:
    with pytest.raises(UnsupportedMedia):
        open_pages(b"%!PS-Adobe-3.0", LIMITS, pool)


def test_a_pdf_may_have_other_bytes_before_its_header(pool: DecodingPool) -> None:
    data = b"junk of a mail program\r\n" + written_pdf()
    assert is_pdf(data)
    assert open_pages(data, LIMITS, pool).count == 1
    assert not is_pdf(b" " * 1100 + written_pdf())


def test_an_image_that_speaks_of_pdf_is_an_image(pool: DecodingPool) -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("Title", "made from a %PDF-1.4 file")
    data = encoded(Image.new("RGB", (20, 10), "teal"), pnginfo=note)
    assert open_pages(data, LIMITS, pool).format == "PNG"


def test_the_frames_of_a_tiff(pool: DecodingPool) -> None:
    pages = open_pages(drawn.tiff(sheets()), LIMITS, pool)
    assert (pages.format, pages.count) == ("TIFF", 3)
    for number in (2, 0, 1, 2):
        image = pages.image(number)
        assert (image.mode, image.size, colour(image, (5, 5))) == (
            "RGB", sheets()[number].size, colour(sheets()[number], (5, 5)),
        )  # fmt: skip


def test_a_frame_that_is_too_large_or_broken_is_refused_when_it_is_asked_for(pool: DecodingPool) -> None:
    large = [*sheets(1), Image.new("L", (2100, 2000))]
    pages = open_pages(drawn.tiff(large), LIMITS, pool)
    assert pages.image(0).size == (200, 300)
    with pytest.raises(InvalidImage, match="2100 x 2000"):
        pages.image(1)


def test_an_animation_is_one_image(pool: DecodingPool) -> None:
    data = encoded(sheets()[0], "GIF", save_all=True, append_images=[Image.new("RGB", (200, 300), "blue")])
    assert open_pages(data, LIMITS, pool).count == 1


@pytest.mark.parametrize("make", [drawn.pdf, drawn.tiff])
def test_many_threads_at_once(make: Callable[[list[Image.Image]], bytes], pool: DecodingPool) -> None:
    data = make([drawn.page([str(number)] * 3, (300, 200)) for number in range(3)])
    pages = open_pages(data, LIMITS, pool)
    alone = [np.asarray(pages.image(number)) for number in range(3)]

    def again(number: int) -> bool:
        own = open_pages(data, LIMITS, pool)
        return all(np.array_equal(each.image(number % 3), alone[number % 3]) for each in (own, pages))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(again, range(24)))


def test_memory_does_not_grow_from_page_to_page(pool: DecodingPool) -> None:
    pages = open_pages(written_pdf("0 0 1440 1440"), LIMITS, pool)

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(3):
        pages.image(0)
    before = resident()
    for _ in range(12):
        pages.image(0)
    assert resident() - before < 40_000_000, "an image is 12 MB"


def test_an_image_that_is_only_looked_at_keeps_its_size(pool: DecodingPool) -> None:
    photograph = encoded(Image.linear_gradient("L").resize((700, 400)), "JPEG")
    pages = open_pages(photograph, LIMITS, pool, all_pages=False, side=50)
    assert (pages.image(0).size, pages.size(0)) == ((350, 200), (700, 400))
    pages = open_pages(photograph, LIMITS, pool)
    assert (pages.image(0).size, pages.size(0)) == ((700, 400), (700, 400))


def test_every_page_has_the_size_of_its_image(pool: DecodingPool) -> None:
    shapes = [(40, 30), (30, 50)]
    for data in (
        drawn.tiff([Image.new("RGB", shape) for shape in shapes]),
        drawn.pdf([drawn.page(["a"], (90, 70))] * 2),
    ):
        pages = open_pages(data, LIMITS, pool)
        for number in range(pages.count):
            assert pages.image(number).size == pages.size(number)
