"""Strokes through letters are taken out of a crop; no networks."""

import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.struck import unstruck


def line(*strokes: tuple[int, int, int, int]) -> Pixels:
    """Stems of letters with strokes of ink: left, top, right, bottom."""
    paper = np.full((50, 300, 3), 255, np.uint8)
    for left in range(20, 280, 20):
        paper[10:40, left : left + 4] = 0
    for left, top, right, bottom in strokes:
        paper[top:bottom, left:right] = 0
    return paper


def test_a_stroke_is_taken_out_and_stems_stay() -> None:
    clean = unstruck(line((15, 24, 150, 27)))
    assert clean is not None
    assert np.array_equal(clean, line())


@pytest.mark.parametrize(
    "crop",
    [line(), line((15, 44, 150, 47)), line((44, 24, 60, 27)), line((15, 20, 150, 34))],
    ids=["none", "underlined", "short", "thick"],
)
def test_other_ink_stays(crop: Pixels) -> None:
    assert unstruck(crop) is None
