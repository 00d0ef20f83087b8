"""Marks before a line that a detector leaves out; no networks."""

import cv2
import numpy as np
import pytest

from models.reading.crops import Floats, Pixels
from models.reading.marks import begun_by_marks

LINE = [[100.0, 10], [300, 10], [300, 50], [100, 50]]


def page() -> Pixels:
    paper = np.full((120, 400, 3), 255, np.uint8)
    for left in range(104, 290, 30):
        cv2.rectangle(paper, (left, 18), (left + 14, 42), (0, 0, 0), -1)
    return paper


def start(paper: Pixels, *others: list[list[float]]) -> float:
    """Return where the line begins."""
    fragments: Floats = np.array([LINE, *others], np.float64)
    return float(begun_by_marks(paper, fragments)[0, :, 0].min())


def test_a_line_begins_with_its_bullet() -> None:
    paper = page()
    cv2.circle(paper, (60, 30), 6, (0, 0, 0), -1)
    assert 45 < start(paper) < 54


def test_a_line_begins_with_the_raised_number_of_its_footnote() -> None:
    paper = page()
    for left in (60, 72):
        cv2.rectangle(paper, (left, 14), (left + 6, 30), (0, 0, 0), -1)
    assert 50 < start(paper) < 60


def test_a_line_begins_with_its_dash() -> None:
    paper = page()
    paper[29:32, 50:62] = 0
    assert 42 < start(paper) < 50


def test_a_line_without_a_mark_stays() -> None:
    assert start(page()) == 100


@pytest.mark.parametrize("what", ["speck", "rule", "button", "comma", "picture"])
def test_other_ink_is_no_mark(what: str) -> None:
    paper = page()
    if what == "speck":
        paper[28:31, 60:63] = 0
    elif what == "rule":
        paper[:, 60:63] = 0
    elif what == "button":
        cv2.circle(paper, (60, 30), 12, (0, 0, 0), 2)
    elif what == "comma":
        cv2.rectangle(paper, (60, 36), (66, 48), (0, 0, 0), -1)
    else:
        paper[0:100, 10:70] = 90
    assert start(paper) == 100


def test_what_is_of_another_text_is_no_mark() -> None:
    paper = page()
    cv2.circle(paper, (60, 30), 6, (0, 0, 0), -1)
    assert start(paper, [[20, 10], [80, 10], [80, 50], [20, 50]]) == 100
