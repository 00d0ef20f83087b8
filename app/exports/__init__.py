"""Export formats: an answer as a file for other programs, with one module for each format.

The modules know neither HTTP nor models. Models give a confidence for each line, so each word gets that of its line.
"""

from app.exports import alto, hocr, markdown, pdf, text, tsv
from app.exports.base import Document, Export, Page

__all__ = ["EXPORTS", "Document", "Export", "Page"]

EXPORTS: dict[str, Export] = {
    "text": Export("text/plain", ".txt", text.render),
    "hocr": Export("text/vnd.hocr+html", ".hocr", hocr.render),
    "alto": Export("application/xml", ".xml", alto.render),
    "tsv": Export("text/tab-separated-values", ".tsv", tsv.render),
    "markdown": Export("text/markdown", ".md", markdown.render),
    "pdf": Export("application/pdf", ".pdf", pdf.render),
}
"""The formats, by the names that clients use."""
