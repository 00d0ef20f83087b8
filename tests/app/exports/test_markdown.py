"""Markdown, read by markdown-it-py."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from app.exports import EXPORTS, Document
from app.exports.base import printable
from models.found import Part
from tests.app.exports.documents import DOCUMENTS, HOSTILE, PROSE, TABLE, document, every_document, lines, page, row

# GitHub's extensions of CommonMark, which make more characters special.
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read(sample: Document) -> list[list[list[str]]]:
    """Return the pages, their paragraphs and their lines; anything but text, breaks and rules is an error."""
    pages: list[list[list[str]]] = [[]]
    for token in READER.parse(EXPORTS["markdown"].render(sample).decode()):
        if token.type == "hr":
            pages.append([])
        elif token.type == "inline":
            paragraph = [""]
            for child in token.children or []:
                assert child.type in ("text", "text_special", "hardbreak"), child
                if child.type == "hardbreak":
                    paragraph.append("")
                paragraph[-1] += child.content
            pages[-1].append(paragraph)
        else:
            assert token.type in ("paragraph_open", "paragraph_close"), token
    return pages


@every_document
def test_a_reader_sees_the_lines_as_they_are(sample: Document) -> None:
    if sample.caption:
        paragraphs = [paragraph.split("\n") for paragraph in sample.caption.split("\n\n")]
        assert read(sample) == [paragraphs]
    else:
        assert read(sample) == [
            [[printable(found.text) for found in paragraph] for paragraph in page.paragraphs] for page in sample.pages
        ]


def test_the_source_is_readable() -> None:
    source = EXPORTS["markdown"].render(DOCUMENTS["pages"]).decode()
    assert source == "\\\n".join(PROSE) + "\n\n***\n\n\n***\n\nLast page.\n"


@pytest.mark.parametrize(
    "text",
    [
        "# no heading",
        "> no quote",
        "- no list",
        "+ no list",
        "* no list",
        "12. no list",
        "12) no list",
        "---",
        "***",
        "===",
        "```",
        "~~~",
        "| a | b |",
        "*a* _b_ __c__ ~~d~~ `e`",
        "[a](b) ![c](d) <https://e.example> [f]: g",
        "<b>bold</b> <!-- x -->",
        "&amp; &#38; AT&T & co",
        "ends in a backslash\\",
        "\\*",
        "$5 and $10",
        "a_b_c 2*3*4",
        "1986 was great. 3.5",
        HOSTILE,
    ],
)
def test_special_characters_are_text(text: str) -> None:
    # Also below another line, where "===" and "---" would make a heading and "|" a table of it.
    assert read(document(page(*lines(text, text, "plain", text)))) == [
        [[printable(text), printable(text), "plain", printable(text)]]
    ]


def test_a_table_needs_more_than_bars() -> None:
    assert read(document(page(*lines("a | b", "--- | ---", "1 | 2")))) == [[["a | b", "--- | ---", "1 | 2"]]]


def test_the_lines_of_a_cell_are_one_cell() -> None:
    head, below = row("Item", "Sum", is_row=True), row("Rope", "4.00", is_row=True)
    wrapped = replace(below, parts=(below.parts[0], Part("blue", 0.8, below.parts[0].polygon, 0), below.parts[1]))
    source = EXPORTS["markdown"].render(document(page(head, wrapped))).decode()
    assert source == "| Item | Sum |\n| --- | --- |\n| Rope blue | 4.00 |\n"


def test_rows_of_a_table_are_a_table() -> None:
    source = EXPORTS["markdown"].render(TABLE).decode()
    assert source == (
        "| Item | Qty | Sum |\n| --- | --- | --- |\n| Rope \\| blue | 40 | 48.00 |\n| Total |  | 48.00 |\n"
    )
    kinds = [token.type for token in READER.parse(source)]
    assert (kinds.count("table_open"), kinds.count("th_open"), kinds.count("td_open")) == (1, 3, 6)
