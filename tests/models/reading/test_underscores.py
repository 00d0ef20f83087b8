"""Underscores that a detector leaves out, and that a recogniser counts wrongly; no networks."""

import cv2
import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.ctc import Reading
from models.reading.underscores import counted, find_bars, with_underscores

HEIGHT = 40


def line(*marks: tuple[float, float, float, float], width: int = 400, height: int = 60) -> Pixels:
    """Paper with marks of ink: left, top, right, bottom."""
    paper = np.full((height, width, 3), 255, np.uint8)
    for left, top, right, bottom in marks:
        cv2.rectangle(paper, (int(left), int(top)), (int(right) - 1, int(bottom) - 1), (0, 0, 0), -1)
    return paper


def letters(*lefts: int) -> list[tuple[float, float, float, float]]:
    return [(left, 8, left + 12, 34) for left in lefts]


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_a_bar_at_the_foot_is_an_underscore() -> None:
    assert find_bars(line(*letters(10, 50), (24, 36, 44, 39)), HEIGHT).tolist() == [[24, 36, 44, 39]]


@pytest.mark.parametrize(
    "mark",
    [(8, 38, 24, 40), (24, 20, 44, 23), (24, 36, 200, 39), (24, 34, 30, 39)],
    ids=["underlined", "dash", "blank to fill in", "full stop"],
)
def test_other_ink_is_none(mark: tuple[float, float, float, float]) -> None:
    assert not len(find_bars(line(*letters(10, 210), mark), HEIGHT))


def test_a_fragment_reaches_as_far_as_its_underscores() -> None:
    page = line(*letters(50, 90), (20, 41, 44, 44), (64, 41, 84, 44))
    (found,) = with_underscores(page, np.array([box(46, 2, 106, 38)], np.float64))
    (left, top), (right, bottom) = found.min(axis=0), found.max(axis=0)
    assert left < 20
    assert bottom > 44
    assert (top, right) == (2, 106)


def test_a_fragment_without_any_stays_as_it_is() -> None:
    fragment = np.array([box(46, 2, 106, 38)], np.float64)
    assert np.array_equal(with_underscores(line(*letters(50, 90)), fragment), fragment)


def reading(text: str, *places: float) -> Reading:
    scores = np.array([np.nan if letter == " " else 0.9 for letter in text])
    return Reading(tuple(text), np.array(places), scores)


def test_underscores_are_as_many_as_their_bar_is_long() -> None:
    crop = line(*letters(10, 30, 90, 110), (46, 36, 86, 38), width=130, height=HEIGHT)
    read = counted(reading("ab_ cd", 16 / 130, 36 / 130, 66 / 130, 80 / 130, 96 / 130, 116 / 130), crop)
    assert read.text == "ab__cd"
    assert len(read.places) == len(read.scores) == 6
    assert np.all(np.diff(read.places) > 0)


def test_a_wide_space_beside_an_underscore_stays() -> None:
    crop = line(*letters(10, 30, 110, 130), (46, 36, 66, 38), width=150, height=HEIGHT)
    read = counted(reading("ab_ cd", 16 / 150, 36 / 150, 56 / 150, 90 / 150, 116 / 150, 136 / 150), crop)
    assert read.text == "ab_ cd"


def test_the_tops_of_the_letters_below_are_none() -> None:
    page = line(*letters(50, 90), *((left, 44, left + 14, 60) for left in range(20, 140, 20)), height=90)
    fragment = np.array([box(46, 2, 106, 38)], np.float64)
    assert np.array_equal(with_underscores(page, fragment), fragment)
