"""Full-width punctuation in Latin text: a recogniser that also reads Chinese takes one width for the other."""

import unicodedata

_WIDE = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFF5F)} | {ord("…"): "..."}
_IDEOGRAPHS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


def plain_widths(text: str) -> str:
    """Return a text without ideographs or kana with ASCII in place of full-width characters and of the ellipsis."""
    wide = text.translate(_WIDE)
    return text if wide == text or has_ideographs(text) else wide


def has_ideographs(text: str) -> bool:
    """Tell whether a text has ideographs, kana or hangul."""
    return any(unicodedata.name(letter, "").startswith(_IDEOGRAPHS) for letter in text)
