"""Write app/exports/glyphless.ttf: glyphs that are as wide as letters and have nothing to draw.

    pip install fonttools==4.68.0
    python tests/app/exports/make_glyphless.py

The service only reads the file, so that fonttools is needed by nobody else.
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph

WIDTHS = {".notdef": 500, "none": 0, "half": 500, "full": 1000}
ASCENT, DESCENT = 800, 200


def glyph(width: int) -> Glyph:
    """Return a stroke from corner to corner, which has no area.

    Readers of PDF mark what is selected or found by the extent of the glyphs: of nothing at all there would be none,
    and PDFium does not even see a letter that stands alone.
    """
    pen = TTGlyphPen(None)
    if width:
        pen.moveTo((0, -DESCENT))
        pen.lineTo((width, ASCENT))
        pen.closePath()
    return pen.glyph()


def main() -> None:
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(WIDTHS))
    builder.setupCharacterMap({})
    builder.setupGlyf({name: glyph(width) for name, width in WIDTHS.items()})
    builder.setupHorizontalMetrics({name: (width, 0) for name, width in WIDTHS.items()})
    builder.setupHorizontalHeader(ascent=ASCENT, descent=-DESCENT)
    builder.setupNameTable({"familyName": "Glyphless", "styleName": "Regular", "psName": "Glyphless"})
    builder.setupOS2(sTypoAscender=ASCENT, sTypoDescender=-DESCENT, usWinAscent=ASCENT, usWinDescent=DESCENT)
    builder.setupPost(keepGlyphNames=False)
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    builder.save(Path(__file__).parents[3] / "app" / "exports" / "glyphless.ttf")


if __name__ == "__main__":
    main()
