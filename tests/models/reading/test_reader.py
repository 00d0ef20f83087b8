"""RapidOCR's networks on whole pages, in this process."""

import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.backends.threads import TURN
from models.base import Job, Options, Placement
from models.discovery import discover
from models.families.rapidocr import MODELS, LoadedRapidOCRLines
from models.reading.crops import Pixels
from models.reading.reader import PageReader, is_text
from models.reading.recogniser import core
from models.reading.recognition import LONGEST_CROP, STEP, bucket
from tests import drawn
from tests.conftest import INPUT

INVOICE = (
    "Larkfield Paper Company INVOICE", "27 Juniper Street", "Invoice number LP-20417",
    "Description Quantity Unit price Amount", "Letterpress business cards 500 $0.42 $210.00",
    "Archival ink, black 6 $14.25 $85.50", "Delivery and packing 1 $30.00 $30.00", "Total due $844.02",
    "Payment terms", "Thank you for your order",
)  # fmt: skip
NOTE = (
    "Please water the tomatoes and", "feed the cat at 6 each evening.", "The key is under the blue pot.",
    "Back on Sunday. Love, Tom",
)  # fmt: skip


def make_reader() -> PageReader:
    directory = MODELS[0].source.directory
    assert directory is not None
    return PageReader(directory)


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return make_reader()


@pytest.fixture(scope="module")
def cutter() -> LoadedRapidOCRLines:
    directory = MODELS[1].source.directory
    assert directory is not None
    loaded = MODELS[1].load(directory, Placement())
    assert isinstance(loaded, LoadedRapidOCRLines)
    return loaded


@pytest.mark.parametrize("name", ["rapidocr", "rapidocr-lines", "handwriting"])
def test_a_reader_tells_the_number_format_that_it_computes_in(name: str) -> None:
    model = discover()[name]

    def precision(asked: str) -> str:
        assert model.source.directory is not None
        return model.load(model.source.directory, Placement(precision=asked)).precision

    able = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    arm = "float16" if platform.machine() in ("aarch64", "arm64") and "FP16" in able else "float32"
    native = "bfloat16" if "BF16" in able else arm
    assert {asked: precision(asked) for asked in ("auto", "int8", "float32")} == {
        "auto": native,
        "int8": native,
        "float32": "float32",
    }


