"""A PDF font for text that is searched and copied but never drawn, in any script: its glyphs have widths and no shape.

The idea is tesseract's (https://github.com/tesseract-ocr/tesseract/blob/main/doc/pdf.md).  Each character of a document
gets a code of its own, which /ToUnicode maps back to the character: ISO 32000-1, sections 9.7 and 9.10.3.
"""

from collections.abc import Iterator
from pathlib import Path

import pydyf  # type: ignore[import-untyped]

from app.exports.layout import advances

# Written by tests/app/exports/make_glyphless.py.  Glyphs 1, 2 and 3 are 0, 500 and 1000 units wide.
_FILE = Path(__file__).parent / "glyphless.ttf"
_NAME = "Glyphless"
# Of 1000 units, the font's size.
_ASCENT, _DESCENT = 800, 200
_CODES = 0x10000
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class GlyphlessFont:
    """One font for the whole document.  Its dictionary may be referred to at once and is complete after `finish`."""

    def __init__(self, pdf: pydyf.PDF) -> None:
        self._pdf = pdf
        # Code 0 stands for "not defined".
        self._codes = {_UNKNOWN: 1}
        self.dictionary = pydyf.Dictionary()
        pdf.add_object(self.dictionary)

    def encode(self, text: str) -> str:
        """Return the codes of `text` as a hexadecimal PDF string."""
        return "<" + "".join(f"{self._code(char):04X}" for char in text) + ">"

    def _code(self, char: str) -> int:
        if char not in self._codes and len(self._codes) + 1 == _CODES:
            char = _UNKNOWN
        return self._codes.setdefault(char, len(self._codes) + 1)

    def finish(self) -> None:
        """Write the font. Call this after all texts are encoded."""
        self.dictionary.update(
            {
                "Type": "/Font",
                "Subtype": "/Type0",
                "BaseFont": f"/{_NAME}",
                "Encoding": "/Identity-H",
                "DescendantFonts": pydyf.Array([self._add(self._descendant())]),
                "ToUnicode": self._add(pydyf.Stream([_to_unicode(self._codes)], compress=True)),
            }
        )

    def _descendant(self) -> pydyf.Dictionary:
        widths = [advance for char in self._codes for advance in advances(char)]
        glyphs = b"\0\0" + b"".join((1 + width).to_bytes(2, "big") for width in widths)
        return pydyf.Dictionary(
            {
                "Type": "/Font",
                "Subtype": "/CIDFontType2",
                "BaseFont": f"/{_NAME}",
                "CIDSystemInfo": pydyf.Dictionary({"Registry": "(Adobe)", "Ordering": "(Identity)", "Supplement": 0}),
                "FontDescriptor": self._add(self._descriptor()),
                "CIDToGIDMap": self._add(pydyf.Stream([glyphs], compress=True)),
                "DW": 500,
                "W": pydyf.Array([1, pydyf.Array([500 * width for width in widths])]),
            }
        )

    def _descriptor(self) -> pydyf.Dictionary:
        file = _FILE.read_bytes()
        return pydyf.Dictionary(
            {
                "Type": "/FontDescriptor",
                "FontName": f"/{_NAME}",
                "Flags": 4,  # symbolic: no standard Latin character set
                "FontBBox": pydyf.Array([0, -_DESCENT, 1000, _ASCENT]),
                "ItalicAngle": 0,
                "Ascent": _ASCENT,
                "Descent": -_DESCENT,
                "CapHeight": _ASCENT,
                "StemV": 80,
                "FontFile2": self._add(pydyf.Stream([file], {"Length1": len(file)}, compress=True)),
            }
        )

    def _add(self, item: pydyf.Object) -> bytes:
        self._pdf.add_object(item)
        reference: bytes = item.reference
        return reference


def _to_unicode(codes: dict[str, int]) -> bytes:
    return "\n".join(_cmap(codes)).encode("ascii")


def _cmap(codes: dict[str, int]) -> Iterator[str]:
    yield "/CIDInit /ProcSet findresource begin 12 dict begin begincmap"
    yield "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def"
    yield "/CMapName /Adobe-Identity-UCS def /CMapType 2 def"
    yield "1 begincodespacerange <0000> <FFFF> endcodespacerange"
    pairs = [f"<{code:04X}> <{char.encode('utf-16-be').hex().upper()}>" for char, code in codes.items()]
    # A section has a hundred entries at most.
    for start in range(0, len(pairs), 100):
        section = pairs[start : start + 100]
        yield f"{len(section)} beginbfchar"
        yield from section
        yield "endbfchar"
    yield "endcmap CMapName currentdict /CMap defineresource pop end end"
