"""Pages and documents over HTTP: what is read, in which order, where it stands, and in which format it is answered."""

import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pypdfium2
import pytest
from PIL import ExifTags, Image

from models.reference import reference
from tests import drawn
from tests.app.api.test_native import INVOICE, SMALL, assert_problem
from tests.app.test_documents import BORN, LOCK, written_pdf
from tests.conftest import INPUT, encoded
from tests.server import Server

TROCR = {"model": "trocr-large-handwritten", "max_new_tokens": 4}
PRINT = {"model": "rapidocr"}
SIGN = (INPUT / "sign.jpg").read_bytes()

LINES = drawn.numbered(20)
PAGE = drawn.page(LINES)
FIVE = drawn.numbered(5)
SHORT = drawn.page(FIVE, (620, 300))
LINE = drawn.page(["A single line of words"], (420, 48), (14, 7), 30)


def read(server: Server, image: Image.Image | bytes, **options: Any) -> dict[str, Any]:
    response = server.generate(image if isinstance(image, bytes) else encoded(image), **options)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def polygons(answer: dict[str, Any]) -> np.ndarray:
    return np.array([line["polygon"] for line in answer["lines"]])


def assert_over_their_lines(found: np.ndarray, image: Image.Image, count: int) -> None:
    """Check that each polygon holds the ink of one line of a page as `drawn.page` draws it."""
    assert found.shape == (count, 4, 2)
    centres = found.mean(axis=1) * image.size
    wanted = 60 + 24 * 0.6 + 24 * 1.6 * np.arange(count)
    assert centres[:, 1] == pytest.approx(wanted, abs=9)
    heights = np.ptp(found[:, :, 1], axis=1) * image.height
    assert ((heights > 14) & (heights < 24 * 1.6 + 4)).all()
    assert found[:, 0, 0] * image.width == pytest.approx(60, abs=12)


# Pages


def test_a_page_of_twenty_lines_is_read_in_order(server: Server) -> None:
    answer = read(server, PAGE, **PRINT)
    assert [line["text"] for line in answer["lines"]] == LINES
    assert answer["text"] == "\n".join(LINES)
    assert all(line["confidence"] > 0.9 for line in answer["lines"])
    assert_over_their_lines(polygons(answer), PAGE, 20)


def test_a_reader_of_lines_is_given_twenty_lines_in_order(server: Server) -> None:
    answer = read(server, PAGE, **TROCR)
    assert_over_their_lines(polygons(answer), PAGE, 20)
    assert answer["text"] == "\n".join(line["text"] for line in answer["lines"])
    assert all(0 < line["confidence"] <= 1 for line in answer["lines"])
    assert answer["warnings"] == ["the text was cut after 4 tokens; a larger max_new_tokens may complete it"]
    assert len({line["confidence"] for line in answer["lines"]}) > 5, "each was read on its own"


def test_the_lines_of_a_page_share_batches(server: Server) -> None:
    read(server, SMALL, segment="none", **TROCR)
    before = len(server.log)
    read(server, PAGE, **TROCR)
    log = server.log[before:].splitlines()
    sizes = [int(line.rpartition(" ")[2]) for line in log if "trocr-large-handwritten: batch of" in line]
    assert sum(sizes) == 20
    assert max(sizes) == 8


def test_lines_that_say_nothing_are_left_out(server: Server) -> None:
    answer = read(server, SHORT, **TROCR)
    assert all(line["text"] for line in answer["lines"])


@pytest.mark.parametrize("options", [PRINT, TROCR], ids=str)
def test_two_columns_are_read_left_then_right(server: Server, options: dict[str, Any]) -> None:
    left, right = (drawn.numbered(8, f"on the {side} hand side") for side in ("left", "right"))
    page = Image.new("RGB", (1000, 420), "white")
    drawn.write(page, left, (50, 40), 24)
    drawn.write(page, right, (560, 40), 24)
    answer = read(server, page, **options)
    found = polygons(answer)
    assert (found[:8, :, 0] < 0.5).all()
    assert (found[8:, :, 0] > 0.5).all()
    for column in (found[:8], found[8:]):
        assert (np.diff(column[:, 0, 1]) > 0).all()
    if options is PRINT:
        assert [line["text"] for line in answer["lines"]] == left + right
        assert answer["text"] == "\n".join(left) + "\n\n" + "\n".join(right)


