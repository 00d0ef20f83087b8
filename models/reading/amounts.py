"""Numbers with their unit, as the cells of tables and the prices of receipts are."""

import re

_AMOUNT = re.compile(r"\W{0,3}[A-Z]{0,3}\W{0,2}[\dO][\d.,:' xX*%-]*\s?\W?\w{0,3}\W?")


def is_amount(text: str) -> bool:
    """Tell a number with at most its unit or currency, as the cells of a table and the prices of a receipt are."""
    return _AMOUNT.fullmatch(text) is not None
