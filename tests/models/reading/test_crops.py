"""Cutting, turning and telling ink from paper, pixel by pixel."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from models.reading.crops import TURNS, Floats, Pixels, cut, has_ink, paper_colour, turn, widen
from models.reading.geometry import rotate, turn_back

DIRECTIONS = (0, *TURNS)


def quarters() -> Pixels:
    """Four colours, and an odd size of which no side is the other."""
    image = np.zeros((40, 61, 3), np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30], image[20:, 30:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return image


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def test_an_upright_box_is_cut_as_it_is() -> None:
    assert np.array_equal(cut(quarters(), box(10, 5, 50, 35)), quarters()[5:35, 10:50])
    assert np.array_equal(cut(quarters(), box(0, 0, 61, 40)), quarters())


@pytest.mark.parametrize("degrees", [-25, 4, 90, 180])
def test_a_slanted_box_is_cut_upright(degrees: float) -> None:
    marked = Image.new("L", (300, 300), 255)
    corners = rotate(box(-60, -15, 60, 15), degrees) + 150
    ImageDraw.Draw(marked).polygon([tuple(corner) for corner in corners], fill=0)
    start = corners.mean(axis=0) + (corners[0] + corners[3] - corners[1] - corners[2]) / 5
    ImageDraw.Draw(marked).circle(tuple(start), 6, fill=128)
    crop = cut(np.asarray(marked.convert("RGB")), corners)
    assert crop.shape == (30, 120, 3)
    assert (crop[3:-3, 3:-3] < 200).all(), "nothing of what lies around it"
    assert (crop[15, 8:16] == 128).all(), "its start is at the left"


def test_a_margin_is_counted_in_heights() -> None:
    assert cut(quarters(), box(20, 10, 50, 30), margin=0.15).shape == (26, 36, 3)
    assert widen(box(20, 10, 50, 30), 0.5).tolist() == box(10, 0, 60, 40).tolist()


def test_beyond_the_image_its_edge_goes_on() -> None:
    crop = cut(quarters(), box(0, 0, 60, 20), margin=0.5)
    assert (crop[0, 0] == (255, 0, 0)).all()
    assert (crop[0, -1] == (0, 255, 0)).all()


@pytest.mark.parametrize("corners", [box(5, 5, 5, 5), box(5, 5, 5.2, 30), box(5, 5, 30, 5.2)])
def test_a_box_without_an_extent_is_a_pixel_wide(corners: Floats) -> None:
    assert min(cut(quarters(), corners, margin=0.15).shape) >= 1


@pytest.mark.parametrize("degrees", DIRECTIONS)
def test_turn_back_undoes_turn(degrees: int) -> None:
    image = np.zeros((40, 61, 3), np.uint8)
    image[7, 50] = 255
    turned = turn(image, degrees)
    ((row, column),) = np.argwhere(turned[:, :, 0])
    point = np.array([(column + 0.5) / turned.shape[1], (row + 0.5) / turned.shape[0]])
    assert turn_back(point, degrees) * (61, 40) == pytest.approx([50.5, 7.5])


@pytest.mark.parametrize("degrees", DIRECTIONS)
def test_turn_is_clockwise(degrees: int) -> None:
    expected = np.asarray(Image.fromarray(quarters()).rotate(-degrees, expand=True))
    assert np.array_equal(turn(quarters(), degrees), expected)


def test_the_colour_of_paper_is_that_of_the_border() -> None:
    page = np.full((30, 40, 3), (200, 220, 240), np.uint8)
    page[5:25, 5:35] = 0
    assert paper_colour(page) == (200, 220, 240)
    assert paper_colour(page[:1, :1]) == (200, 220, 240)


def written(size: int, paper: int, ink: int) -> Pixels:
    image = Image.new("L", (16 * size, round(1.5 * size)), paper)
    ImageDraw.Draw(image).text(
        (size // 2, size // 6), "as faint as pencil", fill=ink, font=ImageFont.load_default(size)
    )
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("size", [8, 24, 160])
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (250, 225), (40, 70)])
def test_writing_has_ink_however_faint(size: int, paper: int, ink: int) -> None:
    assert has_ink(written(size, paper, ink))


def grainy(height: int, width: int) -> Pixels:
    grain = np.random.default_rng(0).integers(0, 9, (height, width, 3), dtype=np.uint8)
    return 250 - grain


def shaded(height: int, width: int) -> Pixels:
    return np.linspace(180, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (50, 400), (900, 700)])
def test_paper_has_none(size: tuple[int, int]) -> None:
    assert not has_ink(np.full((*size, 3), 255, np.uint8))
    if min(size) > 1:
        assert not has_ink(grainy(*size))
        assert not has_ink(shaded(*size))
