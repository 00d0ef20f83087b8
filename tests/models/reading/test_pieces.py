"""Where fragments are cut into pieces: at gutters and between cells, by their ink."""

import numpy as np
import pytest

from models.reading.blocks import Floats
from models.reading.crops import Pixels
from models.reading.pieces import cut_pieces
from models.reading.runs import runs

HEIGHT, STEP = 20, 32


def bars(*spans: tuple[int, int], width: int = 400, paper: int = 255, ink: int = 0) -> Pixels:
    """A crop with strokes, as wide as the gaps between them, from one x to another."""
    crop = np.full((HEIGHT, width, 3), paper, np.uint8)
    for start, end in spans:
        for stroke in range(start, end, 8):
            crop[4:16, stroke : stroke + 4] = ink
    return crop


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (30, 220), (240, 200)])
def test_runs_are_parted_by_wide_gaps_whatever_the_colours(paper: int, ink: int) -> None:
    crop = bars((20, 100), (102, 180), (200, 390), paper=paper, ink=ink)
    assert np.allclose(runs(crop) * 400, [[20, 180], [200, 390]], atol=5)


def test_a_rule_through_a_gap_does_not_close_it() -> None:
    crop = bars((20, 180), (200, 390))
    crop[10] = 0
    assert len(runs(crop)) == 2


def test_blank_paper_is_one_run() -> None:
    assert runs(bars()).tolist() == [[0, 1]]


def row(top: float) -> Floats:
    return np.array([[0, top], [820, top], [820, top + HEIGHT], [0, top + HEIGHT]], np.float64)


def test_fragments_across_a_gutter_are_cut_there_and_margins_do_not_meet() -> None:
    rows = np.array([row(number * STEP) for number in range(8)])
    pieces, crops = cut_pieces(rows, [np.array([[0, 400 / 820], [412 / 820, 1]])] * 8)
    assert len(pieces) == 16
    assert np.allclose(pieces[:2, 0, 0], [0, 412])
    assert crops[0, 1, 0] <= crops[1, 0, 0] < 412
    assert crops[0, 0, 0] == 0
    assert crops[1, 1, 0] == pytest.approx(820)


def test_one_wide_space_in_a_line_is_no_gutter() -> None:
    whole = [np.array([[0.0, 1.0]])] * 7
    pieces, _ = cut_pieces(
        np.array([row(number * STEP) for number in range(8)]), [np.array([[0, 400 / 820], [412 / 820, 1]]), *whole]
    )
    assert len(pieces) == 8


def test_cells_are_pieces_of_their_own() -> None:
    pieces, _ = cut_pieces(row(0)[None], [np.array([[0, 0.4], [0.6, 1]])])
    assert len(pieces) == 2


def test_a_page_without_fragments_has_no_pieces() -> None:
    pieces, crops = cut_pieces(np.zeros((0, 4, 2)), [])
    assert len(pieces) == len(crops) == 0
