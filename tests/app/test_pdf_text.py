"""The text that PDFs hold: where it stands, in which order, and whether it says what is on the page."""

import io
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pikepdf
import pydyf  # type: ignore[import-untyped]
import pytest
from PIL import ImageOps, ImageStat

from app.decoding.documents import Limits, Text, open_pages
from app.decoding.pool import DecodingPool
from app.decoding.soundness import is_legible
from app.exports import raster
from models.reading.text_layer import Row, lines_of, within
from tests import drawn
from tests.app.exports.documents import program

LIMITS = Limits(("PNG", "JPEG", "TIFF"), max_pixels=4_000_000, max_pages=60, pdf_dpi=100)
A4 = 595, 842
ENGLISH = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "other",
    "animals",
    "look",
    "on",
    "in",
    "silence",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    pool = DecodingPool(1, 60, 2 * 2**30)
    yield pool
    pool.close()


Run = tuple[float, float, str]


def born(
    pages: Sequence[Sequence[Run]], turn: int = 0, mode: int = 0, image: drawn.Image.Image | None = None, size: int = 12
) -> bytes:
    """Return a PDF of runs of text, each with its left end and its baseline in points from the top.

    Args:
        pages: the runs of each page.
        turn: /Rotate of the pages.
        mode: of rendering the text: 3 is invisible.
        image: what lies below the text of each page, as large as the page.
    """
    pdf = pydyf.PDF()
    font = pydyf.Dictionary(
        {"Type": "/Font", "Subtype": "/Type1", "BaseFont": "/Helvetica", "Encoding": "/WinAnsiEncoding"}
    )
    pdf.add_object(font)
    for runs in pages:
        content = pydyf.Stream(compress=True)
        resources = {"Font": pydyf.Dictionary({"F": font.reference})}
        if image is not None:
            picture = raster.encode(image)
            pdf.add_object(picture)
            resources["XObject"] = pydyf.Dictionary({"Image": picture.reference})
            content.push_state()
            content.set_matrix(A4[0], 0, 0, A4[1], 0, 0)
            content.draw_x_object("Image")
            content.pop_state()
        content.begin_text()
        content.set_text_rendering(mode)
        content.set_font_size("F", size)
        for left, top, words in runs:
            content.set_text_matrix(1, 0, 0, 1, left, A4[1] - top)
            content.show_text(pydyf.String(words).data.decode())
        content.end_text()
        pdf.add_object(content)
        described = {"Type": "/Page", "Parent": pdf.pages.reference, "MediaBox": pydyf.Array([0, 0, *A4])}
        described |= {"Resources": pydyf.Dictionary(resources), "Contents": content.reference, "Rotate": turn}
        pdf.add_page(pydyf.Dictionary(described))
    buffer = drawn.io.BytesIO()
    pdf.write(buffer)
    return buffer.getvalue()


def prose(first: int = 0, rows: int = 40, left: float = 60, words: int = 8) -> list[Run]:
    """Return rows of words that are told apart by their number."""
    return [
        (left, 60 + 18 * row, " ".join([f"{first + row}", *(ENGLISH[(row + n) % len(ENGLISH)] for n in range(words))]))
        for row in range(rows)
    ]


