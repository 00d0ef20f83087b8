"""The benchmark of reading order, without networks."""

import random

import pytest

from benchmarks.fragments import read_in_order
from benchmarks.layouts import KINDS, sheet_of
from benchmarks.order import RIGHT, error_rate, main


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_pages_are_read_in_their_order(kind: str) -> None:
    sheet, skew = sheet_of(kind, 1)
    assert error_rate(read_in_order(sheet, skew, random.Random(1)), "\n".join(sheet.lines)) <= RIGHT


def test_the_table_of_the_order_alone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--layout", "--kind", "letter", "--count", "1", "--first", "3"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("| letter | 100.0% of 1 |")
