"""What the texts of a page say of its layout: numbers with their unit, captions, and what is to be ticked."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.reading.geometry import Flags

EMPTY, TICKED = "☐", "☑"  # the characters that stand for check boxes
_AMOUNT = re.compile(r"\W{0,3}[A-Z]{0,3}\W{0,2}[\dO][\d.,:' xX*%-]*\s?\W?\w{0,3}\W?")
_CAPTION = re.compile(
    r"(?:fig(?:ure|ura|\.)?|abb(?:ildung|\.)?|bild|photo|foto|plate|pl\.|tab(?:le|elle|leau|\.)?|chart|map|exhibit)"
    r"(?:\s?[\dIVX]+|\s?:)",
    re.IGNORECASE,
)


class Kinds(NamedTuple):
    """What some texts are, where it is known."""

    amounts: Flags  # (n,), numbers with their unit at most
    captions: Flags  # (n,), the beginnings of captions
    to_tick: Sequence[int] = ()  # the numbers of texts that follow a check box


def kinds_of(texts: Sequence[str]) -> Kinds:
    """Tell what texts are."""
    amounts, captions = map(is_amount, texts), (_CAPTION.match(text) is not None for text in texts)
    to_tick = [number for number, text in enumerate(texts) if text.startswith((EMPTY, TICKED))]
    return Kinds(np.array([*amounts], np.bool_), np.array([*captions], np.bool_), to_tick)


def unknown(count: int) -> Kinds:
    """Return the kinds of so many texts that are not read yet."""
    return Kinds(np.zeros(count, np.bool_), np.zeros(count, np.bool_))


def is_amount(text: str) -> bool:
    """Tell a number with at most its unit or currency, as the cells of a table and the prices of a receipt are."""
    return _AMOUNT.fullmatch(text) is not None
