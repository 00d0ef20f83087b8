"""What looks like a raised digit, and is one, or is none."""

import pytest

from models.reading.raised import raised


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ("must be safeguarded.ª It was", "must be safeguarded.⁴ It was"),
        ("the bookª in", "the book⁴ in"),
        ("in older times'⁴", "in older times¹⁴"),
        ("la 1ª edición, D.ª Ana y M.ª José", "la 1ª edición, D.ª Ana y M.ª José"),
        ("the mill's 5' wheel", "the mill's 5' wheel"),
    ],
)
def test_raised_digits(read: str, expected: str) -> None:
    assert raised(read) == expected