@pytest.mark.parametrize("degrees", [3, -3])
def test_a_slanted_page_reads_the_same(server: Server, degrees: int) -> None:
    page = PAGE.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="white")
    answer = read(server, page, **PRINT)
    assert [line["text"] for line in answer["lines"]] == LINES
    along = (polygons(answer)[:, 1] - polygons(answer)[:, 0]) * page.size
    assert np.degrees(np.arctan2(along[:, 1], along[:, 0])) == pytest.approx(-degrees, abs=0.7)
    if degrees > 0:
        assert len(read(server, page, **TROCR)["lines"]) == 20


@pytest.fixture(scope="module")
def upright(server: Server) -> dict[str, np.ndarray]:
    """Where the lines of the short page stand, by model."""
    return {str(options["model"]): polygons(read(server, SHORT, **options)) for options in (PRINT, TROCR)}


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("options", [PRINT, TROCR], ids=str)
def test_a_turned_page_reads_the_same(
    server: Server, upright: dict[str, np.ndarray], degrees: int, options: dict[str, Any]
) -> None:
    answer = read(server, SHORT.rotate(degrees, expand=True), **options)
    assert (answer["image"]["width"] > answer["image"]["height"]) == (degrees == 180), "as it was sent"
    assert len(answer["lines"]) == 5
    if options is PRINT:
        assert [line["text"] for line in answer["lines"]] == FIVE
    points = polygons(answer)
    for _ in range(degrees // 90):
        points = np.stack([1 - points[..., 1], points[..., 0]], axis=-1)
    assert points == pytest.approx(upright[options["model"]], abs=0.02)


# The text in all eight of them is fault 51.
@pytest.mark.parametrize("orientation", [2, 6, 7])
def test_lines_stand_upright_in_every_exif_orientation(server: Server, orientation: int) -> None:
    turn = drawn.STORED_AS[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = SHORT if turn is None else SHORT.transpose(turn)
    data = encoded(stored, "PNG", exif=exif)
    answer = read(server, data, **PRINT)
    assert [line["text"] for line in answer["lines"]] == FIVE
    assert (answer["image"]["width"], answer["image"]["height"]) == SHORT.size
    assert_over_their_lines(polygons(answer), SHORT, 5)


# Cutting into lines, or not


@pytest.mark.parametrize("segment", [None, "", "auto", "none"])
def test_a_single_line_is_not_cut_up(server: Server, checkpoints: dict[str, Path], segment: str | None) -> None:
    model = "trocr-large-handwritten"
    answer = read(server, LINE, model=model, **({} if segment is None else {"segment": segment}))
    (line,) = answer["lines"]
    assert line["polygon"] == [[0, 0], [1, 0], [1, 1], [0, 1]]
    (expected,) = reference("trocr", checkpoints[model])([LINE])
    assert answer["text"] == line["text"] == expected.strip() != ""


def test_lines_are_cut_out_when_it_is_asked_for(server: Server) -> None:
    (line,) = read(server, LINE, segment="lines", **TROCR)["lines"]
    assert line["polygon"] != [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_a_page_is_not_cut_when_it_is_not_asked_for(server: Server, checkpoints: dict[str, Path]) -> None:
    answer = read(server, SHORT, segment="none", **TROCR)
    assert polygons(answer).tolist() == [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    (expected,) = reference("trocr", checkpoints["trocr-large-handwritten"])([SHORT], max_new_tokens=4)
    assert answer["text"] == expected.strip()


def test_a_line_has_as_many_tokens_alone_as_in_a_page(server: Server) -> None:
    for image in (LINE, drawn.page(FIVE[:2], (620, 170))):
        (warning,) = read(server, image, model="trocr-large-handwritten")["warnings"]
        assert "after 64 tokens" in warning


def test_tables_have_their_cells(server: Server) -> None:
    answer = read(server, INVOICE, **PRINT)
    table = answer["tables"][-1]
    first = [cell for cell in table["cells"] if cell["row"] == 0]
    assert (table["columns"], table["rows"]) == (4, 9)
    assert [(cell["column"], cell["text"]) for cell in first] == list(
        enumerate(["Description", "Quantity", "Unit price", "Amount"])
    )
    rows = [line["text"] for line in answer["lines"] if line["paragraph"] == table["paragraph"]]
    assert rows[0] == "Description Quantity Unit price Amount"
    assert len(rows) == 9


def test_text_is_taken_from_a_pdf_or_read_as_asked(server: Server) -> None:
    text = "Received with thanks"
    born = read(server, BORN, **PRINT)
    assert (born["text"], born["text_layer"], born["confidence"]) == (text, True, 1)
    anew = read(server, BORN, ocr="always", **PRINT)
    assert (anew["text"], "text_layer" in anew) == (text, False)
    assert polygons(born) == pytest.approx(polygons(anew), abs=0.05)
    assert read(server, BORN, region="0,0,0.47,1", **PRINT)["text"] == "Received with"

    scan = drawn.pdf([SHORT])
    assert read(server, scan, **PRINT)["text"].split("\n") == FIVE
    held = read(server, scan, ocr="never", **PRINT)
    assert (held["text"], held["lines"], held["text_layer"]) == ("", [], True)
    assert "does not say all" in held["warnings"][0]
    assert "image" in assert_problem(server.generate(SMALL, ocr="never", **PRINT), 422, "invalid-option")["detail"]
    assert "blip-base does not take ocr: ignored" in read(server, SMALL, model="blip-base", ocr="never")["warnings"]

    assert server.generate(BORN, format="pdf", **PRINT).content == BORN
    assert server.generate(BORN, format="tsv", **PRINT).text.count("\t100.000000\t") == 3


def test_the_layout_is_chosen(server: Server) -> None:
    answer = read(server, INVOICE, layout="columns", **PRINT)
    assert "tables" not in answer
    assert "Unit price" in [line["text"] for line in answer["lines"]]
    assert "layout" in assert_problem(server.generate(SMALL, layout="grid", **PRINT), 422, "invalid-option")["detail"]


@pytest.mark.parametrize("segment", ["yes", "LINES", "0"])
def test_unknown_ways_to_cut_are_refused(server: Server, segment: str) -> None:
    assert (
        "segment" in assert_problem(server.generate(SMALL, segment=segment, **TROCR), 422, "invalid-option")["detail"]
    )


@pytest.mark.parametrize("model", ["blip-base", "rapidocr"])
def test_cutting_is_for_readers_of_lines(server: Server, model: str) -> None:
    answer = read(server, SMALL, model=model, segment="lines")
    assert f"{model} does not take segment: ignored" in answer["warnings"]


def test_the_segmenter_itself_cannot_be_asked_for_text(server: Server) -> None:
    assert_problem(server.generate(SMALL, model="rapidocr-lines"), 422, "invalid-option")


# Odd pages


def dot() -> Image.Image:
    image = Image.new("RGB", (600, 800), "white")
    image.putpixel((300, 400), (0, 0, 0))
    return image


def vertical() -> Image.Image:
    image = Image.new("RGB", (300, 640), "white")
    for number, letter in enumerate("VERTICAL"):
        drawn.write(image, [letter], (130, 40 + 70 * number), 48)
    return image


EMPTY = {
    "white": Image.new("RGB", (600, 800), "white"),
    "black": Image.new("RGB", (300, 400), "black"),
    "dot": dot(),
    "pixel": Image.new("RGB", (1, 1), "teal"),
    "needle": Image.new("RGB", (1, 10_000), "teal"),
    "thread": Image.new("RGB", (10_000, 1), "teal"),
    "strip": Image.new("RGB", (900, 60), "white"),
}


# What finds the lines is the same for both.
@pytest.mark.parametrize(("name", "options"), [*((name, PRINT) for name in EMPTY), ("black", TROCR), ("strip", TROCR)])
def test_a_page_without_words_is_an_empty_text(server: Server, name: str, options: dict[str, Any]) -> None:
    answer = read(server, EMPTY[name], **options)
    assert (answer["text"], answer["lines"]) == ("", [])
    assert "confidence" not in answer


def test_a_very_long_page_is_read_to_its_end(server: Server) -> None:
    page = drawn.page(LINES, (460, 20_000), (20, 100), step=41)
    answer = read(server, page, **PRINT)
    assert [line["text"] for line in answer["lines"]] == LINES
    found = polygons(answer) * page.size
    assert found[:, :, 1].mean(axis=1) == pytest.approx(100 + 14 + 984 * np.arange(20), abs=9)


def test_white_on_black(server: Server) -> None:
    page = drawn.page(FIVE, (620, 300), colours=("black", "white"))
    assert read(server, page, **PRINT)["text"].splitlines() == FIVE
    assert len(read(server, page, **TROCR)["lines"]) == 5


def test_tiny_letters_are_found_if_not_read(server: Server) -> None:
    page = drawn.page(FIVE, (240, 80), (8, 8), height=6)
    answer = read(server, page, **PRINT)
    assert len(answer["lines"]) == 5
    assert len(read(server, page, **TROCR)["lines"]) == 5


def test_letters_below_one_another_are_no_failure(server: Server) -> None:
    # Not what the reader is made for: most of the letters, in their order, and no error.
    letters = [letter for letter in read(server, vertical(), **PRINT)["text"] if letter in "VERTICAL"]
    assert len(letters) >= 6
    expected = iter("VERTICAL")
    assert all(letter in expected for letter in letters), letters
    read(server, vertical(), **TROCR)


# Documents


SHEETS = [
    drawn.page([f"page {number} of three", *drawn.numbered(2)], (420, 160 + 20 * number), (20, 30))
    for number in (1, 2, 3)
]
TEXTS = [[f"page {number} of three", *drawn.numbered(2)] for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def exported(server: Server) -> bytes:
    """Three pages that went through this service's own PDF export."""
    response = server.generate(drawn.tiff(SHEETS), format="pdf", **PRINT)
    assert response.headers["Content-Type"] == "application/pdf"
    return response.content


def assert_three_pages(answer: dict[str, Any], *also: str) -> None:
    assert not {"lines", "entities", "confidence"} & answer.keys()
    for number, (page, texts) in enumerate(zip(answer["pages"], TEXTS, strict=True), 1):
        assert set(page) == {"page", "width", "height", "text", "lines", *also}
        assert page["page"] == number
        assert [line["text"] for line in page["lines"]] == texts
        assert page["text"] == "\n".join(texts)
    assert answer["text"] == "\n\n".join(page["text"] for page in answer["pages"])
    assert answer["image"]["width"] == answer["pages"][0]["width"]


def test_the_pages_of_a_pdf(server: Server, exported: bytes) -> None:
    answer = read(server, exported, ocr="always", **PRINT)
    assert_three_pages(answer)
    taken = read(server, exported, **PRINT)
    assert_three_pages(taken, "text_layer")
    for page, other in zip(answer["pages"], taken["pages"], strict=True):
        assert [page["width"], page["height"]] == [other["width"], other["height"]]
        assert polygons(page) == pytest.approx(polygons(other), abs=0.03)
    # The export takes its images for scans of 200 dpi, at which they are rendered here.
    sizes = [(page["width"], page["height"]) for page in answer["pages"]]
    assert np.array(sizes) == pytest.approx(np.array([sheet.size for sheet in SHEETS]), abs=1)
    assert answer["image"]["format"] == "PDF"


def test_the_pages_of_a_tiff(server: Server) -> None:
    answer = read(server, drawn.tiff(SHEETS), **PRINT)
    assert_three_pages(answer)
    assert [(page["width"], page["height"]) for page in answer["pages"]] == [sheet.size for sheet in SHEETS]
    assert answer["image"]["format"] == "TIFF"


def test_the_pages_of_a_pdf_for_a_reader_of_lines(server: Server, exported: bytes) -> None:
    assert_three_pages(read(server, exported, **TROCR), "text_layer")
    answer = read(server, exported, ocr="always", **TROCR)
    assert [len(page["lines"]) for page in answer["pages"]] == [3, 3, 3]


def test_a_pdf_of_one_page_is_answered_as_an_image_is(server: Server) -> None:
    answer = read(server, drawn.pdf([SHORT]), **PRINT)
    assert [line["text"] for line in answer["lines"]] == FIVE
    assert "pages" not in answer
    assert answer["confidence"] > 0.9
    assert_over_their_lines(polygons(answer), SHORT, 5)


@pytest.mark.parametrize(
    "kind", ["application/pdf", "application/octet-stream", "application/x-www-form-urlencoded", None]
)
def test_a_pdf_as_the_body(server: Server, exported: bytes, kind: str | None) -> None:
    query = "model=rapidocr&pages=2"
    response = server.post(f"/generate-text?{query}", data=exported, headers={"Content-Type": kind})
    assert response.status_code == 200, response.text
    assert response.json()["text"] == "\n".join(TEXTS[1])


def test_a_pdf_as_a_data_url(server: Server, exported: bytes) -> None:
    url = f"data:application/pdf;base64,{base64.b64encode(exported).decode()}"
    assert_three_pages(server.post("/generate-text", json={"image_url": url} | PRINT).json(), "text_layer")


def test_a_saved_pdf_can_be_had_again(server: Server, exported: bytes) -> None:
    saved = read(server, exported, **PRINT)["image"]["saved_as"]
    assert saved.endswith(".pdf")
    response = server.get(f"/{saved}")
    assert (response.status_code, response.content) == (200, exported)
    assert response.headers["Content-Type"] == "application/pdf"


@pytest.mark.parametrize("model", ["blip-base", "kosmos-2", "alt-text"])
def test_a_pdf_is_for_readers(server: Server, exported: bytes, model: str) -> None:
    problem = assert_problem(server.generate(exported, model=model), 415, "unsupported-media-type")
    assert "rapidocr" in problem["detail"]


@pytest.mark.parametrize("options", [{"model": "blip-base", "max_new_tokens": 3}, {"model": "alt-text"}], ids=str)
def test_a_captioner_describes_the_first_page_of_a_tiff_and_says_so(server: Server, options: dict[str, Any]) -> None:
    alone, first = (read(server, drawn.tiff(sheets), **options) for sheets in (SHEETS[:1], SHEETS))
    assert first["text"] == alone["text"]
    assert "pages" not in first
    assert [warning for warning in first["warnings"] if warning not in alone["warnings"]] == [
        f"{options['model']} describes one image: only the first page was used; model=rapidocr reads them all"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        drawn.pdf(SHEETS)[:2000],
        written_pdf(trailer=LOCK),
        written_pdf(count=0),
        written_pdf(count=51),
        written_pdf().replace(b"[4 0 R]", b"[9 0 R]"),
        drawn.tiff([Image.new("1", (8, 8))] * 51),
    ],
    ids=["header", "cut off", "locked", "no pages", "many pages", "page missing", "many frames"],
)
@pytest.mark.parametrize("options", [PRINT, TROCR], ids=str)
def test_documents_that_cannot_be_read(server: Server, data: bytes, options: dict[str, Any]) -> None:
    assert_problem(server.generate(data, **options), 422, "invalid-image")


@pytest.mark.parametrize(
    "data", [written_pdf(count=52), drawn.tiff([Image.new("1", (8, 8))] * 60)], ids=["PDF", "TIFF"]
)
@pytest.mark.parametrize(
    ("pages", "expected"),
    [("1-2", [1, 2]), ("50,52", [50, 52]), ("51-", None), ("2-", 422), ("1-51", 422), ("61", 422)],
)
def test_a_few_pages_of_a_document_of_too_many(
    server: Server, data: bytes, pages: str, expected: list[int] | int | None
) -> None:
    answer = server.generate(data, pages=pages, **PRINT)
    if expected == 422:
        assert "pages" in assert_problem(answer, 422, "invalid-option")["detail"]
        return
    count = 52 if data.startswith(b"%PDF") else 60
    assert [page["page"] for page in answer.json()["pages"]] == (expected or list(range(51, count + 1)))


def test_limits_are_settings(make_server: Callable[..., Server]) -> None:
    server = make_server(max_pages=2, max_image_pixels=500_000, pdf_dpi=100)
    assert "more than the 2 pages allowed" in assert_problem(server.generate(drawn.pdf(SHEETS), **PRINT), 422)["detail"]
    answer = read(server, written_pdf("0 0 14400 14400", count=2), **PRINT)
    assert all(page["width"] * page["height"] <= 500_000 * 1.01 for page in answer["pages"])
    answer = read(server, written_pdf("0 0 144 72"), **PRINT)
    assert (answer["image"]["width"], answer["image"]["height"]) == (200, 100)


def test_two_documents_at_once(server: Server, exported: bytes) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken, anew = pool.map(lambda data: read(server, data, **PRINT), [exported, drawn.tiff(SHEETS)])
    assert_three_pages(taken, "text_layer")
    assert_three_pages(anew)


def test_tags_of_a_document_are_those_of_its_text(server: Server, exported: bytes) -> None:
    answer = read(server, exported, tags="true", **PRINT)
    assert answer["tags"] == server.post("/generate-tags", json={"text": answer["text"]}).json()["tags"]


# Formats


FORMATS = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "hocr": "text/vnd.hocr+html; charset=utf-8",
    "alto": "application/xml; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("options", [PRINT, TROCR, {"model": "blip-base", "max_new_tokens": 3}], ids=str)
def test_every_format_of_every_kind_of_model(server: Server, format: str, options: dict[str, Any]) -> None:
    image = encoded(SHORT.crop((0, 0, 620, 130)))
    answer = read(server, image, **options)
    response = server.generate(image, format=format, **options)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == FORMATS[format]
    if format == "json":
        assert response.json()["text"] == answer["text"]
        return
    name = response.headers["Content-Disposition"]
    assert name.startswith(f'inline; filename="{response.headers["X-Request-ID"]}.')
    if format == "pdf":
        (page,) = pypdfium2.PdfDocument(response.content)
        words = page.get_textpage().get_text_bounded().split()
    elif format in ("hocr", "alto"):
        root = ElementTree.fromstring(response.content)
        words = " ".join([*root.itertext(), *(each.get("CONTENT", "") for each in root.iter())]).split()
    else:
        words = response.text.split()
    if "blip" not in options["model"]:
        assert set(answer["text"].split()) <= set(words)


def test_text_is_the_text(server: Server) -> None:
    two = encoded(Image.open(io.BytesIO(SIGN)))
    answer = read(server, two, **PRINT)
    assert "\n\n" in answer["text"]
    for response in (
        server.generate(two, format="text", **PRINT),
        server.post("/generate-text?model=rapidocr", data=two, headers={"Accept": "text/plain"}),
    ):
        assert response.text == answer["text"]


@pytest.mark.parametrize("accept", ["text/plain", "application/json", "image/png"])
def test_format_beats_accept(server: Server, accept: str) -> None:
    for format in ("json", "tsv"):
        response = server.post(
            "/generate-text", params={"model": "rapidocr", "format": format}, data=SMALL, headers={"Accept": accept}
        )
        assert response.headers["Content-Type"] == FORMATS[format]


@pytest.mark.parametrize("format", ["docx", "JSON", "text/plain", "events", "html"])
def test_unknown_formats_are_refused(server: Server, format: str) -> None:
    assert "format" in assert_problem(server.generate(SMALL, format=format, **PRINT), 422, "invalid-option")["detail"]


def test_errors_are_problems_whatever_the_format(server: Server) -> None:
    assert_problem(server.generate(b"no image", format="pdf", **PRINT), 415)
    assert_problem(server.generate(SMALL, format="alto", model="nonesuch"), 404)


def test_a_searchable_pdf_is_read_back_by_this_service(server: Server, exported: bytes) -> None:
    document = pypdfium2.PdfDocument(exported)
    assert [page.get_textpage().get_text_bounded().split() for page in document] == [
        " ".join(texts).split() for texts in TEXTS
    ]


# Alt text


def test_alt_text_is_a_caption_and_the_words(server: Server) -> None:
    answer = read(server, SIGN, model="alt-text")
    parts = answer["parts"]
    assert set(parts) == {"caption", "captioner", "words", "reader"}
    assert (answer["model"], parts["captioner"], parts["reader"]) == ("alt-text", "blip-large", "rapidocr")
    assert parts["words"] == "PLATFORM 4\n\nMIND THE STEP"
    assert parts["caption"] == read(server, SIGN, model="blip-large")["text"] != ""
    assert answer["text"].endswith("with the text “PLATFORM 4 MIND THE STEP”.")
    assert len(answer["text"]) <= 250
    assert not {"lines", "confidence", "entities"} & answer.keys()
    again = [read(server, SIGN, model="alt-text")["text"] for _ in range(2)]
    assert again == [answer["text"]] * 2


@pytest.mark.parametrize("length", [20, 300])
def test_alt_text_keeps_its_limit(server: Server, length: int) -> None:
    answer = read(server, INVOICE, model="alt-text", max_length=length)
    assert 0 < len(answer["text"]) <= length
    assert "Larkfield Paper Company" in answer["parts"]["words"]
    if length >= 300:
        assert "Larkfield Paper Company" in answer["text"]


@pytest.mark.parametrize("length", [0, 19, 5001, -1, "long", "20.5"])
def test_limits_of_the_limit(server: Server, length: Any) -> None:
    assert_problem(server.generate(SIGN, model="alt-text", max_length=length), 422, "invalid-option")


def test_the_limit_is_for_alt_text(server: Server) -> None:
    assert "rapidocr does not take max_length: ignored" in read(server, SMALL, max_length=50, **PRINT)["warnings"]


def test_alt_text_warns_of_what_it_does_not_take(server: Server) -> None:
    warnings = read(server, SMALL, model="alt-text", prompt="a", num_beams=2, segment="none", max_length="")["warnings"]
    assert warnings == [f"alt-text does not take {name}: ignored" for name in ("prompt", "num_beams", "segment")]


def test_alt_text_of_a_captioner_that_fails_is_the_words(make_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "recurrent-captioner"}')
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    server = make_server(model_paths=f"flickr8k-gru={tmp_path}")
    answer = read(server, SIGN, model="alt-text")
    assert answer["text"] == "The text “PLATFORM 4 MIND THE STEP”."
    assert set(answer["parts"]) == {"words", "reader"}
    assert "no caption: " in " ".join(answer["warnings"])
    assert read(server, SMALL, model="alt-text")["text"] == ""


def test_alt_text_of_a_doubtful_caption_is_what_is_sure(make_server: Callable[..., Server]) -> None:
    """The drawn sign is like no photo that the captioner in the box has seen."""
    answer = read(make_server(), SIGN, model="alt-text")
    assert answer["text"] == "Text: PLATFORM 4 MIND THE STEP"
    assert set(answer["parts"]) == {"words", "reader"}
    (warning,) = answer["warnings"]
    assert "efficientnet-gru" in warning
    assert "POST /models/blip-base/load" in warning


def test_alt_text_in_other_formats(server: Server) -> None:
    answer = read(server, SIGN, model="alt-text")
    assert server.generate(SIGN, model="alt-text", format="text").text == answer["text"]
    assert server.generate(SIGN, model="alt-text", format="markdown").ok


def test_tags_of_an_alt_text(server: Server) -> None:
    answer = read(server, SIGN, model="alt-text", tags="true")
    assert answer["tags"] == server.post("/generate-tags", json={"text": answer["text"]}).json()["tags"]
