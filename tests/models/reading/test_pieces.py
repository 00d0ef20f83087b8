"""Where fragments are cut into pieces: at gutters and between cells, by their ink."""

import numpy as np
import pytest

from models.reading.crops import Pixels
from models.reading.geometry import Floats
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


def test_an_upright_rule_in_a_gap_is_no_run() -> None:
    crop = bars((20, 180), (220, 390))
    crop[:, 200:202] = 0
    assert np.allclose(runs(crop) * 400, [[20, 180], [220, 390]], atol=5)
    assert len(runs(bars((20, 180), (200, 203), (230, 390)))) == 3, "a stroke as high as letters is one"


def test_blank_paper_is_one_run() -> None:
    assert runs(bars()).tolist() == [[0, 1]]


def row(top: float) -> Floats:
    return np.array([[0, top], [820, top], [820, top + HEIGHT], [0, top + HEIGHT]], np.float64)


def test_fragments_across_a_gutter_are_cut_there() -> None:
    rows = np.array([row(number * STEP) for number in range(8)])
    pieces = cut_pieces(rows, [np.array([[0, 400 / 820], [412 / 820, 1]])] * 8)
    assert pieces.owners.tolist() == [number // 2 for number in range(16)]
    assert np.allclose(pieces.polygons[:2, 0, 0], [0, 412])
    assert np.allclose(pieces.bounds[:2], [[-np.inf, 406 / 820], [406 / 820, np.inf]]), "the paper between is shared"


def test_one_wide_space_in_a_line_is_no_gutter() -> None:
    whole = [np.array([[0.0, 1.0]])] * 7
    rows = np.array([row(number * STEP) for number in range(8)])
    pieces = cut_pieces(rows, [np.array([[0, 400 / 820], [412 / 820, 1]]), *whole])
    assert pieces.owners.tolist() == list(range(8))
    assert np.isinf(pieces.bounds).all()


def test_cells_are_pieces_of_their_own() -> None:
    assert len(cut_pieces(row(0)[None], [np.array([[0, 0.4], [0.6, 1]])]).polygons) == 2


def test_a_page_without_fragments_has_no_pieces() -> None:
    pieces = cut_pieces(np.zeros((0, 4, 2)), [])
    assert (len(pieces.polygons), len(pieces.owners), len(pieces.bounds)) == (0, 0, 0)
