"""Where a page is cut into columns, and where it is not."""

from itertools import groupby

import numpy as np
import pytest

from models.reading.columns import (
    Floats,
    blank_strips,
    columns,
    cut_bands,
    find_gutter,
    text_per_row,
    typical_height,
)

HEIGHT, STEP = 20, 32


def block(left: float, top: float, width: float, rows: int) -> Floats:
    """Lines of text as boxes: left, top, right, bottom."""
    tops = top + STEP * np.arange(rows, dtype=np.float64)
    ones = np.ones(rows)
    return np.stack([left * ones, tops, (left + width) * ones, tops + HEIGHT], axis=1)


def cut(*blocks: Floats) -> list[set[int]]:
    """Cut a page of blocks, its boxes shuffled; return of which blocks each column is."""
    boxes = np.concatenate(blocks)
    source = np.concatenate([np.full(len(block), number) for number, block in enumerate(blocks)])
    order = np.random.default_rng(0).permutation(len(boxes))
    found = columns(boxes[order], np.arange(len(boxes)))
    assert sorted(np.concatenate(found)) == list(range(len(boxes))), "every fragment is in one column"
    return [{int(i) for i in source[order][members]} for members in found]


HEADING, LEFT, MIDDLE, RIGHT = (
    block(50, 40, 900, 1),
    block(50, 100, 400, 12),
    block(500, 100, 400, 12),
    block(950, 100, 400, 12),
)


def test_a_page_without_columns_is_one_block() -> None:
    assert cut(LEFT) == [{0}]
    assert cut(HEADING, block(50, 100, 850, 12)) == [{0, 1}]


@pytest.mark.parametrize("count", [2, 3])
def test_columns_are_read_from_left_to_right(count: int) -> None:
    assert cut(*[LEFT, MIDDLE, RIGHT][:count]) == [{number} for number in range(count)]


def test_headings_and_footers_that_span_the_columns_are_blocks_of_their_own() -> None:
    footer = block(50, 520, 900, 1)
    assert cut(footer, MIDDLE, HEADING, LEFT) == [{2}, {3}, {1}, {0}]


def test_columns_above_and_below_a_heading_are_read_part_by_part() -> None:
    between = block(50, 520, 900, 1)
    below = block(50, 580, 400, 12), block(500, 580, 400, 12)
    assert cut(LEFT, MIDDLE, between, *below) == [{0}, {1}, {2}, {3}, {4}]


def test_columns_of_unequal_length() -> None:
    assert cut(LEFT, block(500, 100, 400, 6)) == [{0}, {1}]
    assert cut(LEFT, block(500, 196, 400, 9)) == [{0}, {1}], "the right one may start lower"
    # Much lower, the left one is cut in two; the order is the same.
    assert [parts for parts, _ in groupby(cut(LEFT, block(500, 292, 400, 6)))] == [{0}, {1}]


def test_cells_of_a_table_or_a_receipt_are_no_columns() -> None:
    names, prices = block(50, 100, 300, 12), block(500, 100, 70, 12)
    assert cut(names, prices) == [{0, 1}]


def test_few_rows_side_by_side_are_no_columns() -> None:
    assert cut(block(50, 100, 400, 3), block(500, 100, 400, 3)) == [{0, 1}]


def test_a_gap_as_narrow_as_one_between_words_is_no_gutter() -> None:
    boxes = np.concatenate([LEFT, block(450 + 0.5 * HEIGHT, 100, 400, 12)])
    assert find_gutter(boxes) is None
    assert find_gutter(np.concatenate([LEFT, MIDDLE])) == 450


def test_blank_strips_lie_where_no_interval_is() -> None:
    starts, widths = blank_strips(np.array([50.0, 0.0, 5.0]), np.array([60.0, 10.0, 30.0]))
    assert (starts.tolist(), widths.tolist()) == ([30], [20])
    starts, _ = blank_strips(np.array([0.0, 10.0]), np.array([10.0, 20.0]))
    assert starts.tolist() == [], "what touches leaves nothing blank"


def test_bands_are_cut_at_every_blank_strip() -> None:
    boxes = np.concatenate([block(50, 100, 100, 2), block(300, 110, 100, 1)])
    assert [sorted(band.tolist()) for band in cut_bands(boxes, np.arange(3))] == [[0, 2], [1]]


def test_text_per_row_counts_the_rows_that_hold_ink() -> None:
    assert text_per_row(block(0, 0, 300, 5)) == pytest.approx(300)
    two_words = np.concatenate([block(0, 0, 100, 5), block(150, 0, 50, 5)])
    assert text_per_row(two_words) == pytest.approx(150)


def test_typical_height_is_never_nothing() -> None:
    assert typical_height(np.array([[0.0, 5.0, 10.0, 5.0]])) == 1
