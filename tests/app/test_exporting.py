"""The searchable PDF of a PDF: the file, with the text of the pages that were read."""

import dataclasses
import io
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import ImageChops

from app.decoding.documents import PdfPages, open_pages
from app.decoding.pdf_layers import lay_over
from app.decoding.pool import DecodingPool
from app.errors import InvalidImage
from app.exporting import export
from app.exports.pdf import layers
from app.types import Answer, Page
from models.reading.text_layer import lines_of
from tests.app.exports.documents import program
from tests.app.test_pdf_text import LIMITS, Run, born, pool, prose, scan

__all__ = ["pool"]


def made(data: bytes, pages: Sequence[Page], pool: DecodingPool) -> bytes:
    answer = Answer("", "rapidocr", tuple(pages))
    return export(answer, "pdf", data, partial(open_pages, data, LIMITS, pool), lambda: None)


def page_of(runs: Sequence[Run], pool: DecodingPool, number: int = 0, turn: int = 0, is_read: bool = True) -> Page:
    """Return what a perfect reader says of a page of these runs."""
    with open_pages(born([runs], turn), LIMITS, pool) as pages:
        text = pages.text(0)
        assert text is not None
        width, height = pages.size(0)
        lines = tuple(lines_of(text.rows, text.size))
        return Page(width, height, "", 1.0, lines, None, pages.points(0), number, is_read)


def checked(data: bytes, folder: Path) -> list[str]:
    """Have qpdf check a PDF; return the lines that pdftotext finds on each page."""
    path = folder / "searchable.pdf"
    path.write_bytes(data)
    report = subprocess.run([program("qpdf"), "--check", path], capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stdout + report.stderr
    text = subprocess.run([program("pdftotext"), path, "-"], capture_output=True, text=True, check=True).stdout
    return text.split("\f")[:-1]


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


def test_a_scan_is_found_line_by_line_and_hardly_grows(pool: DecodingPool, tmp_path: Path) -> None:
    data = born([[], []], image=scan())
    result = made(data, [page_of(prose(), pool, 0), page_of(prose(), pool, 1)], pool)
    for page in checked(result, tmp_path):
        assert lines(page) == [words for _, _, words in prose()]
    assert len(result) < 1.15 * len(data)
    with pikepdf.open(io.BytesIO(data)) as before, pikepdf.open(io.BytesIO(result)) as after:
        for old, new in zip(before.pages, after.pages, strict=True):
            images = [page.Resources.XObject.Image.read_raw_bytes() for page in (old, new)]
            assert images[0] == images[1]
    for before, after in zip(pypdfium2.PdfDocument(data), pypdfium2.PdfDocument(result), strict=True):
        images = [page.render(scale=1).to_pil().convert("RGB") for page in (before, after)]
        assert ImageChops.difference(*images).getbbox() is None


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_the_layer_lies_where_the_page_is_shown(turn: int, pool: DecodingPool, tmp_path: Path) -> None:
    runs = prose(rows=5)
    result = made(born([[]], turn, image=scan()), [page_of(runs, pool, turn=turn)], pool)
    assert sorted(lines(checked(result, tmp_path)[0])) == sorted(words for _, _, words in runs)
    with open_pages(result, LIMITS, pool) as pages, open_pages(born([runs], turn), LIMITS, pool) as wanted:
        found, there = pages.text(0), wanted.text(0)
        assert found is not None
        assert there is not None
        for line, like in zip(lines_of(found.rows, found.size), lines_of(there.rows, there.size), strict=True):
            assert line.text == like.text
            for point, other in zip(line.polygon, like.polygon, strict=True):
                assert point == pytest.approx(other, abs=0.02)


def test_only_pages_that_were_read_get_a_layer_and_the_rest_stays(pool: DecodingPool, tmp_path: Path) -> None:
    with pikepdf.open(io.BytesIO(born([prose(rows=3), [], prose(900, 2)]))) as document:
        document.docinfo["/Title"] = "Minutes"
        with document.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Second", 1))
        buffer = io.BytesIO()
        document.save(buffer)
    data = buffer.getvalue()
    said = [
        page_of(prose(rows=3), pool, 0, is_read=False),
        page_of(prose(500, 2), pool, 1),
        page_of(prose(900, 2), pool, 2, is_read=False),
    ]
    result = made(data, said, pool)
    found = [lines(page) for page in checked(result, tmp_path)]
    assert found == [[words for *_, words in runs] for runs in (prose(rows=3), prose(500, 2), prose(900, 2))]
    with pikepdf.open(io.BytesIO(result)) as document:
        assert str(document.docinfo["/Title"]) == "Minutes"
        with document.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Second"]
    some = [lines(page) for page in checked(made(data, said[1:], pool), tmp_path)]
    assert some == found[1:]


def test_a_pdf_of_which_no_page_was_read_stays_as_it_is(pool: DecodingPool) -> None:
    data = born([prose(rows=3)])
    assert made(data, [page_of(prose(rows=3), pool, is_read=False)], pool) == data


def test_what_stands_on_a_scan_as_text_is_not_laid_over_it_again(pool: DecodingPool, tmp_path: Path) -> None:
    stamp = (60.0, 820.0, "Received 14 May")
    data = born([[stamp]], image=scan(3))
    result = made(data, [page_of([*prose(rows=3), stamp], pool)], pool)
    assert sorted(lines(checked(result, tmp_path)[0])) == sorted(words for *_, words in (*prose(rows=3), stamp))


def test_a_pdf_that_cannot_be_written_again_is_made_of_its_images(
    pool: DecodingPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidImage, match="no text can be laid over it"):
        lay_over(b"%PDF-1.7 but nothing else", layers([]), [], [])

    def refuse(*_: object) -> bytes:
        raise InvalidImage("broken")

    monkeypatch.setattr(PdfPages, "laid_over", refuse)
    page = page_of(prose(rows=3), pool)
    found = checked(made(born([[]], image=scan(3)), [page], pool), tmp_path)
    assert lines(found[0]) == [words for *_, words in prose(rows=3)]


@pytest.mark.parametrize(
    ("format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "L"), ("PNG", "1"), ("TIFF", "1")]
)
def test_the_pdf_of_an_image_is_hardly_larger(format: str, mode: str, pool: DecodingPool, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    options = {"JPEG": {"quality": 60}, "PNG": {"optimize": True}, "TIFF": {"compression": "group4"}}[format]
    scan().resize((1654, 2340)).convert(mode).save(buffer, format, **options)
    data = buffer.getvalue()
    page = dataclasses.replace(page_of(prose(), pool), width=1654, height=2340, points=None)
    result = made(data, [page], pool)
    assert lines(checked(result, tmp_path)[0]) == [words for *_, words in prose()]
    assert len(result) < 1.15 * len(data)
