"""Which zeros are letters."""

import pytest

from models.reading.zeros import letters_for_zeros, zeros_for_letters


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("ERR0R C0L0R L0G0 INF0_2.TXT", "ERROR COLOR LOGO INFO_2.TXT"),
        ("0lga 0ct 1998", "Olga Oct 1998"),
        ("c0lour", "colour"),
        ("10 000 0x0F00 7b0c1e0 A0 x0 arr0 POOL 0", "10 000 0x0F00 7b0c1e0 A0 x0 arr0 POOL 0"),
        ("00QD-8B8S", "00QD-8B8S"),
        ("", ""),
    ],
)
def test_zeros_in_words_are_letters_and_those_in_numbers_stay(read: str, text: str) -> None:
    assert letters_for_zeros(read) == text


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("4330O SERI", "43300 SERI"),
        ("SHINE ES100O", "SHINE ES1000"),
        ("EW-100O-1L", "EW-1000-1L"),
        ("CLEANER 12OML", "CLEANER 120ML"),
        ("1O5", "105"),
        ("31.0O A", "31.00 A"),
        ("10OO", "1000"),
    ],
)
def test_letters_in_numbers_are_zeros(read: str, meant: str) -> None:
    assert zeros_for_letters(read) == meant


@pytest.mark.parametrize("text", ["H2O", "CO2", "16OZ", "20OFF", "FOO1", "O2", "50 OR 60", "2O"])
def test_other_letters_stay(text: str) -> None:
    assert zeros_for_letters(text) == text
