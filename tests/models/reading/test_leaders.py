"""Which strips between two texts hold a dot leader."""

import cv2
import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.leaders import between, has_dots, is_leader, joined, led, widest_text, without_dots
from models.reading.runs import runs

HEIGHT = 36


def strip(*xs: int, radius: int = 2, width: int = 600) -> Pixels:
    paper = np.full((HEIGHT, width, 3), 255, np.uint8)
    for x in xs:
        cv2.circle(paper, (x, 26), radius, (0, 0, 0), -1)
    return paper


def test_dots_at_even_distances_are_a_leader() -> None:
    assert is_leader(strip(*range(20, 590, 16)))
    dashes = [*range(20, 300, 16), *range(310, 590, 16)]
    assert is_leader(strip(*dashes)), "one distance may differ"


@pytest.mark.parametrize(
    "paper",
    [strip(), strip(20, 40, 60), strip(20, 30, 90, 110, 210, 300, 520), strip(*range(20, 590, 30), radius=8)],
    ids=["blank", "too few", "uneven", "too large"],
)
def test_other_ink_is_none(paper: Pixels) -> None:
    assert not is_leader(paper)


def test_a_rule_is_no_leader() -> None:
    paper = strip(*range(20, 590, 16))
    paper[30] = 0
    assert not is_leader(paper)


def test_a_strip_lies_between_texts_far_apart() -> None:
    left = np.array([[0.0, 0], [100, 0], [100, 36], [0, 36]])
    found = between(left, left + np.array([400, 2]))
    assert found is not None
    assert found.tolist() == [[100, 0], [400, 2], [400, 38], [100, 36]]
    assert between(left, left + np.array([180, 0])) is None


def test_grain_and_the_ends_of_the_texts_are_no_leader() -> None:
    grain = np.full((HEIGHT, 232, 3), 255, np.uint8)
    grain[[4, 8, 12, 16, 18], 0] = 220
    assert not is_leader(grain)
    ends = strip(*range(0, 60, 10), width=400)
    assert not is_leader(ends), "dots beside one text lead to no other"


def test_what_a_leader_leads_to_is_told() -> None:
    page = np.full((200, 800, 3), 255, np.uint8)
    page[20 : 20 + HEIGHT, 100:700] = strip(*range(20, 590, 16))
    texts = np.array([[[x, y], [x + 90, y], [x + 90, y + HEIGHT], [x, y + HEIGHT]] for y in (20, 80) for x in (5, 705)])
    assert led(page, texts.astype(np.float64)).tolist() == [False, True, False, False]


def test_dots_within_a_line_are_no_text_of_it() -> None:
    line = strip(*range(120, 500, 16))
    line[8:30, 10:100] = line[8:30, 520:590] = 0
    line[10:28, 40:60] = 255
    found = runs(line, without_dots) * line.shape[1]
    assert found.round().tolist() == [[10, 100], [520, 590]]
    full_stops = strip(100, 300, 500)
    assert np.array_equal(without_dots(full_stops[..., 0] == 0), full_stops[..., 0] == 0)


def test_the_longest_text_of_a_line_with_a_leader_is_cut_out() -> None:
    """What tells a script is looked for in letters: dots look like that of another one."""
    line = strip(*range(120, 500, 16))
    line[8:30, 10:100] = line[8:30, 520:590] = 0
    assert widest_text(line).shape == (HEIGHT, 90, 3)
    assert widest_text(line[:, :110]).shape == (HEIGHT, 110, 3)


def test_specks_at_all_heights_are_no_dots() -> None:
    specks = np.zeros((HEIGHT, 600), np.bool_)
    for number, x in enumerate(range(20, 180, 20)):
        specks[2 + 4 * number, x] = True
    assert without_dots(specks) is specks


def test_small_letters_in_a_loose_fragment_are_no_dots() -> None:
    ink = np.zeros((51, 600), np.bool_)
    for x in range(20, 580, 15):
        ink[24:37, x : x + 11] = True
    ink[14:45, 20:24] = True  # one letter that reaches above and below the others
    assert without_dots(ink) is ink


def test_dots_that_were_read_are_a_leader_between_two_texts() -> None:
    paper = strip()
    left = np.array([[0.0, 0], [100, 0], [100, 36], [0, 36]])
    assert joined(paper, ["Index ..........", "117"], [left, left + 110]) == "Index .... 117"
    assert joined(paper, ["See p. 4 ...", "and 5"], [left, left + 110]) == "See p. 4 ... and 5"


def test_a_line_has_dots_or_none() -> None:
    line = strip(*range(220, 590, 16))
    cv2.putText(line, "Index", (20, 28), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    assert has_dots(line)
    assert not has_dots(line[:, :220])
