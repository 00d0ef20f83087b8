"""Which rows make a table, on boxes that no network has seen."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.reading.amounts import Kinds
from models.reading.blocks import blocks, cut_bands
from models.reading.geometry import Flags, Floats
from models.reading.tables import column_numbers, find_tables, side_by_side
from models.reading.word_tables import find_word_tables

HEIGHT, STEP = 20, 40


def grid(*columns: tuple[float, float], rows: int = 4, top: float = 100, step: float = STEP) -> Floats:
    """Rows of cells: for each column its left edge and the width of its cells, which vary a little."""
    shares = np.array([1, 0.8, 0.6, 0.9])
    return np.array(
        [
            [left, top + step * row, left + width * shares[row % 4], top + step * row + HEIGHT]
            for row in range(rows)
            for left, width in columns
        ]
    )


def tables(boxes: Floats, amounts: Flags) -> list[tuple[int, int]]:
    return [(first, last) for first, last, _ in find_tables(boxes, amounts, cut_bands(boxes, np.arange(len(boxes))))]


GOODS, QUANTITY, PRICE = (100.0, 240.0), (420.0, 30.0), (500.0, 60.0)


def last_of(columns: int, rows: int = 4) -> Flags:
    """The last cell of each row holds a number."""
    return np.arange(columns * rows) % columns == columns - 1


@pytest.mark.parametrize("columns", [(GOODS, PRICE), (GOODS, QUANTITY, PRICE)])
def test_rows_with_numbers_are_a_table(columns: tuple[tuple[float, float], ...]) -> None:
    assert tables(grid(*columns), last_of(len(columns))) == [(0, 4)]


def test_a_table_is_one_block_whose_first_column_belongs_to_the_others() -> None:
    address, data = grid((100, 200), top=100, step=26), grid((560, 120), (800, 80), top=104, step=36)
    table = grid(GOODS, QUANTITY, PRICE, rows=6, top=330)
    boxes = np.concatenate([address, data, table])
    amounts = np.concatenate([np.zeros(12, bool), np.arange(18) % 3 > 0])
    found = [
        sorted(members.tolist()) for members, _ in blocks(boxes, Kinds(amounts, np.zeros(30, np.bool_)), np.arange(30))
    ]
    assert found == [list(range(4)), list(range(4, 12)), list(range(12, 30))]


def test_an_address_beside_data_is_no_table_though_their_rows_meet() -> None:
    boxes = grid((100, 200), (700, 90), (830, 80))
    assert tables(boxes, last_of(3)) == []
    many = grid((100, 200), (700, 90), (830, 80), rows=8)
    assert tables(many, last_of(3, 8)) == [(0, 8)], "so many rows meet by no chance"


def test_columns_of_running_text_are_no_table() -> None:
    text = np.array([[left, 100 + 30 * row, left + 400, 120 + 30 * row] for row in range(8) for left in (100, 540)])
    assert tables(text, last_of(2, 8)) == []


def test_a_wide_blank_between_rows_parts_two_tables() -> None:
    boxes = np.concatenate([grid(GOODS, QUANTITY, rows=3), grid(GOODS, QUANTITY, rows=3, top=100 + 6 * STEP)])
    assert tables(boxes, last_of(2, 6)) == [(0, 3), (3, 6)]


def test_a_total_across_the_columns_leaves_them_as_they_are() -> None:
    body, total = grid(GOODS, QUANTITY, PRICE), np.array([[400.0, 260, 495, 280], [500, 260, 560, 280]])
    boxes = np.concatenate([body, total])
    assert column_numbers(boxes, cut_bands(boxes, np.arange(14)), HEIGHT).tolist() == [0, 1, 2] * 4 + [2, 2]


def test_one_row_and_rows_without_numbers_are_no_table() -> None:
    assert tables(grid(GOODS, QUANTITY, rows=1), last_of(2, 1)) == []
    assert tables(grid(GOODS, QUANTITY), np.zeros(8, bool)) == []


def test_the_numbers_before_a_text_are_those_of_a_list() -> None:
    boxes = grid((100, 20), (150, 400))
    assert tables(boxes, np.arange(8) % 2 == 0) == []


def test_labels_with_what_was_filled_in_below_them_are_no_table() -> None:
    boxes = grid(GOODS, PRICE, rows=6)
    filled_in = np.arange(12) // 2 % 2 == 1
    assert tables(boxes, filled_in) == []
    assert tables(boxes, np.arange(12) // 2 >= 1) == [(0, 6)], "below one head, all are numbers"


def test_a_label_before_its_number_makes_no_column_of_numbers() -> None:
    boxes = grid((100, 360), (500, 60), (600, 80))
    assert tables(boxes, last_of(3)) == [(0, 4)]
    close = grid((100, 360), (500, 93), (600, 80))
    assert tables(close, last_of(3)) == []


def test_the_sign_of_a_currency_belongs_to_its_number() -> None:
    boxes = grid(GOODS, (500, 10), (525, 60), rows=6)
    assert tables(boxes, last_of(3, 6)) == [(0, 6)]
    assert column_numbers(boxes, cut_bands(boxes, np.arange(18)), HEIGHT).tolist() == [0, 1, 1] * 6


def test_columns_that_stand_close_need_more_rows() -> None:
    def close(rows: int) -> Floats:
        return np.array([[left, 40 * row, left + 50, 40 * row + HEIGHT] for row in range(rows) for left in (100, 162)])

    assert tables(close(3), last_of(2, 3)) == []
    assert tables(close(5), last_of(2, 5)) == [(0, 5)]
    assert tables(close(3), np.ones(6, bool)) == [], "one column of numbers"


def two_lists(head: float) -> tuple[Floats, Flags]:
    """Two lists of goods and prices under their heads, the second head of a width of its own."""
    heads = np.array([[100, 60, 180, 80], [500, 60, 550, 80], [700, 60, 780, 80], [1100, 60, 1100 + head, 80]])
    rows = grid(GOODS, PRICE, (700, 240), (1100, 60))
    amounts = np.concatenate([np.zeros(4, bool), np.arange(16) % 2 == 1])
    return np.concatenate([heads, rows]).astype(np.float64), amounts


def test_two_lists_side_by_side_are_read_one_after_the_other() -> None:
    boxes, amounts = two_lists(50)
    left, right = side_by_side(boxes, amounts, np.arange(20), HEIGHT)
    assert boxes[left, 2].max() < boxes[right, 0].min()
    bare = np.array([True, False, True, False, *[True] * 16])
    assert len(side_by_side(boxes[bare], amounts[bare], np.arange(18), HEIGHT)) == 2, "their numbers may have no head"


def test_a_table_with_other_heads_is_one() -> None:
    boxes, amounts = two_lists(90)
    assert len(side_by_side(boxes, amounts, np.arange(20), HEIGHT)) == 1
    assert len(side_by_side(grid(GOODS, QUANTITY, PRICE), last_of(3), np.arange(12), HEIGHT)) == 1


def test_a_column_that_goes_on_below_is_text_beside_a_list() -> None:
    text = np.array([[100, 100 + STEP * row, 340, 120 + STEP * row] for row in range(7)])
    prices = grid((400, 100), (560, 60), rows=4)
    boxes = np.concatenate([prices, text])
    amounts = np.concatenate([np.arange(8) % 2 == 1, np.zeros(7, bool)])
    assert tables(boxes, amounts) == []
    assert tables(boxes[:12], amounts[:12]) == [(0, 4)]


def test_beside_two_columns_of_numbers_long_texts_are_cells() -> None:
    texts = np.array([[100, 100 + STEP * row, 340, 120 + STEP * row] for row in range(6)], np.float64)
    numbers = grid((420, 60), (560, 60), rows=6)
    boxes = np.concatenate([texts, numbers])
    assert tables(boxes, np.arange(18) >= 6) == [(0, 6)]
    one = np.concatenate([texts, numbers[::2]])
    assert tables(one, np.arange(12) >= 6) == [], "they may be text beside a list"


NAME, TOWN, JOB = (100.0, 120.0), (300.0, 80.0), (460.0, 140.0)


def word_tables(boxes: Floats, to_tick: Sequence[int] = ()) -> list[tuple[int, int]]:
    bands = cut_bands(boxes, np.arange(len(boxes)))
    return [(first, last) for first, last, _ in find_word_tables(boxes, to_tick, bands, HEIGHT)]


@pytest.mark.parametrize("columns", [(NAME, TOWN), (NAME, TOWN, JOB)])
def test_words_below_one_another_are_a_table_without_numbers(columns: tuple[tuple[float, float], ...]) -> None:
    assert word_tables(grid(*columns, rows=3)) == [(0, 3)]
    assert word_tables(grid(*columns, rows=2)) == [], "two rows may stand so by chance"


def test_words_that_begin_end_and_are_centred_anywhere_are_no_column() -> None:
    boxes = grid(NAME, TOWN, rows=4)
    boxes[1::2, [0, 2]] += np.array([0, 30, 60, 40])[:, None] * 1.0
    assert word_tables(boxes) == []


def test_the_numbers_of_a_list_make_no_table_of_words() -> None:
    assert word_tables(grid((100, 25), (150, 300))) == []


def test_rows_without_some_of_the_cells_are_no_table_of_words() -> None:
    boxes = grid(NAME, TOWN, JOB, rows=6)
    assert word_tables(np.delete(boxes, 4, axis=0)) == [(0, 6)], "one cell may be empty"
    assert word_tables(np.delete(boxes, [4, 8], axis=0)) == []


def test_wide_spaces_of_a_text_are_no_gaps_of_a_table() -> None:
    rows = grid(NAME, TOWN, rows=3, step=26)

    def with_line(top: float) -> Floats:
        return np.concatenate([rows, [[100.0, top, 380, top + HEIGHT]]])

    assert word_tables(with_line(100 + 3 * 26)) == [], "the text goes on below"
    assert word_tables(with_line(100 - 26)) == [], "or comes from above"
    assert word_tables(with_line(100 + 4 * 26)) == [(0, 3)], "a paragraph of its own"
    far = grid(NAME, TOWN, rows=3, step=60)
    assert word_tables(np.concatenate([far, [[100.0, 280, 380, 300]]])) == [(0, 3)], (
        "no text has its lines so far apart"
    )


def test_a_line_below_that_has_nothing_in_the_first_column_belongs_to_a_cell() -> None:
    rows = grid(NAME, TOWN, rows=3, step=30)

    def with_line(top: float) -> Floats:
        return np.concatenate([rows, [[300.0, top, 360, top + HEIGHT]]])

    assert word_tables(with_line(100 + 2 * 30 + 24)) == []
    assert word_tables(with_line(100 + 4 * 30)) == [(0, 3)], "too far below"


def test_what_is_to_be_ticked_is_no_row_of_a_table_of_words() -> None:
    boxes = grid(NAME, TOWN, JOB, rows=4)
    assert word_tables(boxes, to_tick=[0, 1, 2]) == [(1, 4)]
    assert word_tables(boxes, to_tick=[9, 10, 11]) == [(0, 3)]
    assert word_tables(boxes, to_tick=range(12)) == [(0, 4)], "all rows hold some"
    assert word_tables(boxes, to_tick=[1, 2]) == [(0, 4)], "what stands before them is asked"


def test_a_table_of_words_is_a_block_between_what_is_above_and_below() -> None:
    table, above, below = grid(NAME, TOWN, JOB), np.array([[100.0, 30, 500, 50]]), np.array([[100.0, 320, 500, 340]])
    found = blocks(np.concatenate([above, table, below]), Kinds(*np.zeros((2, 14), np.bool_)), np.arange(14))
    assert [(block.members.tolist(), block.rows is not None) for block in found] == [
        ([0], False),
        (list(range(1, 13)), True),
        ([13], False),
    ]
