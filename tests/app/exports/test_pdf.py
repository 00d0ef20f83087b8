"""The searchable PDF, read back by poppler's pdftotext and by PDFium."""

import io
import subprocess
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageFont, ImageStat

from app.exports import EXPORTS, Document, Page
from app.exports.base import printable
from app.exports.raster import Jpeg
from tests.app.exports.documents import (
    DOCUMENTS,
    HEIGHT,
    LEFT,
    LINE,
    PROSE,
    RIGHT,
    SCRIPTS,
    WIDTH,
    document,
    every_document,
    line,
    lines,
    page,
    picture,
    program,
    row,
)

# pdftotext puts marks of direction around what runs from right to left.
MARKS = str.maketrans("", "", "\u202a\u202b\u202c")


def render(sample: Document) -> bytes:
    return EXPORTS["pdf"].render(sample)


def pdftotext(sample: Document, tmp_path: Path, *options: str) -> list[list[str]]:
    """Return the pages, and their lines that are not empty."""
    file = tmp_path / "document.pdf"
    file.write_bytes(render(sample))
    result = subprocess.run([program("pdftotext"), *options, file, "-"], capture_output=True, check=True)
    assert result.stderr == b""
    pages = result.stdout.decode().translate(MARKS).split("\f")[:-1]
    return [[line.strip() for line in page.split("\n") if line.strip()] for page in pages]


def pdfium(sample: Document, number: int = 0) -> str:
    with pypdfium2.PdfDocument(render(sample)) as pdf:
        text: str = pdf[number].get_textpage().get_text_range()
        return text.replace("\r\n", "\n")


def drawn(sample: Document, width: int, number: int = 0) -> Image.Image:
    with pypdfium2.PdfDocument(render(sample)) as pdf:
        page = pdf[number]
        image = page.render(scale=width / page.get_width()).to_pil().convert("RGB")

    # PDFium rounds the height of the page up.
    return image.crop((0, 0, width, HEIGHT))


@every_document
def test_every_document_is_read_without_complaint(sample: Document, tmp_path: Path) -> None:
    assert len(pdftotext(sample, tmp_path)) == len(sample.pages)
    with pypdfium2.PdfDocument(render(sample)) as pdf:
        assert len(pdf) == len(sample.pages)


