"""Raised digits, as of footnotes, that a recogniser takes for characters that look alike."""

import re

# The feminine ordinal follows a number or an abbreviation, such as "M.ª", and no word.
_FOUR = re.compile(r"([^\W\d_]{4}[.,;:!?)”\"]?)ª")
_ONE = re.compile(r"(?<=\w)['’`](?=[⁰¹²³⁴-⁹])")


def raised(text: str) -> str:
    """Return a text with raised digits in place of what looks like them."""
    return _ONE.sub("¹", _FOUR.sub(r"\1⁴", text))
