"""ALTO 4.4: https://www.loc.gov/standards/alto/v4/alto-4-4.xsd.

A paragraph is a `TextBlock`.  A line that is not an upright rectangle has its quadrilateral as `Shape`.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from app.exports.base import PRODUCER, Document, Page, printable
from app.exports.layout import Block, Box, Point, TextLine, blocks

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"
_CAPTION = "caption"


def render(document: Document) -> bytes:
    """Write a document. A caption, which has no position on the page, becomes a tag of the image."""
    alto = ET.Element(
        "alto",
        {
            "xmlns": NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{NAMESPACE} {_SCHEMA}",
            "SCHEMAVERSION": "4.4",
        },
    )
    _description(alto, document.model)
    if document.caption:
        tags = ET.SubElement(alto, "Tags")
        description = " ".join(document.caption.split("\n"))
        ET.SubElement(tags, "OtherTag", {"ID": _CAPTION, "LABEL": "caption", "DESCRIPTION": description})
    layout = ET.SubElement(alto, "Layout")
    for number, page in enumerate(document.pages, 1):
        _page(layout, number, page, tagged=number == 1 and bool(document.caption))
    ET.indent(alto)
    content = ET.tostring(alto, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{content}\n'.encode()


def _description(alto: ET.Element, model: str) -> None:
    description = ET.SubElement(alto, "Description")
    ET.SubElement(description, "MeasurementUnit").text = "pixel"
    # Processing replaces OCRProcessing, which version 4 deprecates.
    processing = ET.SubElement(description, "Processing", {"ID": "processing_1"})
    ET.SubElement(processing, "processingCategory").text = "contentGeneration"
    ET.SubElement(processing, "processingStepSettings").text = f"model: {printable(model)}"
    software = ET.SubElement(processing, "processingSoftware")
    ET.SubElement(software, "softwareName").text = PRODUCER


def _page(layout: ET.Element, number: int, page: Page, *, tagged: bool) -> None:
    whole = Box(0, 0, page.width, page.height)
    size = {"WIDTH": str(page.width), "HEIGHT": str(page.height)}
    attributes = {"ID": f"page_{number}", "PHYSICAL_IMG_NR": str(number), **size}
    element = ET.SubElement(layout, "Page", attributes)
    space = ET.SubElement(element, "PrintSpace", _position(whole))
    if tagged:
        attributes = {"ID": f"illustration_{number}", "TAGREFS": _CAPTION, **_position(whole)}
        ET.SubElement(space, "Illustration", attributes)
    for position, block in enumerate(blocks(page), 1):
        _block(space, f"{number}_{position}", block)


def _block(space: ET.Element, number: str, block: Block) -> None:
    element = ET.SubElement(space, "TextBlock", {"ID": f"block_{number}", **_position(block.box)})
    for position, line in enumerate(block.lines, 1):
        _line(element, f"{number}_{position}", line)


def _line(block: ET.Element, number: str, line: TextLine) -> None:
    attributes = {"ID": f"line_{number}", **_position(line.box), "BASELINE": _points(line.baseline)}
    if line.right_to_left:
        attributes["BASEDIRECTION"] = "rtl"
    element = ET.SubElement(block, "TextLine", attributes)
    left, top, right, bottom = line.box
    rectangle = ((left, top), (right, top), (right, bottom), (left, bottom))
    if {(round(x), round(y)) for x, y in line.corners} != set(rectangle):
        ET.SubElement(ET.SubElement(element, "Shape"), "Polygon", {"POINTS": _points(line.corners)})
    for position, word in enumerate(line.words, 1):
        if position > 1:
            ET.SubElement(element, "SP")
        attributes = {"ID": f"string_{number}_{position}", **_position(word.box)}
        ET.SubElement(element, "String", {**attributes, "CONTENT": word.text, "WC": f"{line.confidence:.3g}"})


def _position(box: Box) -> dict[str, str]:
    values = {"HPOS": box.left, "VPOS": box.top, "WIDTH": box.width, "HEIGHT": box.height}
    return {name: str(value) for name, value in values.items()}


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{round(x)},{round(y)}" for x, y in points)