def pixels(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def texts(reader: PageReader, image: Image.Image) -> list[str]:
    return [line.text for line in reader.read(pixels(image))]


def turned_back(points: np.ndarray, degrees: int) -> np.ndarray:
    """Undo Pillow's `rotate(degrees)`, which is anticlockwise, on fractions."""
    for _ in range(degrees // 90):
        points = np.stack([1 - points[..., 1], points[..., 0]], axis=-1)
    return points


@pytest.mark.parametrize(
    ("name", "expected"), [("invoice.png", INVOICE), ("note.png", NOTE), ("sign.jpg", ("PLATFORM 4", "MIND THE STEP"))]
)
def test_a_page_reads_the_same_whichever_way_up(reader: PageReader, name: str, expected: tuple[str, ...]) -> None:
    image = Image.open(INPUT / name).convert("RGB")
    upright = [line for line in reader.read(pixels(image)) if line.text in expected]
    assert tuple(line.text for line in upright) == expected
    for degrees in (90, 180, 270):
        lines = [line for line in reader.read(pixels(image.rotate(degrees, expand=True))) if line.text in expected]
        assert tuple(line.text for line in lines) == expected, degrees
        for line, as_it_was in zip(lines, upright, strict=True):
            back = turned_back(line.polygon, degrees)
            assert back == pytest.approx(as_it_was.polygon, abs=0.02), (degrees, line.text)
            assert line.confidence > 0.8


def test_cells_of_a_table_have_their_columns(reader: PageReader) -> None:
    lines = [line for line in reader.read(pixels(Image.open(INPUT / "invoice.png"))) if line.is_row]
    rows = [line for line in lines if line.paragraph == lines[-1].paragraph]
    assert [(part.column, part.text) for part in rows[0].parts] == list(
        enumerate(["Description", "Quantity", "Unit price", "Amount"])
    )
    assert [part.column for part in rows[-1].parts] == [2, 3], "a total stands below the last columns"
    assert all(part.polygon[1, 0] < 0.5 for row in rows[:6] for part in row.parts[:1]), "each part has its own place"


def test_the_layout_is_as_asked_for(reader: PageReader) -> None:
    page = pixels(Image.open(INPUT / "invoice.png"))
    columns = [line.text for line in reader.read(page, "columns")]
    assert "Description" in columns
    assert not any(line.is_row for line in reader.read(page, "columns"))
    rows = [line.text for line in reader.read(page, "rows")]
    assert any(text.startswith("Port Ellery") and text.endswith("JSG-308") for text in rows), "from edge to edge"


def test_a_picture_without_words_has_no_lines(reader: PageReader) -> None:
    assert texts(reader, Image.open(INPUT / "scene.jpg")) == []


def test_paragraphs_are_numbered_from_0_without_holes(reader: PageReader) -> None:
    paragraphs = [line.paragraph for line in reader.read(pixels(Image.open(INPUT / "invoice.png")))]
    assert paragraphs == sorted(paragraphs)
    assert set(paragraphs) == set(range(len(set(paragraphs))))
    assert len(set(paragraphs)) > 3


@pytest.mark.parametrize("height", [12, 16, 48, 120])
def test_letters_of_any_size_are_read(reader: PageReader, height: int) -> None:
    lines = ["The seventh of June", "a small boat on the lake"]
    page = drawn.page(lines, (18 * height, 6 * height), (2 * height, height), height)
    assert texts(reader, page) == lines


@pytest.mark.parametrize("colours", [("black", "white"), ("navy", "yellow"), ("#c8c8c8", "#707070")])
def test_the_colours_do_not_matter(reader: PageReader, colours: tuple[str, str]) -> None:
    lines = drawn.numbered(4)
    assert texts(reader, drawn.page(lines, (600, 240), colours=colours)) == lines


def test_a_long_line_is_read_to_its_end(reader: PageReader) -> None:
    line = " ".join(drawn.WORDS * 2)
    (text,) = texts(reader, drawn.page([line], (3400, 120), (30, 30), 24))
    assert text == line


SIZES = [(1, 1), (1, 2), (3, 2), (31, 33), (1, 3000), (3000, 1), (2, 5000), (1601, 7), (97, 1443), (1536, 1537)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("noisy", [False, True])
def test_odd_sizes(reader: PageReader, cutter: LoadedRapidOCRLines, size: tuple[int, int], noisy: bool) -> None:
    levels = np.random.default_rng(0).integers(0, 256 if noisy else 1, (size[1], size[0], 3), dtype=np.uint8)
    for line in reader.read(levels):
        assert 0 <= line.polygon.min() <= line.polygon.max() <= 1
    (prediction,) = cutter.predict([Job(Image.fromarray(levels))])
    assert prediction.lines is not None
    assert prediction.crops is not None
    assert len(prediction.lines) == len(prediction.crops)
    assert all(min(crop.size) >= 1 for crop in prediction.crops)


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def dotted(width: int, height: int) -> Image.Image:
    image = blank(width, height)
    image.putpixel((width // 2, height // 2), (0, 0, 0))
    return image


def grainy(width: int, height: int) -> Image.Image:
    grain = np.random.default_rng(0).integers(0, 9, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(250 - grain)


def shaded(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).point(lambda level: 200 + level // 5).convert("RGB")


@pytest.mark.parametrize("paper", [blank, grainy, shaded])
@pytest.mark.parametrize("size", [(300, 300), (600, 800), (300, 1000), (900, 90)])
def test_blank_paper_has_no_lines_to_read(
    cutter: LoadedRapidOCRLines, paper: Callable[[int, int], Image.Image], size: tuple[int, int]
) -> None:
    """A recogniser of handwriting says words of whatever it is given: nothing may be cut out of blank paper."""
    (prediction,) = cutter.predict([Job(paper(*size))])
    assert (prediction.lines, prediction.crops) == ((), ())


def test_a_dot_is_no_text(reader: PageReader, cutter: LoadedRapidOCRLines) -> None:
    assert texts(reader, dotted(600, 800)) == []
    (prediction,) = cutter.predict([Job(dotted(600, 800))])
    assert prediction.crops == ()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_lines_are_cut_out_upright_with_a_margin(reader: PageReader, cutter: LoadedRapidOCRLines, degrees: int) -> None:
    lines = drawn.numbered(6)
    page = drawn.page(lines, (600, 340)).rotate(degrees, expand=True)
    (prediction,) = cutter.predict([Job(page)])
    assert prediction.crops is not None
    assert [reader.recognise(pixels(crop)).text.replace(" ", "") for crop in prediction.crops] == [
        line.replace(" ", "") for line in lines
    ]
    for crop in prediction.crops:
        assert np.asarray(crop)[[0, -1]].min() > 200, "paper above and below"
    assert [(line.text, line.confidence) for line in prediction.lines or ()] == [("", 0.0)] * 6


def test_a_line_that_was_cut_out_already_is_handed_on_whole(cutter: LoadedRapidOCRLines) -> None:
    line = drawn.page(["A line of words"], (400, 44), (14, 6), 30)
    (prediction,) = cutter.predict([Job(line)])
    assert prediction.crops is not None
    assert prediction.lines is not None
    assert prediction.lines[0].polygon == ((0, 0), (1, 0), (1, 1), (0, 1))
    (prediction,) = cutter.predict([Job(line, options=Options(segment="lines"))])
    assert prediction.lines is not None
    assert prediction.lines[0].polygon != ((0, 0), (1, 0), (1, 1), (0, 1))


def test_two_readers_do_not_disturb_each_other(reader: PageReader) -> None:
    pages = [drawn.page(drawn.numbered(count), (600, 60 + 40 * count)) for count in (3, 5, 4)]
    alone = [texts(reader, page) for page in pages]
    other = make_reader()
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda each: [texts(each, page) for page in pages], (reader, other))
        assert list(results) == [alone] * 2


@pytest.mark.parametrize(
    ("text", "confidence", "expected"),
    [("word", 0.6, True), ("word", 0.4, False), ("ab", 0.6, False), ("ab", 0.95, True), ("", 1.0, False)],
)
def test_what_is_hardly_sure_is_no_text(text: str, confidence: float, expected: bool) -> None:
    assert is_text(text, confidence) is expected


def test_reading_waits_for_its_turn(reader: PageReader) -> None:
    image = pixels(drawn.page(drawn.numbered(1), (420, 80)))
    with ThreadPoolExecutor(1) as pool:
        with TURN:
            reading = pool.submit(reader.recognise, image)
            with pytest.raises(TimeoutError):
                reading.result(0.3)
        assert reading.result(30).text == reader.recognise(image).text


def test_crops_come_in_few_widths() -> None:
    widths = {bucket(width) for width in range(1, LONGEST_CROP + 1)}
    assert len(widths) < 50
    assert all(width % STEP == 0 for width in widths)
    assert all(width <= bucket(width) < max(width + STEP, width * 1.26) for width in range(1, LONGEST_CROP + 1))


def test_check_boxes_have_their_state_and_place(reader: PageReader) -> None:
    image = drawn.page(["First choice", "Second choice"], (520, 200), (100, 40), 28, step=2.2)
    draw = ImageDraw.Draw(image)
    for top in (42, 104):
        draw.rectangle((60, top, 86, top + 26), outline="black", width=2)
    draw.line([(65, 116), (72, 124), (83, 108)], fill="black", width=3)
    lines = reader.read(pixels(image))
    assert [line.text for line in lines] == ["☐ First choice", "☑ Second choice"]
    for line, ticked, top in zip(lines, (False, True), (42, 104), strict=True):
        ((state, polygon),) = line.checkboxes
        assert state == ticked
        assert polygon * image.size == pytest.approx(
            np.array([[60, top], [86, top], [86, top + 26], [60, top + 26]]), abs=2
        )
