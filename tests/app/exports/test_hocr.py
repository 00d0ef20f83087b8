"""hOCR, read as XML and as HTML, against the rules of hOCR 1.2 for what is written here."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from app.exports import EXPORTS, Document
from app.exports.base import printable
from tests.app.exports.documents import DOCUMENTS, HOSTILE, PROSE, document, every_document, line, page

XHTML = "{http://www.w3.org/1999/xhtml}"
# A class, the classes that it lies in, the properties that it must have and those that it may have.
RULES = {
    "ocr_page": ((), {"bbox"}, {"ppageno"}),
    "ocr_image": (("ocr_page",), {"bbox"}, set()),
    "ocr_carea": (("ocr_page",), {"bbox"}, set()),
    "ocr_par": (("ocr_carea",), set(), {"bbox"}),
    "ocr_line": (("ocr_par",), {"bbox"}, {"baseline", "textangle"}),
    "ocrx_word": (("ocr_line",), set(), {"bbox", "x_wconf"}),
}
NUMBER = r"-?\d+(\.\d+)?"
GRAMMAR = {
    "bbox": r"\d+ \d+ \d+ \d+",
    "ppageno": r"\d+",
    "baseline": rf"{NUMBER} {NUMBER}",
    "textangle": NUMBER,
    "x_wconf": NUMBER,
}


def read(sample: Document) -> ET.Element:
    return ET.fromstring(EXPORTS["hocr"].render(sample))


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if element.get("class") == name]


def properties(element: ET.Element) -> dict[str, str]:
    return dict(item.strip().split(" ", 1) for item in element.get("title", "").split(";"))


def bbox(element: ET.Element) -> list[int]:
    return [int(number) for number in properties(element)["bbox"].split()]


def check(element: ET.Element, outer: ET.Element | None) -> None:
    name = element.get("class")
    if name is not None:
        parents, required, allowed = RULES[name]
        assert (outer.get("class") if outer is not None else None) in (parents or (None,))
        found = properties(element)
        assert required <= set(found) <= required | allowed
        for key, value in found.items():
            assert re.fullmatch(GRAMMAR[key], value), f"{key} {value}"
        left, top, right, bottom = bbox(element)
        assert left < right
        assert top < bottom
        if outer is not None:
            around = bbox(outer)
            assert around[0] <= left
            assert around[1] <= top
            assert right <= around[2]
            assert bottom <= around[3]
        outer = element
    for child in element:
        check(child, outer)


@every_document
def test_it_follows_the_rules(sample: Document) -> None:
    root = read(sample)
    assert root.tag == f"{XHTML}html"
    assert [child.tag for child in root] == [f"{XHTML}head", f"{XHTML}body"]
    meta = {element.get("name"): element.get("content") or "" for element in root.iter(f"{XHTML}meta")}
    used = {name for element in root.iter() if (name := element.get("class"))}
    assert meta["ocr-system"]
    assert used <= set(meta["ocr-capabilities"].split())
    assert meta["ocr-number-of-pages"] == str(len(of_class(root, "ocr_page"))) == str(len(sample.pages))
    ids = [value for element in root.iter() if (value := element.get("id"))]
    assert len(ids) == len(set(ids))
    check(root[1], None)


@every_document
def test_a_reader_of_html_sees_the_same(sample: Document) -> None:
    class Reader(HTMLParser):
        """Keeps what elements are open, as HTML has it: only void elements close themselves."""

        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.text = ""

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            assert tag == "meta"

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    source = EXPORTS["hocr"].render(sample).decode()
    reader.feed(source.removeprefix('<?xml version="1.0" encoding="UTF-8"?>'))
    assert reader.open == []
    assert reader.text.split() == "".join(read(sample).itertext()).split()


@pytest.mark.parametrize("name", ["prose", "hostile", "scripts", "columns", "long"])
def test_words_in_reading_order(name: str) -> None:
    sample = DOCUMENTS[name]
    words = [element.text for element in of_class(read(sample), "ocrx_word")]
    assert words == [word for found in sample.pages[0].lines for word in printable(found.text).split()]
    assert "\ud800" in HOSTILE


def test_paragraphs_lines_and_confidences() -> None:
    root = read(DOCUMENTS["paragraphs"])
    assert [len(of_class(area, "ocr_line")) for area in of_class(root, "ocr_par")] == [3, 2]
    # Round half to even.
    assert {properties(word)["x_wconf"] for word in of_class(root, "ocrx_word")} == {"88"}
    assert [properties(found)["ppageno"] for found in of_class(read(DOCUMENTS["pages"]), "ocr_page")] == ["0", "1", "2"]


def test_the_baseline_of_a_slanted_line_is_on_it() -> None:
    (found,) = of_class(read(document(page(line("slanted text", 200, 300, degrees=10)))), "ocr_line")
    slope, offset = map(float, properties(found)["baseline"].split())
    assert slope == pytest.approx(0.176, abs=0.001)
    left, top, _, bottom = bbox(found)
    # The left end of the lower edge is 36 pixels below (200, 300) at right angles to the line.
    at_left_end = bottom + slope * (200 - 36 * 0.174 - left) + offset
    assert 300 + 36 * 0.985 * 0.7 < at_left_end < 300 + 36 * 0.985 * 0.8
    assert top == 300


@pytest.mark.parametrize(("name", "angle"), [("downward", 270), ("upward", 90), ("upside down", 180)])
def test_steep_lines_have_an_angle(name: str, angle: float) -> None:
    found = {float(properties(element)["textangle"]) for element in of_class(read(DOCUMENTS[name]), "ocr_line")}
    assert found == {angle}


def test_right_to_left() -> None:
    root = read(DOCUMENTS["scripts"])
    assert [element.get("dir") for element in of_class(root, "ocr_line")][-3:] == [None, "rtl", "rtl"]


def test_a_caption_is_the_text_of_the_image() -> None:
    (image,) = of_class(read(DOCUMENTS["caption"]), "ocr_image")
    assert [element.text for element in image] == ["a dog", "with a <ball> in its mouth"]
    assert len(PROSE) == len(of_class(read(DOCUMENTS["prose"]), "ocr_line"))
