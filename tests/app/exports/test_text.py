"""Plain text, and what holds for all formats."""

import re

import pytest

from app.exports import EXPORTS, Document
from app.exports.base import printable
from tests.app.exports.documents import DOCUMENTS, HOSTILE, PROSE, every_document


def text(name: str) -> str:
    return EXPORTS["text"].render(DOCUMENTS[name]).decode()


def test_the_formats_are_those_that_clients_know() -> None:
    assert {name: (export.mimetype, export.extension) for name, export in EXPORTS.items()} == {
        "text": ("text/plain", ".txt"),
        "hocr": ("text/vnd.hocr+html", ".hocr"),
        "alto": ("application/xml", ".xml"),
        "tsv": ("text/tab-separated-values", ".tsv"),
        "markdown": ("text/markdown", ".md"),
        "pdf": ("application/pdf", ".pdf"),
    }


@every_document
@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_document_is_the_same_bytes(name: str, sample: Document) -> None:
    assert EXPORTS[name].render(sample) == EXPORTS[name].render(sample)


def test_paragraphs_and_pages() -> None:
    assert text("prose") == "\n".join(PROSE)
    assert text("paragraphs") == "\n".join(PROSE) + "\n\nA second one.\nOf two lines."
    assert text("pages") == "\n".join(PROSE) + "\n\f\fLast page."


def test_no_lines() -> None:
    assert text("nothing") == text("blanks") == ""
    assert text("caption") == "a dog\nwith a <ball> in its mouth"
    assert text("caption of pages") == "two dogs\n\nand a cat"


def test_a_line_stays_one_line_of_characters() -> None:
    assert text("hostile").splitlines() == [printable(HOSTILE), "plain"]
    assert printable(HOSTILE) == "a\ufffdb c\ufffdd \ufffd \ufffd ]]> <b>&amp;</b> \"q\" 'q'  x y z  \ufffd"
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", printable(HOSTILE))
