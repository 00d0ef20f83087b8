"""Zeros that are the letter O, and the other way round: many fonts draw both alike, and a recogniser takes one for the
other."""

import re

_WORD = re.compile(r"[^\W_]+")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_OTHER_DIGITS = re.compile("[1-9]")
_ZEROS = re.compile(
    "^0(?=[^\\W\\d_]{2})"  # at the beginning of a word
    "|(?<=[^\\W\\d_])0(?=[^\\W\\d_])"  # within one
    "|(?<=[A-Z])0$"  # at the end of one in capitals
)
_UNITS = "(?:ml|mm|cm|kg|g|l|m|v|w)"
_LETTERS = re.compile(
    rf"(?<=\d)[Oo]+(?=\d)"  # between digits
    rf"|(?<=\d\d)O+(?=(?i:{_UNITS})?(?![^\W_]))"  # at the end of a number of three digits or more, before its unit
    r"|(?<=\d[.,]\d)O(?![^\W_])"  # at the end of an amount
)


def letters_for_zeros(text: str) -> str:
    """Return a text with the zeros in its words as letters; words with other digits and numbers stay as they are."""
    return _WORD.sub(lambda match: _word(match[0]), text)


def zeros_for_letters(text: str) -> str:
    """Return a text with the letters O in its numbers as zeros; H2O and the like stay as they are."""
    return _LETTERS.sub(lambda match: "0" * len(match[0]), text)


def _word(word: str) -> str:
    letters = sum(map(str.isalpha, word))
    if letters < 2 or _OTHER_DIGITS.search(word) or _HEXADECIMAL.fullmatch(word):
        return word
    if word.endswith("0") and (not word.isupper() or letters + word[:-1].count("0") < 3):
        return _ZEROS.sub(lambda match: _letter(match, word), word[:-1]) + "0"
    return _ZEROS.sub(lambda match: _letter(match, word), word)


def _letter(match: re.Match[str], word: str) -> str:
    """Return the letter in the case of the one before it, or at the beginning a capital."""
    return "o" if match.start() and word[match.start() - 1].islower() else "O"
