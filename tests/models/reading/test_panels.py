"""Lists of prices and running text side by side, on boxes that no network has seen."""

from collections.abc import Sequence

import numpy as np

from models.reading.amounts import Kinds
from models.reading.blocks import blocks
from models.reading.geometry import Flags, Floats

HEIGHT, LINE = 20.0, 30.0


def prices(left: float, *remarks: int, top: float = 100.0, step: float = LINE) -> tuple[Floats, Flags]:
    """Boxes of texts, their prices 300 to the right, and so many lines of remarks below each."""
    boxes, amounts = [], []
    for count in remarks:
        places = [(left, top, 140), (left + 250, top, 50), *((left, top + step * (1 + n), 200) for n in range(count))]
        boxes += [(x, y, x + width, y + HEIGHT) for x, y, width in places]
        amounts += [False, True, *[False] * count]
        top += step * (1 + count)
    return np.array(boxes), np.array(amounts)


def prose(
    left: float, rows: int, shares: Sequence[float] = (1.0, 0.95, 0.98), top: float = 100.0, width: float = 300.0
) -> tuple[Floats, Flags]:
    tops = top + LINE * np.arange(rows)
    widths = width * np.resize(shares, rows)
    return np.stack([np.full(rows, left), tops, left + widths, tops + HEIGHT], axis=1), np.zeros(rows, np.bool_)


def parts_of(*parts: tuple[Floats, Flags]) -> list[set[int]]:
    """Return of which parts each block is."""
    boxes, amounts = (np.concatenate(each) for each in zip(*parts, strict=True))
    source = np.repeat(np.arange(len(parts)), [len(part) for part, _ in parts])
    found = blocks(boxes, Kinds(amounts, np.zeros(len(boxes), np.bool_)), np.arange(len(boxes)))
    assert sorted(np.concatenate([block.members for block in found])) == list(range(len(boxes)))
    sets = [set(source[block.members].tolist()) for block in found]
    return [each for number, each in enumerate(sets) if not number or each != sets[number - 1]]


def test_lists_with_remarks_are_read_one_after_the_other() -> None:
    assert parts_of(prices(100, 1, 2, 1), prices(460, 2, 1, 2)) == [{0}, {1}]
    title = np.array([[250.0, 40, 600, 70]]), np.zeros(1, np.bool_)
    assert parts_of(title, prices(100, 1, 2, 1), prices(460, 2, 1, 2)) == [{0}, {1}, {2}]


def test_lists_whose_rows_do_not_meet_are_read_one_after_the_other() -> None:
    assert parts_of(prices(100, 0, 0, 0, 0), prices(460, 0, 0, 0, top=112, step=37)) == [{0}, {1}]


def test_prices_in_two_columns_of_one_table_belong_to_its_rows() -> None:
    assert parts_of(prices(100, 0, 0, 0, 0), prices(460, 0, 0, 0, 0)) == [{0, 1}]


def test_running_text_beside_a_list_is_a_panel() -> None:
    assert parts_of(prices(100, 0, 0, 0, 0), prose(460, 12)) == [{0}, {1}]
    assert parts_of(prose(100, 12), prices(460, 0, 0, 0, 0)) == [{0}, {1}]


def test_a_short_list_beside_a_ragged_text_is_a_panel() -> None:
    ragged = 1.0, 0.7, 0.85, 0.75
    assert parts_of(prose(100, 12, ragged), prices(460, 0, 0, 0, 0)) == [{0}, {1}]
    assert parts_of(prose(100, 6, ragged), prices(460, 0, 0, 0, 0, 0, 0)) == [{0, 1}], "each line may have its price"


def test_what_was_bought_stands_beside_its_price() -> None:
    texts = prose(100, 9, (1.0, 0.9, 0.3))
    (boxes, amounts) = prices(460, 0, 0, 0, step=3 * LINE)
    boxes[:, 1::2] = 100 + 3 * LINE * np.repeat(np.arange(3), 2)[:, None] + [0, HEIGHT]
    assert parts_of(texts, (boxes, amounts)) == [{0, 1}]


def test_a_text_that_goes_on_below_a_list_is_a_panel() -> None:
    ragged = 1.0, 0.7, 0.85, 0.75
    assert parts_of(prices(100, *[0] * 6), prose(460, 8, ragged)) == [{0}, {1}]


def test_a_text_beside_a_list_with_remarks_is_no_row_of_it() -> None:
    assert parts_of(prose(100, 5), prices(460, 2, 1, 2, 1, top=130)) == [{0}, {1}]


def test_long_texts_with_their_prices_are_no_panels() -> None:
    texts, (boxes, amounts) = prose(100, 6), prices(210, 0, 0, 0, 0, 0, 0)
    assert parts_of(texts, (boxes[amounts], amounts[amounts])) == [{0, 1}]
