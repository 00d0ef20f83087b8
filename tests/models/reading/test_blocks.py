"""Where a page is cut into blocks, and where it is not."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest

from models.reading.amounts import Kinds
from models.reading.blocks import blocks, cut_bands
from models.reading.geometry import Floats, blank_strips, row_middles, typical_height
from models.reading.sides import is_prose

HEIGHT, STEP = 20, 32


def block(left: float, top: float, width: float, rows: int) -> Floats:
    """Lines of text as boxes: left, top, right, bottom."""
    tops = top + STEP * np.arange(rows, dtype=np.float64)
    ones = np.ones(rows)
    return np.stack([left * ones, tops, (left + width) * ones, tops + HEIGHT], axis=1)


def cut(*parts: Floats, amounts: int | None = None, captions: Sequence[int] = ()) -> list[set[int]]:
    """Cut a page of parts, its boxes shuffled; return of which parts each block is. One part may hold amounts, some
    begin with a caption."""
    boxes = np.concatenate(parts)
    source = np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)])
    order = np.random.default_rng(0).permutation(len(boxes))
    firsts = np.concatenate([np.arange(len(part)) == 0 for part in parts])
    kinds = Kinds(source[order] == amounts, (firsts & np.isin(source, captions))[order])
    found = blocks(boxes[order], kinds, np.arange(len(boxes)))
    assert sorted(np.concatenate([members for members, _ in found])) == list(range(len(boxes))), (
        "every box is in one block"
    )
    return [{int(i) for i in source[order][members]} for members, _ in found]


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


def test_the_number_of_a_page_below_three_columns_comes_last() -> None:
    number = block(690, 100 + 13 * STEP, 30, 1)
    assert cut(number, LEFT, MIDDLE, RIGHT) == [{1}, {2}, {3}, {0}]
    assert cut(block(500, 100 + 12 * STEP, 30, 1), LEFT, MIDDLE, RIGHT) == [{1}, {0, 2}, {3}], "the end of its column"


def test_spaces_of_a_few_rows_above_one_another_are_no_gutter() -> None:
    gap = 0.7 * HEIGHT
    assert cut(block(50, 100, 190, 5), block(240 + gap, 100, 190, 5)) == [{0, 1}]
    assert cut(block(50, 100, 190, 9), block(240 + gap, 100, 190, 9)) == [{0}, {1}]


def test_a_sender_above_the_address_is_read_first() -> None:
    sender, address = block(700, 100, 150, 3), block(50, 100 + 3 * STEP, 180, 4)
    assert cut(address, sender) == [{0, 1}], "one block, from top to bottom"


def test_a_long_list_beside_running_text_is_a_block() -> None:
    assert cut(block(50, 100, 400, 8), block(500, 100, 100, 7)) == [{0}, {1}]


def test_cells_of_a_table_or_a_receipt_are_no_columns() -> None:
    names, prices = block(50, 100, 300, 12), block(500, 100, 70, 12)
    assert cut(names, prices, amounts=1) == [{0, 1}]


def test_an_address_and_a_date_far_apart_are_blocks() -> None:
    address, date = block(50, 100, 180, 4), block(700, 100 + 2 * STEP, 150, 1)
    assert cut(address, date) == [{0}, {1}]
    assert cut(address, block(700, 100 + 0.5 * STEP, 150, 3)) == [{0}, {1}], "rows that do not meet"
    assert cut(address, block(300, 100, 60, 4)) == [{0, 1}], "rows that meet, not far apart"


def test_a_column_below_a_picture_is_read_before_the_one_beside_it() -> None:
    below_picture = block(50, 100 + 8 * STEP + 10, 400, 5)
    assert cut(block(500, 100, 400, 12), below_picture) == [{1}, {0}]


def test_short_lines_beside_running_text_are_a_block() -> None:
    assert cut(LEFT, block(500, 100 + 0.4 * STEP, 100, 6)) == [{0}, {1}]


@pytest.mark.parametrize(("gap", "count"), [(0.3, 1), (0.6, 2)])
def test_a_gap_as_narrow_as_one_between_words_is_no_gutter(gap: float, count: int) -> None:
    assert len(cut(LEFT, block(450 + gap * HEIGHT, 100, 400, 12))) == count


def test_blank_strips_lie_where_no_interval_is() -> None:
    starts, widths = blank_strips(np.array([50.0, 0.0, 5.0]), np.array([60.0, 10.0, 30.0]))
    assert (starts.tolist(), widths.tolist()) == ([30], [20])
    starts, _ = blank_strips(np.array([0.0, 10.0]), np.array([10.0, 20.0]))
    assert starts.tolist() == [], "what touches leaves nothing blank"


def test_bands_are_cut_at_every_blank_strip() -> None:
    boxes = np.concatenate([block(50, 100, 100, 2), block(300, 110, 100, 1)])
    assert [sorted(band.tolist()) for band in cut_bands(boxes, np.arange(3))] == [[0, 2], [1]]


def test_running_text_fills_its_rows() -> None:
    assert is_prose(block(0, 0, 300, 5), 5, HEIGHT)
    cells = np.concatenate([block(0, 0, 80, 5), block(300, 0, 50, 5)])
    assert len(row_middles(cells, HEIGHT)) == 5
    assert not is_prose(cells, 5, HEIGHT)


def test_typical_height_is_never_nothing() -> None:
    assert typical_height(np.array([[0.0, 5.0, 10.0, 5.0]])) == 1


def test_captions_of_pictures_side_by_side_are_read_apart() -> None:
    first, second, text = block(50, 300, 400, 2), block(520, 300, 350, 1), block(50, 460, 820, 6)
    assert cut(first, second, text, captions=(0, 1)) == [{0}, {1}, {2}]
    assert cut(first, second, text) == [{0, 1, 2}], "other texts of one row are on one line"


def test_a_heading_across_some_of_the_columns_ends_those_above_it() -> None:
    def columns(top: float) -> tuple[Floats, ...]:
        return tuple(block(left, top, 400, 9) for left in (50, 500, 950))

    heading = block(50, 480, 700, 1)
    heading[:, 1] -= 8
    assert cut(*columns(100), heading, *columns(530)) == [{0}, {1}, {2}, {3}, {4}, {5}, {6}]


def test_the_address_of_a_short_letter_stands_apart_from_its_references() -> None:
    """The lines of the letter stand farther apart than those of the address, and are as many."""
    address, references = block(50, 40, 150, 3), block(480, 54, 140, 3)
    letter = np.concatenate(
        [block(50, top, width, 1) for top, width in ((200, 330), (270, 150), (340, 130), (410, 90))]
    )
    assert cut(address, references, letter) == [{0}, {1}, {2}]


@pytest.mark.parametrize(("blank", "expected"), [(70, [{0}, {1}, {2, 3}, {4}]), (40, [{0, 2, 3}, {1, 4}])])
def test_a_large_heading_in_a_column_begins_a_section_where_the_other_column_is_blank(
    blank: int, expected: list[set[int]]
) -> None:
    """A gap as narrow as one between paragraphs, which the other column may have beside a heading, does not count."""
    heading, middle, high = np.array([[50.0, 500, 300, 528]]), 514, 11 * STEP + HEIGHT
    upper = block(50, 490 - high, 400, 12), block(500, middle - blank / 2 - high, 400, 12)
    lower = block(50, 540, 400, 8), block(500, middle + blank / 2, 400, 8)
    assert cut(*upper, heading, *lower) == expected


def test_the_marks_of_a_list_belong_to_its_rows() -> None:
    """Also where some are not found."""
    assert cut(block(50, 100, 8, 3), block(85, 100, 400, 5)) == [{0, 1}]


def test_a_heading_whose_space_stands_over_the_gutter_is_one() -> None:
    heading = np.array([[50.0, 50, 454, 80], [470, 50, 800, 80]])
    assert cut(heading, block(50, 110, 400, 12), block(476, 110, 400, 12)) == [{0}, {1}, {2}]
    small = np.array([[50.0, 56, 440, 76], [476, 56, 800, 76]])
    assert cut(small, block(50, 110, 400, 12), block(476, 110, 400, 12)) == [{0, 1}, {0, 2}], "rows of both columns"


def rows_at(*places: tuple[float, float, float]) -> Floats:
    """Boxes of one row each: left, top and width."""
    return np.array([[left, top, left + width, top + HEIGHT] for left, top, width in places])


ADDRESS = rows_at((50, 100, 90), (50, 120, 120), (50, 140, 100))
DATA = rows_at((420, 100, 160), (420, 120, 140), (420, 140, 150))


def test_a_heading_above_an_address_does_not_join_it_with_the_data_beside() -> None:
    heading = rows_at((50, 75, 300))
    assert cut(heading, ADDRESS, DATA) == [{0, 1}, {2}]


def test_what_follows_an_address_and_the_data_beside_comes_after_both() -> None:
    assert cut(ADDRESS, DATA, rows_at((50, 170, 200))) == [{0}, {1}, {2}]
    assert cut(ADDRESS, DATA, rows_at((50, 160, 90))) == [{0, 2}, {1}]


def test_the_dates_before_entries_are_no_column() -> None:
    dates, entries = block(50, 100, 180, 9), block(246, 100, 500, 9)
    assert cut(dates, entries) == [{0}, {1}]
    assert cut(dates, entries, amounts=0) == [{0, 1}]


def test_the_spaces_of_two_rows_are_no_gutter() -> None:
    lines = block(50, 100, 400, 5)
    assert cut(lines, block(480, 100, 300, 2)) == [{0, 1}]


def test_a_heading_that_reaches_into_the_gutter_is_above_the_columns() -> None:
    heading = rows_at((50, 60, 444))
    left, right = block(50, 100, 400, 12), block(500, 106, 400, 12)
    assert cut(heading, left, right) == [{0}, {1}, {2}]


def test_a_heading_above_columns_that_go_on_without_it_is_above_all_of_them() -> None:
    heading, left = rows_at((50, 60, 430)), block(50, 100, 400, 12)
    right = np.concatenate([block(500, 100, 400, 6), block(484, 100 + 6 * STEP, 416, 6)])
    assert cut(heading, left, right) == [{0}, {1}, {2}]


def test_many_rows_that_do_not_meet_are_no_rows_of_one_another() -> None:
    short = rows_at(*((50, 100 + 45 * row, 60 + 40 * (row % 2)) for row in range(12)))
    mixed = rows_at(*((230, 100 + 40 * row, 100 if row % 3 else 60) for row in range(14)))
    assert cut(short, mixed) == [{0}, {1}]


def test_a_row_whose_space_stands_over_the_gutter_is_above_the_columns() -> None:
    row = rows_at((50, 100, 410), (471, 100, 400))
    left, right = block(50, 146, 400, 12), block(500, 146, 400, 12)
    assert cut(row, left, right) == [{0}, {1}, {2}]


def test_the_terms_of_a_glossary_belong_to_their_texts() -> None:
    tops = [100 + STEP * row for row in (0, 2, 3, 5, 6, 8)]
    terms, texts = rows_at(*((50, top, 90) for top in tops)), block(200, 100, 420, 10)
    assert cut(terms, texts) == [{0, 1}]
    evenly = rows_at(*((50, 100 + STEP * row, 90) for row in range(6)))
    assert cut(evenly, texts) == [{0}, {1}]
