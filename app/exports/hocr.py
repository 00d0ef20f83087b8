"""hOCR 1.2 as well-formed XHTML: https://kba.github.io/hocr-spec/1.2/.

A paragraph is a content area of its own. Pages, areas, lines and words have a `bbox`. Lines have a `baseline`, or a
`textangle` if they are too steep for one.
"""

import math
from xml.etree import ElementTree as ET

from app.exports.base import PRODUCER, Document, Page, printable
from app.exports.layout import Block, Box, TextLine, blocks

_CAPABILITIES = "ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf"


def render(document: Document) -> bytes:
    """Write a document. A caption, which has no position on the page, becomes the text of its image."""
    html = ET.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    _head(ET.SubElement(html, "head"), document)
    body = ET.SubElement(html, "body")
    for number, page in enumerate(document.pages, 1):
        division = _page(body, number, page)
        if number == 1 and document.caption:
            _caption(division, page, document.caption)
    ET.indent(html)
    content = ET.tostring(html, "unicode")
    # This document type is valid in XML and in HTML.
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n{content}\n'.encode()


def _head(head: ET.Element, document: Document) -> None:
    ET.SubElement(head, "title").text = f"Text read by {printable(document.model)}"
    ET.SubElement(head, "meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    capabilities = f"{_CAPABILITIES} ocr_image" if document.caption else _CAPABILITIES
    for name, content in (
        ("ocr-system", f"{PRODUCER}, {printable(document.model)}"),
        ("ocr-capabilities", capabilities),
        ("ocr-number-of-pages", str(len(document.pages))),
        ("ocr-langs", "unknown"),
        ("ocr-scripts", "unknown"),
    ):
        ET.SubElement(head, "meta", {"name": name, "content": content})


def _page(body: ET.Element, number: int, page: Page) -> ET.Element:
    title = f"{_bbox(Box(0, 0, page.width, page.height))}; ppageno {number - 1}"
    element = ET.SubElement(body, "div", {"class": "ocr_page", "id": f"page_{number}", "title": title})
    # Text keeps an empty page from becoming <div/>, which HTML parsers take for an open <div>.
    element.text = "\n"
    for position, block in enumerate(blocks(page), 1):
        _block(element, f"{number}_{position}", block)
    return element


def _block(page: ET.Element, number: str, block: Block) -> None:
    title = _bbox(block.box)
    area = ET.SubElement(page, "div", {"class": "ocr_carea", "id": f"block_{number}", "title": title})
    paragraph = ET.SubElement(area, "p", {"class": "ocr_par", "id": f"par_{number}", "title": title})
    for position, line in enumerate(block.lines, 1):
        _line(paragraph, f"{number}_{position}", line)


def _line(paragraph: ET.Element, number: str, line: TextLine) -> None:
    title = f"{_bbox(line.box)}; {_slope(line)}"
    element = ET.SubElement(paragraph, "span", {"class": "ocr_line", "id": f"line_{number}", "title": title})
    if line.right_to_left:
        element.set("dir", "rtl")
    for position, word in enumerate(line.words, 1):
        title = f"{_bbox(word.box)}; x_wconf {round(100 * line.confidence)}"
        attributes = {"class": "ocrx_word", "id": f"word_{number}_{position}", "title": title}
        ET.SubElement(element, "span", attributes).text = word.text


def _caption(element: ET.Element, page: Page, caption: str) -> None:
    title = _bbox(Box(0, 0, page.width, page.height))
    image = ET.SubElement(element, "div", {"class": "ocr_image", "id": "image_1", "title": title})
    for line in caption.split("\n"):
        if line:
            ET.SubElement(image, "p").text = line


def _bbox(box: Box) -> str:
    return f"bbox {box.left} {box.top} {box.right} {box.bottom}"


def _slope(line: TextLine) -> str:
    """Say where the baseline runs, from the bottom left of the line's box; or how steep it is, counterclockwise."""
    if abs(math.sin(line.angle)) > abs(math.cos(line.angle)) or math.cos(line.angle) < 0:
        return f"textangle {-math.degrees(line.angle) % 360:.2f}"
    (x0, y0), (x1, y1) = line.baseline
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    offset = round(y0 - line.box.bottom - slope * (x0 - line.box.left))
    # Adding 0.0 turns -0.0 into 0.0.
    return f"baseline {round(slope, 3) + 0.0:g} {offset}"