@pytest.mark.parametrize("name", ["prose", "paragraphs", "slanted", "rising", "downward", "upward", "upside down"])
@pytest.mark.parametrize("options", [(), ("-raw",), ("-layout",)], ids=" ".join)
def test_pdftotext_reads_line_by_line(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    sample = DOCUMENTS[name]
    found = pdftotext(sample, tmp_path, *options)
    if options == ("-raw",) and name in ("downward", "upward", "upside down"):
        # In this mode pdftotext writes the words of steep lines one by one, of whatever PDF.
        found = [" ".join(words).split() for words in found]
        assert found == [" ".join(PROSE).split()]
    else:
        assert found == [[line.text for line in sample.pages[0].lines]]


@pytest.mark.parametrize("degrees", [0.5, 1, 2, 3, 5, 8, 15, 25, -1, -3, -8, -25])
def test_long_slanted_lines_stay_whole(degrees: float, tmp_path: Path) -> None:
    texts = ("Payment is due within thirty days of the invoice", "and its number is to be quoted with the payment.")
    sample = document(page(*lines(*texts, x=200, y=600, degrees=degrees)))
    assert pdftotext(sample, tmp_path) == [list(texts)]


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    assert pdftotext(DOCUMENTS["columns"], tmp_path) == [[*LEFT, *RIGHT]]
    first, *_ = pdftotext(DOCUMENTS["columns"], tmp_path, "-layout")[0]
    assert first.split("  ")[0] == LEFT[0]
    assert first.endswith(f"  {RIGHT[0]}")


def test_pages(tmp_path: Path) -> None:
    assert pdftotext(DOCUMENTS["pages"], tmp_path) == [list(PROSE), [], ["Last page."]]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_can_be_searched(name: str, tmp_path: Path) -> None:
    sample = document(page(line(SCRIPTS[name], 200, 300)))
    assert pdftotext(sample, tmp_path) == [[SCRIPTS[name]]]
    assert pdfium(sample) == SCRIPTS[name]
    with pypdfium2.PdfDocument(render(sample)) as pdf:
        assert pdf[0].get_textpage().search(SCRIPTS[name].split()[-1]).get_next() is not None


def test_right_to_left_with_numbers_and_foreign_words() -> None:
    text = "המחיר 12.50 Cola ליחידה אחת"
    assert pdfium(document(page(line(text, 200, 300)))) == text


def test_a_letter_alone_and_spaced_capitals(tmp_path: Path) -> None:
    # As detectors find them, twice as wide as the letters of the other tests are.
    spaced = line("TOTAL DUE NOW", 100, 300)
    (x0, y0), (_, y1) = spaced.polygon[0], spaced.polygon[2]
    spaced = type(spaced)(spaced.text, 1.0, ((x0, y0), (0.9, y0), (0.9, y1), (x0, y1)))
    sample = document(page(line("6", 100, 100), spaced))
    assert pdftotext(sample, tmp_path) == [["6", "TOTAL DUE NOW"]]
    assert pdfium(sample) == "6\nTOTAL DUE NOW"


def test_a_caption_is_found_on_the_first_page(tmp_path: Path) -> None:
    assert pdftotext(DOCUMENTS["caption"], tmp_path) == [["a dog", "with a <ball> in its mouth"]]
    assert pdftotext(DOCUMENTS["caption of pages"], tmp_path) == [["two dogs", "and a cat"], []]
    long = "a dog that " * 40
    found = pdftotext(document(page(), text=long), tmp_path)
    assert " ".join(found[0]) == long.strip()


def test_hostile_text_and_long_lines(tmp_path: Path) -> None:
    hostile = DOCUMENTS["hostile"]
    assert pdfium(hostile).split() == [
        word for found in hostile.pages[0].lines for word in printable(found.text).split()
    ]
    long = DOCUMENTS["long"]
    assert " ".join(pdftotext(long, tmp_path, "-raw")[0]).split() == (long.text).split()


@pytest.mark.parametrize("degrees", [0, 8, 90, -90])
def test_text_lies_over_its_place(degrees: float) -> None:
    found = line("abcdefgh", 600, 700, degrees)
    with pypdfium2.PdfDocument(render(document(page(found)))) as pdf:
        pixel = pdf[0].get_width() / WIDTH
        words = pdf[0].get_textpage()
        boxes = [words.get_rect(index) for index in range(words.count_rects())]
    left, right = min(box[0] for box in boxes) / pixel, max(box[2] for box in boxes) / pixel
    top, bottom = HEIGHT - max(box[3] for box in boxes) / pixel, HEIGHT - min(box[1] for box in boxes) / pixel
    xs, ys = [x * WIDTH for x, _ in found.polygon], [y * HEIGHT for _, y in found.polygon]
    # The letters are a little less high than the quadrilateral.
    assert (left, right) == pytest.approx((min(xs), max(xs)), abs=LINE / 4)
    assert (top, bottom) == pytest.approx((min(ys), max(ys)), abs=LINE / 4)


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_the_picture_looks_like_the_image(mode: str) -> None:
    image = picture().convert(mode).convert("RGB")
    shown = drawn(Document((Page(WIDTH, HEIGHT, lines(*PROSE), lambda: image),), "", "m"), WIDTH)
    assert shown.size == image.size
    assert max(ImageStat.Stat(ImageChops.difference(shown.reduce(8), image.reduce(8))).mean) < 3


@pytest.mark.parametrize("colours", ["black and white", "few", "grey"])
def test_what_is_drawn_keeps_every_pixel(colours: str) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for place in range(20):
        fill = {"black and white": "black", "few": (20, place * 10, 90), "grey": (place * 9,) * 3}[colours]
        image.paste(fill, (50 * place, 30 * place, 50 * place + 33, 30 * place + 71))
    with pypdfium2.PdfDocument(render(Document((Page(WIDTH, HEIGHT, (), image.copy),), "", "m"))) as pdf:
        (shown,) = pdf[0].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
        assert ImageChops.difference(shown.get_bitmap().to_pil().convert("RGB"), image).getbbox() is None


def test_a_jpeg_is_taken_as_it_is() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", quality=50)
    jpeg = Jpeg(buffer.getvalue(), "RGB")
    file = render(Document((Page(WIDTH, HEIGHT, lines("some words"), picture, jpeg=jpeg),), "", "m"))
    assert jpeg.data in file


def test_text_is_invisible() -> None:
    blank = Image.new("RGB", (WIDTH, HEIGHT), "white")
    shown = drawn(Document((Page(WIDTH, HEIGHT, lines(*PROSE), lambda: blank),), "", "m"), WIDTH)
    assert shown.getcolors() == [(shown.width * shown.height, (255, 255, 255))]


def test_grey_and_black_and_white_are_small() -> None:
    images = [picture().convert(mode).convert("RGB") for mode in ("RGB", "L")]
    sizes = [len(render(Document((Page(WIDTH, HEIGHT, (), image.copy),), "", "m"))) for image in images]
    assert sizes[1] < sizes[0]
    page_of_print = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for y in range(100, HEIGHT - 100, 40):
        page_of_print.paste((0, 0, 0), (100, y, WIDTH - 100, y + 8))
    file = render(Document((Page(WIDTH, HEIGHT, (), lambda: page_of_print),), "", "m"))
    assert b"/BitsPerComponent 1/" in file
    assert len(file) < 10_000


@pytest.mark.parametrize(
    ("width", "height", "points"),
    [(1654, 2339, (595.44, 842.04)), (1, 1, (3, 3)), (4, 66_000, (0.87, 14400)), (50_000, 2, (14400, 0.58))],
)
def test_pages_have_a_size_that_readers_take(width: int, height: int, points: tuple[float, float]) -> None:
    image = Image.new("RGB", (width, height), "red")
    file = render(Document((Page(width, height, lines("text"), lambda: image),), "", "m"))
    with pypdfium2.PdfDocument(file) as pdf:
        assert pdf[0].get_size() == pytest.approx(points, abs=0.01)
        assert pdf[0].render(scale=1000 / max(points)).to_pil().getpixel((0, 0))[0] > 200


def test_twenty_pages_take_little_more_than_their_images() -> None:
    one = len(render(document(page(*lines(*PROSE)))))
    many = len(render(document(*[page(*lines(*PROSE))] * 20)))
    assert many < 20 * one


def test_more_characters_than_codes() -> None:
    # All of Unicode's planes but the surrogates, the controls and the private ones; in lines, which a reader needs not.
    everything = [chr(code) for code in range(0xA1, 0x20000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(everything[start : start + 1000]) for start in range(0, len(everything), 1000)]
    with pypdfium2.PdfDocument(render(document(page(*lines(*texts))))) as pdf:
        assert len(pdf) == 1


def test_there_is_no_date() -> None:
    file = render(DOCUMENTS["prose"])
    assert b"Date" not in file
    assert b"/ID" not in file


def test_the_font_is_one_that_freetype_reads() -> None:
    font = (Path(__file__).parents[3] / "app" / "exports" / "glyphless.ttf").read_bytes()
    assert len(font) < 1000
    loaded = ImageFont.truetype(io.BytesIO(font), 100)
    assert loaded.getname() == ("Glyphless", "Regular")
    assert loaded.getlength("ab") == 100


def test_a_row_is_found_as_one_line_and_its_words_lie_where_they_stand(tmp_path: Path) -> None:
    sample = document(page(row("Bread rolls", "1,59 A"), row("Total", "12,52", y=150)))
    assert pdftotext(sample, tmp_path) == [["Bread rolls 1,59 A", "Total 12,52"]]
    with pypdfium2.PdfDocument(render(sample)) as pdf:
        texts = pdf[0].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_TEXT])
        lefts = [text.get_bounds()[0] / pdf[0].get_width() * WIDTH for text in texts]
    assert lefts == pytest.approx([100, 500, 100, 500], abs=2)
