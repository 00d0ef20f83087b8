"""Scripts that are written from right to left, as Hebrew and Arabic are.

Unicode's bidirectional algorithm, https://www.unicode.org/reports/tr9/, as `python-bidi` has it.
"""

import unicodedata

from bidi import get_display


def right_to_left(text: str) -> bool:
    """True when most letters are of a script that is written from right to left."""
    kinds = [unicodedata.bidirectional(char) for char in text]
    return sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L")


def visual_order(text: str) -> str:
    """Return the characters of a line from its left end to its right end, as they stand on the page."""
    return str(get_display(text, base_dir="R" if right_to_left(text) else "L"))
