"""From fragments to lines in reading order, on boxes that no network has seen."""

import numpy as np
import pytest

from models.reading.amounts import Kinds
from models.reading.geometry import Floats, is_line_crop, longest, on_its_side, rotate, slant, weighted_median
from models.reading.layout import TextLine, arrange, line_polygon

HEIGHT, STEP = 20, 32


def fragment(left: float, top: float, width: float = 100, height: float = HEIGHT) -> Floats:
    """A box as four points."""
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def rows(count: int, words: int = 3, left: float = 50, top: float = 40, width: float = 100, gap: float = 12) -> Floats:
    """Rows of words, row by row and from left to right."""
    return np.array(
        [
            fragment(left + word * (width + gap), top + row * STEP, width)
            for row in range(count)
            for word in range(words)
        ]
    )


def joined(points: Floats) -> list[list[int]]:
    return [line.pieces for line in arrange(points)]


def test_a_page_without_text_has_no_lines() -> None:
    assert arrange(np.zeros((0, 4, 2))) == []


@pytest.mark.parametrize("degrees", [-20, -7, -3, 0, 3, 7, 20])
@pytest.mark.parametrize("scale", [0.3, 1, 8])
def test_words_become_lines_whatever_the_slant_and_the_resolution(degrees: float, scale: float) -> None:
    points = rotate(rows(20), degrees) * scale
    order = np.random.default_rng(0).permutation(len(points))
    lines = arrange(points[order])
    assert [[int(order[i]) for i in line.pieces] for line in lines] == [
        [3 * i, 3 * i + 1, 3 * i + 2] for i in range(20)
    ]
    assert {line.paragraph for line in lines} == {0}
    for number, line in enumerate(lines):
        first, last = points[3 * number], points[3 * number + 2]
        assert np.allclose(line.polygon, [first[0], last[1], last[2], first[3]], atol=0.5 * scale)


def test_slant_is_that_of_the_long_fragments() -> None:
    lying = rotate(rows(5, words=1, width=400), 4)
    assert slant(lying) == pytest.approx(4)
    assert slant(np.concatenate([lying, rotate(rows(5, width=10), 25)])) == pytest.approx(4), "the short say nothing"
    assert slant(rows(5, width=10)) == 0


def test_a_line_that_slopes_on_its_own_has_a_polygon_of_its_own() -> None:
    points = np.concatenate([rows(6, words=1, width=400), rotate(rows(1, words=1, top=400, width=400), 6)])
    crooked = arrange(points)[-1]
    along = crooked.polygon[1] - crooked.polygon[0]
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(6, abs=0.1)
    assert np.linalg.norm(crooked.polygon[3] - crooked.polygon[0]) == pytest.approx(HEIGHT, abs=0.1)


def test_two_columns_are_read_left_then_right() -> None:
    left, right = rows(12, gap=6), rows(12, left=500, gap=6)
    points = np.stack([left.reshape(12, 3, 4, 2), right.reshape(12, 3, 4, 2)], axis=1).reshape(-1, 4, 2)
    lines = arrange(points)
    starts = [line.polygon[0, 0] for line in lines]
    assert starts == [50] * 12 + [500] * 12
    tops = [line.polygon[0, 1] for line in lines]
    assert tops[:12] == tops[12:] == sorted(tops[:12])
    assert [line.paragraph for line in lines] == [0] * 12 + [1] * 12


def test_what_stands_far_apart_on_a_row_is_one_line() -> None:
    """As on a receipt: the name, far from it the price."""
    names, prices = rows(8, words=1, width=120), rows(8, words=1, left=450, width=60)
    points = np.concatenate([prices, names])
    kinds = Kinds(np.arange(16) < 8, np.zeros(16, np.bool_))
    found = arrange(points, kinds)
    assert [line.pieces for line in found] == [[i + 8, i] for i in range(8)]
    apart = arrange(points, kinds, layout="columns")
    assert [line.pieces for line in apart] == [[i + shift] for i in range(8) for shift in (8, 0)]


