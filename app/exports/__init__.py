"""What was read, as a file for other programs: one module for each format.

They know neither HTTP nor models.  Whatever confidence a model gives is that of a line, so each word has its line's.
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
"""By the name that a client asks for."""
