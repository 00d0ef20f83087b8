"""Lone characters between two texts of a row."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.reading.crops import Floats, Pixels
from models.reading.ctc import Reading
from models.reading.lone import lone, with_lone_characters
from tests import drawn

HEIGHT = 40  # pixels of a fragment


def row(between: str = "", size: int = 28) -> Image.Image:
    """A row with a text at either end, and perhaps one in the middle."""
    image = Image.new("RGB", (800, HEIGHT + 40), "white")
    for text, left in (("Bread", 20), (between, 390), ("2.50", 680)):
        drawn.write(image, [text], (left, 24), size)
    return image


def pixels(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def fragments() -> Floats:
    """The two texts at the ends, as a detector finds them."""
    boxes = ((15, 110), (675, 745))
    return np.array(
        [[(left, 20), (right, 20), (right, 20 + HEIGHT), (left, 20 + HEIGHT)] for left, right in boxes], np.float64
    )


def read_as(text: str, confidence: float = 1.0) -> Reading:
    count = len(text)
    return Reading(tuple(text), np.linspace(0, 1, count), np.full(count, confidence))


@pytest.mark.parametrize("text", ["1", "7", "x", "S"])
def test_a_lone_character_becomes_a_fragment(text: str) -> None:
    found = with_lone_characters(pixels(row(text)), fragments(), lambda crop: read_as(text))
    assert len(found) == 3
    left, right = found[2, 0, 0], found[2, 1, 0]
    assert 375 < left < 395 < right < 425


def test_beside_fragments_that_overlap_it_is_found_once() -> None:
    both = np.concatenate([fragments(), fragments()[:1] + np.array([20, 3])])
    assert len(with_lone_characters(pixels(row("1")), both, lambda crop: read_as("1"))) == 4


@pytest.mark.parametrize(("text", "confidence"), [("1", 0.5), ("-", 1.0), ("", 0.0)])
def test_what_is_not_surely_read_is_none(text: str, confidence: float) -> None:
    assert len(with_lone_characters(pixels(row("1")), fragments(), lambda crop: read_as(text, confidence))) == 2


def test_a_rule_a_word_and_dots_are_none() -> None:
    ruled = row()
    ImageDraw.Draw(ruled).line([(400, 0), (400, HEIGHT + 40)], fill="black", width=3)
    for image in (row(), ruled, row("...."), row("milk")):
        assert lone(pixels(image)[20 : 20 + HEIGHT, 110:675]) == []
