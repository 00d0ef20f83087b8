"""The searchable PDF of a PDF: the file, with the text of the pages that were read."""

import io
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import ImageChops

from app.decoding.documents import open_pages
from app.decoding.pool import DecodingPool
from app.exporting import export
from app.types import Answer, Page
from models.base import Line
from models.reading.known import lines_of
from tests.app.exports.documents import program
from tests.app.test_documents import written_pdf
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
            assert new.images["/Image"].read_raw_bytes() == old.images["/Image"].read_raw_bytes()
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
        assert found is not None and there is not None
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


def test_a_pdf_that_cannot_be_written_again_is_made_of_its_images(pool: DecodingPool, tmp_path: Path) -> None:
    # PDFium finds the page without the catalogue's help.
    data = written_pdf().replace(b"/Kids [4 0 R]", b"/Kids [4 0 R] /Kids 7")
    text = "some words"
    line = Line(text, 1.0, ((0.1, 0.1), (0.9, 0.1), (0.9, 0.2), (0.1, 0.2)))
    with open_pages(data, LIMITS, pool) as pages:
        pages.image(0)
        width, height = pages.size(0)
        page = Page(width, height, text, 1.0, (line,), None, pages.points(0))
    assert lines(checked(made(data, [page], pool), tmp_path)[0]) == [text]
