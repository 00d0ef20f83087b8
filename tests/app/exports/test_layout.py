"""Lines and words in pixels, and the order of characters."""

import math

import pytest

from app.exports.direction import right_to_left, visual_order
from app.exports.layout import TextLine, blocks, place
from models.found import WHOLE_IMAGE, Line
from tests.app.exports.documents import HEIGHT, LETTER, LINE, WIDTH, line, page, row


def placed(text: str, degrees: float = 0.0) -> TextLine:
    return place(line(text, 500, 600, degrees), page())


def test_words_share_the_line_by_their_characters() -> None:
    found = placed("ab cdef")
    assert [(word.text, word.box.left, word.box.right) for word in found.words] == [
        ("ab", 500, 500 + 2 * LETTER),
        ("cdef", 500 + 3 * LETTER, 500 + 7 * LETTER),
    ]
    assert {(word.box.top, word.box.bottom) for word in found.words} == {(600, 600 + LINE)}


def test_squares_are_twice_as_wide_and_marks_have_no_width() -> None:
    whole = Line("中文 e\u0301e\u0301 abc", 1.0, WHOLE_IMAGE)
    # 4 + 1 + 2 + 1 + 3 units.
    assert [word.box.left for word in place(whole, page()).words] == [0, round(5 / 11 * WIDTH), round(8 / 11 * WIDTH)]


def test_words_of_a_slanted_line_step_down() -> None:
    found = placed("one two three", degrees=10)
    tops = [word.box.top for word in found.words]
    assert tops == sorted(set(tops))
    assert math.degrees(found.angle) == pytest.approx(10, abs=0.01)


def test_the_first_word_of_a_right_to_left_line_is_at_its_right() -> None:
    found = placed("שלום עולם")
    assert [word.text for word in found.words] == ["שלום", "עולם"]
    assert found.words[0].box.left > found.words[1].box.right


@pytest.mark.parametrize(("text", "degrees"), [("downward", 90), ("I", 0)])
def test_a_tall_line_runs_downward_unless_it_is_one_letter(text: str, degrees: float) -> None:
    # As detectors give it: clockwise from the top left of the image.
    tall = Line(text, 1.0, ((0.5, 0.1), (0.52, 0.1), (0.52, 0.4), (0.5, 0.4)))
    assert math.degrees(place(tall, page()).angle) == pytest.approx(degrees)


def test_words_of_parts_that_stand_apart_lie_in_their_parts() -> None:
    found = place(row("Bread rolls", "1,59"), page())
    assert [(word.text, word.box.left) for word in found.words] == [
        ("Bread", 100),
        ("rolls", 100 + 6 * LETTER),
        ("1,59", 500),
    ]


def test_a_corner_beyond_the_image_is_drawn_in() -> None:
    found = place(Line("a b", 2.0, ((-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5))), page())
    assert found.box == (0, 0, WIDTH, HEIGHT)
    assert found.confidence == 1.0


def test_paragraphs_are_blocks_around_their_lines() -> None:
    first, second = blocks(page(line("a", 0, 0), line("", 0, 50), line("b", 50, 100), line("c", 0, 300, paragraph=1)))
    assert [found.text for found in first.lines] == ["a", "b"]
    assert first.box == (0, 0, 50 + LETTER, 100 + LINE)
    assert [found.text for found in second.lines] == ["c"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("abc 123", "abc 123"),
        ("אבג דהו", "והד גבא"),
        ("אבג 12.50 דהו", "והד 12.50 גבא"),
        ("אבגד abc def דהו", "והד abc def דגבא"),
        ("אבג 12.50 abc 7 דהוז", "זוהד abc 7 12.50 גבא"),
        ("אבג $5, 50% דהו", "והד 50% ,$5 גבא"),
        ("abc אבג דהו def", "abc והד גבא def"),
        ("abc 1 אבג 12 דהו def 3", "abc 1 והד 12 גבא def 3"),
        ("אבג!", "!גבא"),
        ("abc!", "abc!"),
        ("", ""),
    ],
)
def test_visual_order(text: str, seen: str) -> None:
    assert visual_order(text) == seen


def test_the_direction_is_that_of_most_letters() -> None:
    assert right_to_left("שלום ab")
    assert not right_to_left("hello של")
    assert not right_to_left("123 ...")
