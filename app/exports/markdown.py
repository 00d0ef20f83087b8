"""Markdown, as in https://spec.commonmark.org/0.31.2/, that also reads the same with GitHub's extensions.

Hard breaks keep the lines of a paragraph. Joining lines would suit prose, but would run the rows of a receipt, an
address or a poem together, and an image does not tell for certain which of them it shows. A break too many does less
harm than one too few.  Tables are GitHub's, https://github.github.com/gfm/#tables-extension-.
"""

import re

from app.exports.base import Document, Page, printable
from models.found import Line

# Not "---", which at the beginning of a file opens a block of metadata for many programs.
_RULE = "\n***\n\n"
_INLINE = re.compile(r"[\\`*_\[\]<~|$]|&(?=#?\w+;)")
# Headings, quotes, lists and fences, which are marked only at the beginning of a line.
_AT_START = re.compile(r"^([#>+=-]|\d+(?=[.)]))")


def render(document: Document) -> bytes:
    """Write a document's text so that a Markdown reader shows its characters as they are; a rule between pages."""
    if document.caption:
        paragraphs = re.split(r"\n{2,}", document.caption)
        return "\n".join(_paragraph(paragraph.split("\n")) for paragraph in paragraphs).encode()
    return _RULE.join(map(_page, document.pages)).encode()


def _page(page: Page) -> str:
    return "\n".join(map(_block, page.paragraphs))


def _block(lines: list[Line]) -> str:
    """A paragraph, or a table where the lines are its rows."""
    if not lines[0].is_row:
        return _paragraph([printable(line.text) for line in lines])
    columns = 1 + max(part.column for line in lines for part in line.parts)
    head, *rows = (_row(line, columns) for line in lines)
    return "\n".join([head, "|" + " --- |" * columns, *rows, ""])


def _row(line: Line, columns: int) -> str:
    """A row of a table, whose first is its head: Markdown has no table without one."""
    cells = {cell.column: _escape_inline(printable(cell.text)) for cell in line.cells()}
    return f"| {' | '.join(cells.get(column, '') for column in range(columns))} |"


def _paragraph(lines: list[str]) -> str:
    return "\\\n".join(map(_escape, lines)) + "\n"


def _escape_inline(text: str) -> str:
    return _INLINE.sub(r"\\\g<0>", text)


def _escape(line: str) -> str:
    line = _escape_inline(line)
    # In "1." the point is escaped, because a backslash before a digit is an ordinary character.
    return _AT_START.sub(lambda match: match[0] + "\\" if match[0].isdigit() else "\\" + match[0], line)
