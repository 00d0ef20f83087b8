"""Texts from a recogniser's probabilities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reading.ctc import SPACE_PROBABILITY, SPACE_STEPS, decode

CHARACTERS = ["", "a", "b", " "]


def steps(path: str, space: dict[int, float] | None = None, sure: float = 0.9) -> NDArray[np.float32]:
    """Probabilities with which each step says one character ("-" is blank), and a space with those of `space`."""
    rows = np.zeros((len(path), len(CHARACTERS)), np.float32)
    for step, character in enumerate(path):
        rows[step, 0 if character == "-" else CHARACTERS.index(character)] = sure
    for step, probability in (space or {}).items():
        rows[step, CHARACTERS.index(" ")] = probability
    return rows


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a", "a"),
        ("aaa", "a"),
        ("-a--", "a"),
        ("a-a", "aa"),
        ("aab-bb-a", "abba"),
        ("a b", "a b"),
        (" a -- b ", "a b"),
        ("----", ""),
        ("   ", ""),
    ],
)
def test_repeats_are_one_and_blanks_are_none(path: str, text: str) -> None:
    assert decode(steps(path), CHARACTERS).text == text


def test_confidence_is_the_mean_of_the_characters() -> None:
    rows = steps("a-b")
    rows[2, CHARACTERS.index("b")] = 0.5
    assert decode(rows, CHARACTERS).confidence == pytest.approx(0.7)
    assert decode(steps("---"), CHARACTERS).confidence == 0


def test_a_space_that_was_nearly_seen_is_put_back() -> None:
    assert decode(steps("a-----b", {3: SPACE_PROBABILITY + 0.01}), CHARACTERS).text == "a b"
    assert decode(steps("aa----bb", {2: 0.3}), CHARACTERS).text == "a b"


@pytest.mark.parametrize(
    ("path", "space"),
    [
        ("a-----b", {}),
        ("a-----b", {3: SPACE_PROBABILITY - 0.01}),
        ("a" + "-" * (SPACE_STEPS - 2) + "b", {1: 0.4}),  # too near to one another
        ("-----a-b", {2: 0.4}),  # before the first character
        ("a-b-----", {5: 0.4}),  # after the last
    ],
)
def test_no_space_where_none_was(path: str, space: dict[int, float]) -> None:
    assert decode(steps(path, space), CHARACTERS).text == "ab"


def test_a_space_is_not_doubled() -> None:
    assert decode(steps("a--- ---b", {2: 0.4, 6: 0.4}), CHARACTERS).text == "a b"


def test_parts_are_cut_where_the_paper_is_blank() -> None:
    reading = decode(steps("-a-b----a-"), CHARACTERS)
    assert reading.places.tolist() == [0.15, 0.35, 0.85]
    assert (reading.part(-np.inf, 0.6).text, reading.part(0.6, np.inf).text) == ("ab", "a")
    assert reading.part(0.4, 0.6).text == ""
    assert reading.part(0.4, 0.6).confidence == 0
