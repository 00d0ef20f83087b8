"""Which squares are check boxes, and whether they are ticked."""

import cv2
import numpy as np
import pytest

from models.reading.amounts import EMPTY, TICKED
from models.reading.checkboxes import erase, find_checkboxes, owners
from models.reading.crops import Pixels

PLACE = (40, 50, 70, 80)


def paper(ink: int = 0, level: int = 255) -> tuple[Pixels, tuple[int, int, int]]:
    return np.full((140, 300, 3), level, np.uint8), (ink, ink, ink)


def box(image: Pixels, colour: tuple[int, int, int], thickness: int = 2) -> None:
    left, top, right, bottom = PLACE
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, thickness)


@pytest.mark.parametrize(("ink", "level"), [(0, 255), (230, 30), (90, 240)])
def test_a_square_is_an_empty_box(ink: int, level: int) -> None:
    image, colour = paper(ink, level)
    box(image, colour)
    (found,) = find_checkboxes(image)
    assert np.allclose(found.box, PLACE, atol=2)
    assert found.text == EMPTY


@pytest.mark.parametrize("mark", ["cross", "tick", "blot"])
def test_ink_inside_is_a_tick(mark: str) -> None:
    image, colour = paper()
    box(image, colour)
    if mark == "cross":
        cv2.line(image, (44, 54), (65, 75), colour, 2)
        cv2.line(image, (65, 54), (44, 75), colour, 2)
    elif mark == "tick":
        cv2.polylines(image, [np.array([[46, 64], [53, 72], [64, 56]])], isClosed=False, color=colour, thickness=2)
    else:
        cv2.circle(image, (55, 65), 7, colour, -1)
    assert [found.text for found in find_checkboxes(image)] == [TICKED]


@pytest.mark.parametrize(
    ("light", "is_ticked"),
    [
        ([[45, 64], [52, 71], [65, 56]], True),
        ([[45, 56], [55, 72], [65, 56]], False),  # a letter V
        ([[45, 72], [52, 60], [65, 72]], False),  # an arrow
        ([[54, 66], [55, 67], [57, 65]], False),  # a speck
    ],
)
def test_a_full_box_is_ticked_by_a_light_tick(light: list[list[int]], is_ticked: bool) -> None:
    image, colour = paper(98)
    box(image, colour, -1)
    cv2.polylines(image, [np.array(light)], isClosed=False, color=(255, 255, 255), thickness=3)
    assert [(found.box, found.text) for found in find_checkboxes(image)] == [(PLACE, TICKED)] * is_ticked


@pytest.mark.parametrize("text", ["ODBH8E0", "QUOMN@#"])
def test_letters_are_no_boxes(text: str) -> None:
    image, colour = paper()
    cv2.putText(image, text, (20, 90), cv2.FONT_HERSHEY_SIMPLEX, 1.6, colour, 3)
    assert find_checkboxes(image) == []


def test_cells_and_blots_are_no_boxes() -> None:
    image, colour = paper()
    box(image, colour)
    cv2.rectangle(image, (69, 50), (98, 79), colour, 2)  # two cells that share a rule
    cv2.rectangle(image, (150, 50), (180, 80), colour, -1)  # a bullet
    cv2.rectangle(image, (200, 50), (280, 80), colour, 2)  # a field to write in
    assert find_checkboxes(image) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (4900, 4900)])
def test_images_of_odd_sizes_have_none(size: tuple[int, int]) -> None:
    assert find_checkboxes(np.full((*size, 3), 255, np.uint8)) == []


def test_a_box_is_erased_and_nothing_else() -> None:
    image, colour = paper(level=240)
    without = image.copy()
    cv2.putText(without, "Single", (90, 80), cv2.FONT_HERSHEY_SIMPLEX, 1, colour, 2)
    whole = without.copy()
    box(whole, colour)
    assert np.array_equal(erase(whole, find_checkboxes(whole)), without)


def test_a_box_belongs_to_the_text_at_its_right() -> None:
    texts = np.array([[90.0, 48, 200, 84], [300, 48, 400, 84], [90, 200, 200, 236]])
    boxes = np.array(
        [[40.0, 50, 70, 80], [260, 50, 290, 80], [420, 50, 450, 80], [75, 210, 83, 218], [40, 130, 70, 160]]
    )
    assert owners(boxes, texts) == [0, 1, None, None, None]
    assert owners(boxes[:1], np.zeros((0, 4))) == [None]


def test_a_tick_may_reach_out_of_its_box() -> None:
    image, colour = paper()
    box(image, colour)
    cv2.line(image, (46, 56), (74, 88), colour, 2)
    cv2.line(image, (68, 56), (44, 88), colour, 2)
    (found,) = find_checkboxes(image)
    assert np.allclose(found.box, PLACE, atol=2)
    assert found.text == TICKED
    assert int(erase(image, [found]).min()) == 255, "nothing of the tick stays"


def test_a_bold_letter_with_a_square_bowl_is_no_ticked_box() -> None:
    image, colour = paper()
    cv2.rectangle(image, (44, 54), (66, 76), colour, 9)
    cv2.line(image, (66, 40), (66, 76), colour, 9)
    assert find_checkboxes(image) == []


def test_what_stands_close_to_other_ink_is_a_letter() -> None:
    image, colour = paper()
    box(image, colour)
    cv2.line(image, (46, 56), (64, 74), colour, 2)
    cv2.line(image, (68, 52), (68, 36), colour, 2)
    assert find_checkboxes(image)
    cv2.line(image, (73, 40), (73, 80), colour, 2)
    assert find_checkboxes(image) == []
