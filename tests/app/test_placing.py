"""Places of what was found on a part of a file."""

import pytest

from app.placing import placed, with_words
from app.types import Answer, Page
from models.found import WHOLE_IMAGE, Checkbox, Line, Part, Polygon

HALF: Polygon = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
LINE = Line("☑ yes", 0.9, WHOLE_IMAGE, 3, (Part("☑", 0.9, HALF),), checkboxes=(Checkbox("selected", HALF),))


def test_all_that_is_found_in_a_region_is_placed_on_its_page() -> None:
    answer = placed(Answer("", "", (Page(9, 9, "", lines=(LINE,)),)), [4], (0.5, 0.5, 1, 1))
    (page,) = answer.pages
    assert page.number == 4
    assert page.lines is not None
    (line,) = page.lines
    half = ((0.5, 0.5), (0.75, 0.5), (0.75, 1), (0.5, 1))
    assert line.polygon == ((0.5, 0.5), (1, 0.5), (1, 1), (0.5, 1))
    assert [part.polygon for part in line.parts] == [half]
    assert [box.polygon for box in line.checkboxes] == [half]


def test_the_words_of_a_crop_leave_the_rest_of_its_line_as_it_is() -> None:
    words = Line("yes no", 0.8, WHOLE_IMAGE, parts=(Part("yes", 0.8, HALF), Part("no", 0.8, WHOLE_IMAGE)))
    line = with_words(LINE, [words], (100, 20), 0.0)
    assert [part.text for part in line.parts] == ["yes", "no"]
    assert line.parts[0].polygon[1] == pytest.approx((0.5, 0))
    assert (line.text, line.paragraph, line.checkboxes) == (LINE.text, LINE.paragraph, LINE.checkboxes)