def mapped(data: bytes, characters: str) -> bytes:
    """Return a PDF whose font says that A is these characters, in hexadecimal digits of UTF-16."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        cmap = f"1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfchar <41> <{characters}> endbfchar"
        font = pdf.pages[0].Resources.Font.F
        font.ToUnicode = pdf.make_stream(f"begincmap {cmap} endcmap".encode())
        changed = io.BytesIO()
        pdf.save(changed)
    return changed.getvalue()


@pytest.mark.parametrize(("characters", "expected"), [("D800", "b\ufffdb"), ("D83DDE00", "b\U0001f600b")])
def test_halves_of_characters_are_joined_or_replaced(pool: DecodingPool, characters: str, expected: str) -> None:
    (line,) = read(text_of(mapped(born([[(60, 60, "bAb")]]), characters), pool))
    assert line == expected
    line.encode()


def text_of(data: bytes, pool: DecodingPool, number: int = 0) -> Text:
    with open_pages(data, LIMITS, pool) as pages:
        text = pages.text(number)
        assert text is not None
        return text


def read(text: Text) -> list[str]:
    return [line.text for line in lines_of(text.rows, text.size)]


def pdftotext(data: bytes, folder: Path) -> str:
    path = folder / "born.pdf"
    path.write_bytes(data)
    return subprocess.run([program("pdftotext"), path, "-"], capture_output=True, text=True, check=True).stdout


def test_the_words_of_fifty_pages_are_those_of_pdftotext_in_its_order(pool: DecodingPool, tmp_path: Path) -> None:
    data = born([prose(100 * page) for page in range(50)])
    with open_pages(data, LIMITS, pool) as pages:
        start = time.process_time()
        texts = [pages.text(number) for number in range(pages.count)]
        found = [line for text in texts if text is not None for line in read(text)]
        # Beside it, the worker takes as long; on an idle machine both take two seconds.
        assert time.process_time() - start < 4
        assert all(text is not None and text.is_sound for text in texts)
        assert pages.size(0) == (827, 1170)
    assert " ".join(found).split() == pdftotext(data, tmp_path).split()


def test_columns_are_read_one_after_the_other_whatever_the_order_in_the_file(
    pool: DecodingPool, tmp_path: Path
) -> None:
    left, right = prose(100, 20, 60, 5), prose(200, 20, 330, 5)
    data = born([[run for pair in zip(left, right, strict=True) for run in pair]])
    assert read(text_of(data, pool)) == [words for _, _, words in (*left, *right)]
    assert " ".join(read(text_of(data, pool))).split() == pdftotext(data, tmp_path).split()


def test_a_raised_digit_is_of_the_word_that_it_touches(pool: DecodingPool) -> None:
    """As PDFium tells a line from the next, the digit begins one; "note" in Helvetica is 23.3 points wide."""
    page = [(60, 100, "A note"), (60 + 11.34 + 23.35, 95.5, "4"), (60 + 11.34 + 23.35 + 6.67, 100, ", and more")]
    assert read(text_of(born([page]), pool)) == ["A note4, and more"]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_lines_have_their_places_on_the_page_as_it_is_shown(turn: int, pool: DecodingPool) -> None:
    text = text_of(born([[(119, 168.4, "placed words")]], turn), pool)
    (line,) = lines_of(text.rows, text.size)
    assert line.text == "placed words"
    x, y = line.polygon[3]
    # The corner below the text's start: on the page that is not turned, a fifth from the left and from the top.
    wanted = {0: (0.2, 0.2), 90: (0.8, 0.2), 180: (0.8, 0.8), 270: (0.2, 0.8)}[turn]
    assert (x, y) == pytest.approx(wanted, abs=0.01)
    assert text.size == ((827, 1170) if turn % 180 == 0 else (1170, 827))


def test_words_of_a_region_stand_where_they_stand_there() -> None:
    row = Row(((0.1, 0.1), (0.9, 0.1), (0.9, 0.2), (0.1, 0.2)), (("left", 0.0, 0.4), ("right", 0.5, 1.0)))
    found = within(row, (0.45, 0.0, 1.0, 0.5))
    assert found is not None
    assert found.words == (("right", 0.0, 1.0),)
    assert found.polygon[0] == pytest.approx(((0.1 + 0.8 * 0.5 - 0.45) / 0.55, 0.2))
    assert within(row, (0.0, 0.3, 1.0, 0.5)) is None


def scan(rows: int = 40) -> drawn.Image.Image:
    """Return the image of a page of `prose`, as large as A4 at 100 dpi."""
    image = drawn.Image.new("RGB", (827, 1170), "white")
    for left, top, words in prose(rows=rows):
        drawn.write(image, [words], (round(left * 100 / 72), round((top - 12) * 100 / 72)), 16)
    return image


@pytest.mark.parametrize(
    ("runs", "mode", "is_sound"),
    [
        (prose(), 3, True),
        (prose(rows=4), 3, False),
        ([(500, 830, "Page 1 of 3")], 0, False),
        ([(60, 20, "Received by fax on the third of May from an office in the town, 47 pages in all")], 0, False),
        ([], 0, False),
    ],
    ids=["the text read before", "only a part of it", "a stamp", "the header of a fax", "none"],
)
def test_text_on_a_scan_is_sound_if_it_covers_what_is_there(
    runs: list[Run], mode: int, is_sound: bool, pool: DecodingPool
) -> None:
    text = text_of(born([runs], mode=mode, image=scan()), pool)
    assert text.is_sound == is_sound
    assert len(text.rows) == len(runs)


def test_a_page_number_on_an_empty_page_is_all_there_is(pool: DecodingPool) -> None:
    assert text_of(born([[(500, 830, "Page 1 of 3")]]), pool).is_sound
    assert text_of(born([[(500, 830, "Page 1 of 3")]], image=drawn.page([], (827, 1170))), pool).is_sound


@pytest.mark.parametrize(
    ("words", "unmapped", "legible"),
    [
        (ENGLISH * 3, 0, True),
        (ENGLISH * 3, 20, False),
        (["\N{REPLACEMENT CHARACTER}" * 4] * 9, 0, False),
        (["\ue012\ue034"] * 9, 0, False),
        (["\uf0b7", *ENGLISH] * 5, 0, True),
        (["".join(chr(ord(letter) - 29) for letter in word) for word in ENGLISH * 3], 0, False),
        (["QRST", "WXZB", "KLMN", "BCDF"] * 9, 0, False),
        (["zmrzlina", "čtvrtek", "přátelství", "krk", "smlouva", "prst", "vchod", "vlak", "hřbitov"] * 9, 0, True),
        (["日本語", "の", "文書"] * 20, 0, True),
        (["кот", "прст", "смрт", "крв"] * 20, 0, True),
        (["A1234", "2024-01-02"], 0, True),
        ([], 0, False),
    ],
)
def test_what_is_legible(words: list[str], unmapped: int, legible: bool) -> None:
    assert is_legible(words, unmapped) == legible


def test_what_is_filled_into_a_form_is_text_of_the_page(pool: DecodingPool) -> None:
    with pikepdf.open(io.BytesIO(born([prose(rows=3)]))) as document:
        page = document.pages[0]
        font = page.Resources.Font
        look = document.make_stream(b"BT /F 12 Tf 2 6 Td (filled in by hand) Tj ET")
        look.Type, look.Subtype, look.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 200, 20]
        look.Resources = pikepdf.Dictionary(Font=font)
        field = pikepdf.Dictionary(
            Type=pikepdf.Name.Annot,
            Subtype=pikepdf.Name.Widget,
            FT=pikepdf.Name.Tx,
            T="name",
            V="filled in by hand",
            F=4,
            Rect=[60, 300, 260, 320],
            AP=pikepdf.Dictionary(N=look),
        )
        page.Annots = [document.make_indirect(field)]
        document.Root.AcroForm = pikepdf.Dictionary(Fields=page.Annots)
        buffer = io.BytesIO()
        document.save(buffer)
    with open_pages(buffer.getvalue(), LIMITS, pool) as pages:
        before = pages.image(0)
        text = pages.text(0)
        assert text is not None
        assert read(text) == [*(words for *_, words in prose(rows=3)), "filled in by hand"]
        # It is still drawn, once and in its place.
        ink = [ImageStat.Stat(ImageOps.invert(image.convert("L"))).sum[0] for image in (before, pages.image(0))]
        assert ink[1] == pytest.approx(ink[0], rel=0.03)


def test_a_page_with_more_characters_than_anyone_reads_is_read_as_it_looks(pool: DecodingPool) -> None:
    text = text_of(born([[(60, 60, "x" * 200)] * 300]), pool)
    assert (text.rows, text.is_sound) == ((), False)
