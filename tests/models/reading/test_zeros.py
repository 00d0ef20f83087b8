"""Which zeros are letters."""

import pytest

from models.reading.zeros import letters_for_zeros


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