def test_columns_are_cut_only_where_they_are_asked_for() -> None:
    points = np.concatenate([rows(12, words=1, width=400), rows(12, words=1, left=490, width=400)])
    assert len(arrange(points)) == len(arrange(points, layout="columns")) == len(arrange(points, layout="plain")) == 24
    assert joined(points)[:2] == [[0], [1]]
    assert [line.pieces for line in arrange(points, layout="rows")] == [[i, i + 12] for i in range(12)]


def test_a_blank_line_begins_a_paragraph_and_a_wide_spacing_does_not() -> None:
    tops = [40, 72, 104, 172, 204, 272]
    lines = arrange(np.array([fragment(50, top, 300) for top in tops]))
    assert [line.paragraph for line in lines] == [0, 0, 0, 1, 1, 2]
    wide = arrange(np.array([fragment(50, 40 + 70 * row, 300) for row in range(6)]))
    assert {line.paragraph for line in wide} == {0}


def test_a_line_that_bulges_into_the_next_row_keeps_its_words() -> None:
    """Handwriting wanders: words of a row share half of their height, those of two rows less."""
    points = np.array([fragment(50, 40), fragment(160, 47), fragment(270, 41), fragment(50, 66), fragment(160, 71)])
    assert joined(points) == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize("turned", [90, -90])
def test_text_that_runs_up_or_down_is_told_from_text_that_lies(turned: float) -> None:
    lying = rows(10, words=1, width=300)
    assert not on_its_side(lying)
    standing = lying[:, :, ::-1].copy()  # x and y exchanged, and with them the order of the corners
    standing = standing[:, [0, 3, 2, 1]]
    assert on_its_side(standing)
    few = np.concatenate([lying, standing[:3]])
    assert not on_its_side(few), "a rule or a label at the side turns no page"
    assert not on_its_side(np.zeros((0, 4, 2)))


def test_longest_takes_the_longest_either_way() -> None:
    points = np.array([fragment(0, 0, 50), fragment(0, 50, 20, 300), fragment(0, 400, 200), fragment(0, 500, 60)])
    assert longest(points, 2).tolist() == points[[1, 2]].tolist()
    assert len(longest(points, 9)) == 4


@pytest.mark.parametrize(
    ("fragments", "size", "expected"),
    [
        ([(5, 5, 400, 40)], (50, 420), True),
        ([(5, 5, 200, 40), (210, 8, 200, 38)], (50, 420), True),
        ([], (50, 420), True),
        ([(5, 5, 400, 20), (5, 27, 400, 20)], (50, 420), False),  # two lines in a strip
        ([(5, 5, 400, 40)], (110, 420), False),  # not long enough
        ([], (400, 420), False),
    ],
)
def test_an_image_of_one_line_is_told_by_its_shape(
    fragments: list[tuple[float, float, float, float]], size: tuple[int, int], expected: bool
) -> None:
    points = np.array([fragment(*box) for box in fragments]).reshape(-1, 4, 2)
    assert is_line_crop(points, *size) is expected


def test_line_polygon_holds_every_corner() -> None:
    points = rotate(np.array([fragment(0, 0, 200), fragment(220, 5, 180, 26)]), 5)
    polygon = rotate(line_polygon(points, 0.0), -5)
    assert polygon.min(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert polygon.max(axis=0) == pytest.approx([400, 31], abs=1e-6)


def test_weighted_median() -> None:
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])) == 2
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([9.0, 1.0, 1.0])) == 3


@pytest.mark.parametrize("size", [(0.0, 0.0), (1e-9, 5.0), (500.0, 1e-9)])
def test_fragments_without_an_extent_are_lines_all_the_same(size: tuple[float, float]) -> None:
    lines: list[TextLine] = arrange(np.array([fragment(10, 10, *size), *rows(2)]))
    assert sorted(i for line in lines for i in line.pieces) == list(range(7))
    assert all(np.isfinite(line.polygon).all() for line in lines)


def test_a_watermark_is_a_line_of_its_own_and_hides_no_gutter() -> None:
    columns = np.concatenate([rows(12, words=1, width=400), rows(12, words=1, left=490, width=400)])
    mark = rotate(fragment(300, 150, 300) - 400, 30) + 400
    lines = arrange(np.concatenate([columns, mark[None]]))
    assert [line.pieces for line in lines] == [[number] for number in range(25)]
    assert lines[-1].paragraph > lines[-2].paragraph
