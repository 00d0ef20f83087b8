"""Plain text in UTF-8: a blank line between paragraphs, and a form feed between pages as tesseract and pdftotext have.

Tesseract's page separator: https://github.com/tesseract-ocr/tesseract/blob/main/src/api/renderer.cpp
"""

from app.exports.base import Document, Page, printable


def render(document: Document) -> bytes:
    """Write a document's text in UTF-8, without a newline at the end, because it is an answer and not a file."""
    if document.caption:
        return document.caption.encode()
    return "\f".join(map(_page, document.pages)).rstrip("\n").encode()


def _page(page: Page) -> str:
    paragraphs = ("".join(f"{printable(line.text)}\n" for line in paragraph) for paragraph in page.paragraphs)
    return "\n".join(paragraphs)
