"""At which scale a page is looked at, and in which tiles, with networks that see ink and nothing else."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.reading import detection
from models.reading.crops import Floats, Pixels
from models.reading.detection import (
    LARGEST_PIXELS,
    LARGEST_SCALE,
    OVERLAP,
    STEP,
    TILE,
    bound_scale,
    find_fragments,
    look,
    probability_map,
    second_scale,
    tile_starts,
)


class InkNetwork:
    """Says of each pixel whether it is dark, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shapes.append(tensor.shape)
        assert tensor.dtype == np.float32
        assert -1 <= tensor.min() <= tensor.max() <= 1
        return np.asarray(tensor[0, 0] < 0, np.float32)


def outlines(probabilities: NDArray[np.float32], size: tuple[int, int]) -> Floats:
    """Return the box around each patch of ink."""
    assert probabilities.shape == size
    contours, _ = cv2.findContours((probabilities > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    return np.array(
        [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]] for x, y, w, h in sorted(boxes)], np.float64
    ).reshape(-1, 4, 2)


def paper(height: int, width: int, *bars: tuple[int, int, int, int]) -> Pixels:
    """A page with black bars: left, top, width, height."""
    image = np.full((height, width, 3), 255, np.uint8)
    for left, top, wide, high in bars:
        image[top : top + high, left : left + wide] = 0
    return image


@pytest.mark.parametrize("side", [32, TILE - STEP, TILE, TILE + STEP, 2 * TILE - OVERLAP, 5000, 20_064])
def test_tiles_cover_a_side_and_overlap(side: int) -> None:
    starts = list(tile_starts(side))
    ends = [min(start + TILE, side) for start in starts]
    assert (starts[0], ends[-1]) == (0, side)
    assert all(end - start == OVERLAP for end, start in zip(ends[:-1], starts[1:], strict=True))


@pytest.mark.parametrize("size", [(64, 96), (1792, 640), (640, 3200), (3232, 1792)])
def test_the_map_of_a_page_in_tiles_is_that_of_the_whole(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    network = InkNetwork()
    found = probability_map(image, network)
    assert np.array_equal(found, (image[:, :, 0] < 127.5).astype(np.float32))
    assert max(max(shape[2:]) for shape in network.shapes) <= TILE
    assert all(side % STEP == 0 for shape in network.shapes for side in shape[2:])


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_fragments_come_back_in_pixels_of_the_image(scale: float) -> None:
    found = look(paper(300, 500, (100, 50, 200, 40)), scale, InkNetwork(), outlines)
    assert found == pytest.approx(np.array([[[100, 50], [300, 50], [300, 90], [100, 90]]]), abs=1 / scale)


def test_a_line_across_the_edges_of_tiles_stays_one() -> None:
    long = paper(200, 4000, (50, 80, 3900, 40))
    (found,) = look(long, 1.0, InkNetwork(), outlines)
    assert found.tolist() == [[50, 80], [3950, 80], [3950, 120], [50, 120]]


def test_text_that_touches_the_edge_has_paper_around_it() -> None:
    network = InkNetwork()
    (found,) = look(paper(100, 300, (0, 0, 80, 40)), 1.0, network, lambda m, s: outlines(m, s) - 9)
    assert network.shapes == [(1, 3, 192, 384)]
    # A detector that reaches beyond the edge is held back.
    assert found.tolist() == [[0, 0], [71, 0], [71, 31], [0, 31]]


def test_a_page_of_fit_text_is_looked_at_once() -> None:
    network = InkNetwork()
    assert len(find_fragments(paper(400, 600, (50, 50, 300, 32), (50, 120, 300, 32)), network, outlines)) == 2
    assert len(network.shapes) == 1


@pytest.mark.parametrize(("height", "scale"), [(8, LARGEST_SCALE), (16, 2.0), (200, 0.16)])
def test_text_too_small_or_too_large_is_looked_at_again(height: int, scale: float) -> None:
    network = InkNetwork()
    (found,) = find_fragments(paper(400, 500, (50, 50, 300, height)), network, outlines)
    assert found == pytest.approx(np.array([[50, 50], [350, 50], [350, 50 + height], [50, 50 + height]]), abs=7)
    first, second = (shape[3] for shape in network.shapes)
    assert (second - first) / 500 == pytest.approx(scale - 1, abs=STEP / 500)


def test_nothing_found_is_looked_for_once_more() -> None:
    network, page = InkNetwork(), paper(400, 600)
    page[100:120, 100:200] = 185  # ink that this network does not see
    assert find_fragments(page, network, outlines).shape == (0, 4, 2)
    assert [shape[2:] for shape in network.shapes] == [(480, 672), (864, 1280)]


def test_blank_paper_does_not_reach_the_network() -> None:
    network = InkNetwork()
    assert find_fragments(paper(400, 600), network, outlines).shape == (0, 4, 2)
    assert network.shapes == []


def test_what_a_second_look_loses_is_kept() -> None:
    answers = [np.array([[[0, 0], [90, 0], [90, 8], [0, 8]]], np.float64), np.zeros((0, 4, 2))]
    found = find_fragments(
        paper(100, 200, (0, 0, 90, 8)), InkNetwork(), lambda m, s: answers.pop(0) + detection.PADDING
    )
    assert (len(found), answers) == (1, [])


def test_scale_suits_the_median_height() -> None:
    def bars(*heights: float) -> Floats:
        return np.array([[[0, 0], [200, 0], [200, height], [0, height]] for height in heights], np.float64)

    assert second_scale(bars(30, 31, 300), 1.0) == 1.0
    assert second_scale(bars(64, 64, 4), 0.25) == pytest.approx(0.5)
    assert second_scale(bars(8), 1.0) == 4.0
    nothing = np.zeros((0, 4, 2))
    assert (second_scale(nothing, 1.0), second_scale(nothing, 0.3)) == (detection.EMPTY_SCALE, 1.0)


@pytest.mark.parametrize(
    "size", [(20_000, 500), (1, 10_000), (1, 50_000_000), (30_000_000, 2), (10_000, 10_000), (3, 3)]
)
def test_no_scale_takes_more_memory_than_there_is(size: tuple[int, int]) -> None:
    image = np.broadcast_to(np.uint8(255), (*size, 3))
    scale = bound_scale(100.0, image)
    assert scale <= LARGEST_SCALE
    height, width = (round(side * scale) + 2 * detection.PADDING for side in size)
    assert height * width <= 2 * LARGEST_PIXELS
    assert bound_scale(1e-3, image) == 1e-3
