"""Tables whose cells hold several lines, on boxes that no network has seen."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.reading.amounts import Kinds
from models.reading.blocks import blocks, cut_bands
from models.reading.geometry import Floats
from models.reading.layout import arrange
from models.reading.wrapped import wrapped_rows

HEIGHT, LINE, PADDING = 20.0, 26.0, 10.0
COLUMNS = (100.0, 40.0), (180.0, 300.0), (520.0, 60.0)  # left and width


def table(
    *rows: Sequence[int],
    middle: bool = False,
    padding: float = PADDING,
    columns: Sequence[tuple[float, float]] = COLUMNS,
) -> Floats:
    """The boxes of rows, of each of which so many lines stand in each cell, at the top of the row or in its middle."""
    boxes, top = [], 100.0
    for counts in rows:
        for (left, width), count in zip(columns, counts, strict=True):
            first = top + (max(counts) - count) * LINE / 2 * middle
            boxes += [(left, first + LINE * line, left + width, first + LINE * line + HEIGHT) for line in range(count)]
        top += max(counts) * LINE + padding
    return np.array(boxes)


def rows_of(boxes: Floats) -> list[int]:
    """Return of how many boxes each row is that is found."""
    rows, _ = wrapped_rows(boxes, cut_bands(boxes, np.arange(len(boxes))), HEIGHT)
    return list(map(len, rows))


@pytest.mark.parametrize("middle", [False, True])
@pytest.mark.parametrize("padding", [PADDING, 4.0])
def test_the_lines_of_a_cell_belong_to_its_row(middle: bool, padding: float) -> None:
    assert rows_of(table((1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 1, 1), middle=middle, padding=padding)) == [3, 4, 5, 3]


def test_rows_that_are_one_band_each_are_rows() -> None:
    assert rows_of(table((1, 2, 1), (1, 2, 1), (1, 2, 1), middle=True)) == [4, 4, 4]


def test_cells_of_one_line_each_are_no_such_table() -> None:
    assert rows_of(table((1, 1, 1), (1, 1, 1), (1, 1, 1))) == []


def test_rows_as_close_as_the_lines_in_them_are_no_rows() -> None:
    assert rows_of(table((1, 2, 1), (1, 2, 1), (1, 2, 1), (1, 1, 1), padding=0)) == []


def tight(*ends: Sequence[float]) -> Floats:
    """The boxes of rows as close as the lines of their second cell, of which each takes such a share of its width."""
    boxes = table(*((1, len(row), 1) for row in ends), padding=0)
    boxes[boxes[:, 0] == 180, 2] = 180 + 300 * np.array([share for row in ends for share in row])
    return boxes


def test_lines_that_fill_their_column_go_on_below() -> None:
    assert rows_of(tight([0.9, 0.4], [0.5], [1.0, 0.8, 0.2], [0.7])) == [4, 3, 5, 3]
    assert rows_of(tight([0.4, 0.4], [0.5], [1.0, 0.8, 0.2], [0.7])) == [], "a short line goes on"
    assert rows_of(tight([0.9, 1.0], [0.9], [1.0, 0.9, 0.8], [0.9])) == [], "all lines fill it, as those of a text"
    assert rows_of(tight([0.9], [0.5], [1.0, 0.8, 0.2], [0.7])) == [], "a single cell goes on"


def test_rows_as_close_as_their_lines_are_seen_by_what_stands_in_their_middle() -> None:
    boxes = table((1, 1, 1), (1, 3, 1), (1, 3, 1), (1, 3, 1), middle=True, padding=1)
    inside = boxes[:, 0] == 180
    boxes[inside, 2] = 180 + 300 * np.array([0.5, 0.9, 1.0, 0.4, 1.0, 0.8, 0.2, 0.9, 0.8, 0.3])
    assert rows_of(boxes) == [3, 5, 5, 5]
    boxes[inside, 2] = 480
    assert rows_of(boxes) == [], "all lines fill their column, as those of a text"


def test_text_with_notes_in_its_margin_is_no_table_of_close_rows() -> None:
    boxes = tight([0.9, 0.4], [0.5], [1.0, 0.8, 0.2], [0.7])
    assert rows_of(boxes[boxes[:, 0] < 520]) == []


def test_a_long_table_is_one() -> None:
    rows = [(1, 2, 1), (1, 1, 1), (1, 3, 1)] * 20
    assert rows_of(table(*rows)) == [sum(row) for row in rows]


def test_a_row_without_all_cells_above_close_rows_is_not_lost() -> None:
    boxes = np.vstack([[100, 74, 140, 94], [180, 74, 300, 94], tight([0.9, 0.4], [0.5], [1.0, 0.8, 0.2], [0.7])])
    found = blocks(boxes, Kinds(np.zeros(len(boxes), np.bool_), np.zeros(len(boxes), np.bool_)), np.arange(len(boxes)))
    assert sorted(np.concatenate([block.members for block in found])) == list(range(len(boxes)))


def test_paragraphs_side_by_side_are_no_rows() -> None:
    assert rows_of(table((1, 1), (5, 3), (4, 6), (3, 2), columns=((100, 300), (420, 300)))) == []


def test_text_that_goes_on_below_makes_no_table() -> None:
    rows = (1, 2, 1), (1, 2, 1), (1, 1, 1)
    assert rows_of(table(*rows, (0, 1, 0))) == [4, 4, 3], "a note below it is no row"
    assert rows_of(table(*rows, (0, 1, 0), (0, 1, 0))) == []


def test_cells_at_no_common_height_are_none_of_a_row() -> None:
    boxes = table((1, 2, 1), (1, 3, 1), (1, 2, 1), (1, 3, 1))
    boxes[boxes[:, 0] == 100, 1::2] += 8
    assert rows_of(boxes) == []


def test_labels_above_what_was_filled_in_are_rows() -> None:
    assert rows_of(table((2, 2), (2, 2), (2, 2), columns=((100, 200), (420, 200)))) == [4, 4, 4]


def test_two_rows_of_labels_are_a_form_of_three_columns() -> None:
    assert rows_of(table((2, 2, 2), (2, 2, 2))) == [6, 6]
    assert rows_of(table((2, 2), (2, 2), columns=COLUMNS[:2])) == [], "two columns may be two texts"
    assert rows_of(table((3, 3, 3), (3, 3, 3))) == [], "addresses"


def test_stanzas_side_by_side_are_no_rows() -> None:
    assert rows_of(table((4, 4), (4, 4), (4, 4), columns=((100, 200), (420, 200)))) == []


def test_a_small_table_beside_running_text_does_not_take_it_in() -> None:
    boxes = table((1, 2), (1, 2), (1, 2), padding=1, columns=((100, 60), (420, 300)))
    assert rows_of(boxes) == []


def test_the_points_of_a_list_are_no_rows() -> None:
    for width in (12, 38):  # a bullet, and [12]
        assert rows_of(table((1, 2), (1, 3), (1, 1), (1, 2), columns=((100, width), (160, 300)))) == []


def test_a_row_is_one_line_cell_by_cell() -> None:
    boxes = table((1, 1, 1), (1, 2, 2), (1, 1, 1))
    left, top, right, bottom = boxes.T
    points = np.stack(
        [np.stack([left, top]), np.stack([right, top]), np.stack([right, bottom]), np.stack([left, bottom])]
    )
    lines = arrange(points.transpose(2, 0, 1))
    assert [line.pieces for line in lines] == [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9, 10]]
    assert lines[1].parts() == [(0, [3]), (1, [4]), (1, [5]), (2, [6]), (2, [7])]
    assert {line.paragraph for line in lines} == {0}


@pytest.mark.parametrize(("prices", "is_table"), [(True, False), (False, True)])
def test_remarks_below_what_has_a_price_are_lines_of_their_own(prices: bool, is_table: bool) -> None:
    boxes = table((2, 1), (3, 1), (2, 1), columns=((100, 300), (520, 60)))
    amounts = (boxes[:, 0] == 520) & prices
    (block,) = blocks(boxes, Kinds(amounts, np.zeros(len(boxes), np.bool_)), np.arange(len(boxes)))
    assert (block.rows is not None) == is_table


def test_long_texts_with_prices_are_a_table() -> None:
    boxes = table((2, 1), (3, 1), (2, 1), (1, 1), columns=((100, 300), (520, 60)))
    texts = boxes[:, 0] == 100
    boxes[texts, 2] = 100 + 300 * np.array([0.9, 0.4, 1.0, 0.95, 0.5, 0.8, 0.2, 0.6])
    (block,) = blocks(boxes, Kinds(~texts, np.zeros(len(boxes), np.bool_)), np.arange(len(boxes)))
    assert block.rows is not None
    boxes[2 + 1, 2] = 200  # its first line is short
    (block,) = blocks(boxes, Kinds(~texts, np.zeros(len(boxes), np.bool_)), np.arange(len(boxes)))
    assert block.rows is None
