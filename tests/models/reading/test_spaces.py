"""Where spaces are between the characters of a line."""

import cv2
import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.ctc import Reading
from models.reading.spaces import inked_columns, on_grid, respaced, widest_blanks


def line(text: str, gaps: dict[int, int]) -> tuple[Reading, Pixels]:
    """Bars in place of letters, 10 pixels apart, with the gaps after some of them widened by so many pixels; and what a
    recogniser that knows no spaces reads there."""
    x, middles = 10, []
    starts = []
    for number in range(len(text)):
        starts.append(x)
        middles.append(x + 8)
        x += 20 + gaps.get(number, 0)
    crop = np.full((48, x + 10, 3), 255, np.uint8)
    for start in starts:
        cv2.rectangle(crop, (start, 10), (start + 15, 38), (0, 0, 0), -1)
    places = np.array(middles) / crop.shape[1]
    return Reading(tuple(text), places, np.full(len(text), 0.9), spaces=np.full(40, 1e-4, np.float32)), crop


@pytest.mark.parametrize(
    ("text", "gaps", "wanted"),
    [
        ("Tel0735", {2: 18}, "Tel 0735"),
        ("TaxCode", {2: 18}, "Tax Code"),
        ("TaxCode", {}, "TaxCode"),
        ("2018", {}, "2018"),
    ],
)
def test_wide_paper_between_letters_is_a_space(text: str, gaps: dict[int, int], wanted: str) -> None:
    reading, crop = line(text, gaps)
    assert respaced(reading, crop).text == wanted


def test_paper_above_an_underscore_is_no_space() -> None:
    reading, crop = line("NO_COLOR", {1: 16, 2: 16})
    crop[:, 64:84] = 255
    assert respaced(reading, crop).text == "NO_COLOR"


def test_ideographs_get_no_spaces() -> None:
    reading, crop = line("日本語の本", {1: 18, 3: 18})
    assert respaced(reading, crop) is reading


def test_a_lone_letter_stays() -> None:
    reading, crop = line("A", {})
    assert respaced(reading, crop) is reading


def test_a_space_between_two_letters_stays() -> None:
    seen = Reading(("1", " ", "X"), np.array([0.2, 0.5, 0.8]), np.array([0.9, np.nan, 0.9]), spaces=np.full(40, 0.9))
    _, crop = line("1X", {0: 18})
    assert respaced(seen, crop).text == "1 X"


def test_rules_and_grain_are_no_ink() -> None:
    crop = np.full((48, 100, 3), 255, np.uint8)
    crop[24, :] = 0
    crop[30, 50] = 0
    crop[10:40, 70:74] = 0
    assert np.flatnonzero(inked_columns(crop)).tolist() == [70, 71, 72, 73]


def test_blanks_are_measured_between_the_middles_of_neighbours() -> None:
    ink = np.array([True] * 5 + [False] * 10 + [True] * 5 + [False] * 3 + [True] * 5)
    assert widest_blanks(ink, np.array([2.0, 17.0, 25.0])).tolist() == [10, 3]


def test_letters_of_a_monospaced_font_stand_on_a_grid() -> None:
    cells = np.array([number for number in range(24) if number not in (4, 10)])
    rounded = np.round(cells * 3.1 + 1)
    apart, sure = on_grid(rounded)
    assert sure.all()
    assert apart.tolist() == np.diff(cells).tolist()


def test_letters_of_other_fonts_do_not() -> None:
    widths = np.random.default_rng(0).uniform(1.5, 5, 40)
    assert not on_grid(np.cumsum(widths))[1].any()
