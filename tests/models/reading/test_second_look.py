"""Which of two readers reads a line."""

import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.ctc import Reading
from models.reading.second_look import TwoLooks

CROP = np.zeros((48, 100, 3), np.uint8)


class Says:
    """A reader that reads the same in any crop, and counts how often it was asked."""

    def __init__(self, text: str, confidence: float) -> None:
        self.asked = 0
        self._reading = Reading(tuple(text), np.linspace(0, 1, len(text)), np.full(len(text), confidence))

    def read(self, crop: Pixels) -> Reading:
        self.asked += 1
        return self._reading


@pytest.mark.parametrize(
    ("text", "confidence", "wanted"),
    [
        ("TOTAL", 0.999, "TOTAL"),
        ("T0TAL", 0.97, "TOTAL 5"),
        ("", 0.0, ""),
        ("21 °C", 0.9, "21 °C"),
        ("NO_COLOR", 0.9, "NO_COLOR"),
    ],
)
def test_a_doubtful_line_is_read_again(text: str, confidence: float, wanted: str) -> None:
    second = Says("TOTAL 5", 0.9)
    assert TwoLooks(Says(text, confidence), lambda: second).read(CROP).text == wanted
    assert second.asked == (wanted == "TOTAL 5")


def test_the_first_tells_capitals() -> None:
    assert TwoLooks(Says("No", 0.9), lambda: Says("NO", 0.95)).read(CROP).text == "No"


def test_large_writing_is_read_once() -> None:
    second = Says("TOTAL", 0.95)
    assert TwoLooks(Says("T0TAL", 0.9), lambda: second).read(np.zeros((90, 300, 3), np.uint8)).text == "T0TAL"
    assert not second.asked


def test_the_second_is_loaded_once_and_only_when_it_is_needed() -> None:
    loaded: list[Says] = []

    def load() -> Says:
        loaded.append(Says("TOTAL", 0.95))
        return loaded[-1]

    TwoLooks(Says("TOTAL", 0.999), load).read(CROP)
    assert not loaded
    doubting = TwoLooks(Says("T0TAL", 0.9), load)
    assert [doubting.read(CROP).text for _ in range(2)] == ["TOTAL", "TOTAL"]
    assert len(loaded) == 1
