"""Full-width punctuation in Latin text, and in Chinese."""

import pytest

from models.reading.widths import plain_widths


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("MOTOR（ SUNGAI RENGIT ）SDN", "MOTOR( SUNGAI RENGIT )SDN"),
        ("DATE ： 12/28", "DATE : 12/28"),
        ("CASH…", "CASH..."),
    ],
)
def test_latin_text_has_ascii_punctuation(read: str, meant: str) -> None:
    assert plain_widths(read) == meant


@pytest.mark.parametrize("text", ["如有不便，敬请厚谅。谢谢！", "エラー：12", "plain, (text)", "naïve – “quoted”"])
def test_other_text_stays(text: str) -> None:
    assert plain_widths(text) == text
