"""Which narrow gaps are between the cells of a table."""

import numpy as np

from models.reading.geometry import Floats
from models.reading.streams import between_cells

HEIGHT, STEP = 20, 30


def gaps_in(rows: list[list[tuple[float, float]]]) -> list[bool]:
    """Tell of rows of runs, from one x to another, each row one fragment, which gaps are between cells."""
    boxes: Floats = np.array(
        [[start, STEP * number, end, STEP * number + HEIGHT] for number, row in enumerate(rows) for start, end in row]
    )
    owners = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    widths = np.where(owners[1:] == owners[:-1], (boxes[1:, 0] - boxes[:-1, 2]) / HEIGHT, np.inf)
    return [bool(found) for found in between_cells(boxes, owners, widths)]


def test_gaps_above_one_another_are_between_cells() -> None:
    row = [(0.0, 60.0), (72.0, 130.0), (142.0, 200.0)]
    assert gaps_in([row] * 4) == [True, True, False] * 3 + [True, True]
    assert not any(gaps_in([row] * 3)), "three rows may stand so by chance"


def test_one_gap_of_many_is_a_space() -> None:
    rows = [
        [(0.0, 60.0), (72.0, 130.0 + 9 * n), (142.0 + 9 * n, 200.0 + 9 * n), (212.0 + 9 * n, 280)] for n in range(5)
    ]
    assert not any(gaps_in(rows))


def test_a_row_across_ends_a_stream() -> None:
    row, across = [(0.0, 60.0), (72.0, 130.0)], [(0.0, 130.0)]
    assert not any(gaps_in([row, row, across, row, row]))


def test_further_lines_of_a_cell_go_on_with_a_stream() -> None:
    row, further = [(0.0, 60.0), (72.0, 130.0)], [(72.0, 140.0)]
    assert gaps_in([row, row, further, further]) == [True, False, True, False, False]
    assert not any(gaps_in([row, row, [(85.0, 140.0)], [(85.0, 140.0)]])), "they begin elsewhere"


def test_a_mark_before_several_lines_is_no_cell() -> None:
    assert not any(gaps_in([[(0.0, 10.0), (22.0, 130.0)], *[[(22.0, 130.0)]] * 4]))
