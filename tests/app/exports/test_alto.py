"""ALTO, against the rules of ALTO 4.4's schema for the elements that are written here."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from app.exports import EXPORTS, Document
from app.exports.alto import NAMESPACE
from app.exports.base import printable
from tests.app.exports.documents import DOCUMENTS, every_document

PREFIX = f"{{{NAMESPACE}}}"
LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"


@dataclass(frozen=True)
class Rule:
    """What an element may contain, as a regular expression of names, and its attributes."""

    children: str = ""
    required: str = ""
    allowed: str = ""
    text: str | None = None


AREA = "HEIGHT WIDTH HPOS VPOS"
REFERENCES = "STYLEREFS TAGREFS PROCESSINGREFS"
BLOCK = f"{AREA} {REFERENCES} ROTATION IDNEXT CS"
RULES = {
    "alto": Rule("(Description )?(Styles )?(Tags )?(ReadingOrder )?Layout ", allowed=f"SCHEMAVERSION {LOCATION}"),
    "Description": Rule("MeasurementUnit (sourceImageInformation )?(OCRProcessing )*(Processing )*"),
    "MeasurementUnit": Rule(text="pixel|mm10|inch1200"),
    "Processing": Rule(
        "(processingCategory )?(processingDateTime )?(processingAgency )?(processingStepDescription )*"
        "(processingStepSettings )?(processingSoftware )?",
        required="ID",
    ),
    "processingCategory": Rule(text="contentGeneration|contentModification|preOperation|postOperation|other"),
    "processingStepSettings": Rule(text=".*"),
    "processingSoftware": Rule("(softwareCreator )?(softwareName )?(softwareVersion )?(applicationDescription )?"),
    "softwareName": Rule(text=".*"),
    "Tags": Rule("((Layout|Structure|Role|NamedEntity|Other)Tag )*"),
    "OtherTag": Rule("(XmlData )?", required="ID LABEL", allowed="TYPE DESCRIPTION URI"),
    "Layout": Rule("(Page )+", allowed="STYLEREFS"),
    "Page": Rule(
        "(TopMargin )?(LeftMargin )?(RightMargin )?(BottomMargin )?(PrintSpace )?",
        required="ID PHYSICAL_IMG_NR",
        allowed="HEIGHT WIDTH PAGECLASS STYLEREFS PROCESSINGREFS PRINTED_IMG_NR QUALITY POSITION PROCESSING PC",
    ),
    "PrintSpace": Rule(
        "(Shape )?((TextBlock|Illustration|GraphicalElement|ComposedBlock) )*",
        allowed=f"ID STYLEREFS PROCESSINGREFS {AREA}",
    ),
    "Illustration": Rule("(Shape )?", required="ID", allowed=f"{BLOCK} TYPE FILEID"),
    "TextBlock": Rule("(Shape )?(TextLine )*", required="ID", allowed=f"{BLOCK} LANG BASEDIRECTION"),
    "TextLine": Rule(
        "(Shape )?(String (SP )?)+(HYP )?", allowed=f"ID {REFERENCES} {AREA} BASELINE LANG CS BASEDIRECTION"
    ),
    "Shape": Rule("(Polygon|Ellipse|Circle) "),
    "Polygon": Rule(required="POINTS"),
    "String": Rule(
        "(Shape )?(ALTERNATIVE )*(Glyph )*",
        required="CONTENT",
        allowed=f"ID {REFERENCES} {AREA} STYLE SUBS_TYPE SUBS_CONTENT WC CC CS LANG",
    ),
    "SP": Rule(allowed=f"ID {AREA}"),
}
FLOAT = r"\d+(\.\d+)?"
TYPES = {
    **dict.fromkeys([*AREA.split(), "PHYSICAL_IMG_NR"], FLOAT),
    "WC": r"0(\.\d+)?|1",
    "ID": r"[A-Za-z_][\w.-]*",
    "POINTS": r"(-?\d+,-?\d+ ){2,}-?\d+,-?\d+",
    "BASELINE": r"(-?\d+,-?\d+ )+-?\d+,-?\d+",
    "BASEDIRECTION": "ltr|rtl|ttb|btt",
}


def read(sample: Document) -> ET.Element:
    return ET.fromstring(EXPORTS["alto"].render(sample))


def area(element: ET.Element) -> list[float] | None:
    if element.get("HPOS") is None:
        return None
    left, top, width, height = (float(element.attrib[name]) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    return [left, top, left + width, top + height]


def check(element: ET.Element, outer: list[float] | None = None) -> None:
    name = element.tag.removeprefix(PREFIX)
    rule = RULES[name]
    names = "".join(f"{child.tag.removeprefix(PREFIX)} " for child in element)
    assert re.fullmatch(rule.children, names), f"{name}: {names}"
    assert set(rule.required.split()) <= set(element.attrib) <= set(f"{rule.required} {rule.allowed}".split()), name
    assert re.fullmatch(rule.text or r"\s*", element.text or ""), f"{name}: {element.text}"
    for key, value in element.attrib.items():
        assert re.fullmatch(TYPES.get(key, ".*"), value), f"{name} {key}: {value}"
    inner = area(element) or outer
    if inner and outer:
        assert outer[0] <= inner[0] < inner[2] <= outer[2]
        assert outer[1] <= inner[1] < inner[3] <= outer[3]
    for child in element:
        check(child, inner)


@every_document
def test_it_follows_the_schema(sample: Document) -> None:
    root = read(sample)
    assert root.tag == f"{PREFIX}alto"
    check(root)
    ids = [value for element in root.iter() if (value := element.get("ID"))]
    assert len(ids) == len(set(ids))
    references = [value for element in root.iter() if (value := element.get("TAGREFS"))]
    assert set(references) <= set(ids)
    numbers = [element.get("PHYSICAL_IMG_NR") for element in root.iter(f"{PREFIX}Page")]
    assert numbers == [str(number) for number in range(1, len(sample.pages) + 1)]


@pytest.mark.parametrize("name", ["prose", "hostile", "scripts", "columns", "long"])
def test_words_in_reading_order(name: str) -> None:
    sample = DOCUMENTS[name]
    words = [element.get("CONTENT") for element in read(sample).iter(f"{PREFIX}String")]
    assert words == [word for found in sample.pages[0].lines for word in printable(found.text).split()]


def test_confidences_are_shares() -> None:
    assert {element.get("WC") for element in read(DOCUMENTS["prose"]).iter(f"{PREFIX}String")} == {"0.875"}


def test_only_lines_that_are_not_upright_rectangles_have_a_shape() -> None:
    assert not list(read(DOCUMENTS["prose"]).iter(f"{PREFIX}Shape"))
    polygons = list(read(DOCUMENTS["slanted"]).iter(f"{PREFIX}Polygon"))
    assert len(polygons) == 3
    assert polygons[0].attrib["POINTS"].startswith("200,300 ")


def test_right_to_left() -> None:
    found = [element.get("BASEDIRECTION") for element in read(DOCUMENTS["scripts"]).iter(f"{PREFIX}TextLine")]
    assert found[-3:] == [None, "rtl", "rtl"]


def test_a_caption_is_a_tag_of_the_image() -> None:
    root = read(DOCUMENTS["caption"])
    (tag,) = root.iter(f"{PREFIX}OtherTag")
    (illustration,) = root.iter(f"{PREFIX}Illustration")
    assert tag.get("DESCRIPTION") == "a dog with a <ball> in its mouth"
    assert illustration.get("TAGREFS") == tag.get("ID")
