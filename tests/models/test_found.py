"""What is found on an image."""

import pytest

from models.found import WHOLE_IMAGE, Line, Part, Polygon


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return (left, top), (right, top), (right, bottom), (left, bottom)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_lines_of_a_cell_are_one(turns: int) -> None:
    def turned(polygon: Polygon) -> Polygon:
        a, b, c, d = polygon[turns:] + polygon[:turns]
        return a, b, c, d

    upper, lower = (
        Part("Rope,", 0.9, turned(box(0.2, 0.1, 0.5, 0.2)), 1),
        Part("b", 0.6, turned(box(0.2, 0.3, 0.4, 0.4)), 1),
    )
    number = Part("7", 0.8, WHOLE_IMAGE, 0)
    first, second = Line("7 Rope, b", 0.8, WHOLE_IMAGE, parts=(number, upper, lower), is_row=True).cells()
    assert first is number
    assert (second.text, second.column, second.confidence) == ("Rope, b", 1, pytest.approx(0.85))
    assert second.polygon == turned(box(0.2, 0.1, 0.5, 0.4))
