"""Pages with little on them: every line is found however much blank paper is around it, and blank paper stays empty."""

import numpy as np
import pytest
from PIL import Image

from models.families.rapidocr import MODELS
from models.reading import detection
from models.reading.crops import Floats, Pixels
from models.reading.detection import find_fragments, local_contrast, strengthen, without_haze
from models.reading.reader import PageReader
from tests import drawn

A4 = (1654, 2339)  # at 200 dpi


@pytest.fixture(scope="module")
def reader() -> PageReader:
    directory = MODELS[0].source.directory
    assert directory is not None
    return PageReader(directory)


def sheet(
    size: tuple[int, int], tops: list[int], paper: int = 255, ink: int = 0, grain: float = 0, shade: float = 0
) -> Pixels:
    """A page with numbered lines at some heights; `shade` is the share of light lost from left to right."""
    image = Image.new("RGB", size, (paper,) * 3)
    for number, top in enumerate(tops):
        drawn.write(image, drawn.numbered(len(tops))[number : number + 1], (60, top), 28, colour=f"rgb{(ink,) * 3}")
    levels = np.asarray(image, np.float64) * np.linspace(1, 1 - shade, size[0])[:, None]
    levels += np.random.default_rng(0).normal(0, grain, levels.shape[:2])[..., None]
    return np.clip(levels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "tops", "look"),
    [
        (A4, [1100], {}),
        (A4, [150, 2000], {"ink": 235}),
        (A4, [200, 1150, 1900], {"paper": 240, "grain": 2.0, "shade": 0.2}),
        (A4, [1100], {"paper": 235, "ink": 215, "grain": 2.0}),
        ((1200, 6000), [300, 1900, 3700, 5600], {}),
        ((600, 6000), [400, 2500, 3900, 5700], {"paper": 235}),
    ],
)
def test_lines_far_apart_are_read(
    reader: PageReader, size: tuple[int, int], tops: list[int], look: dict[str, float]
) -> None:
    page = sheet(size, tops, **look)  # type: ignore[arg-type]
    assert [line.text for line in reader.read(page)] == drawn.numbered(len(tops))


@pytest.mark.parametrize("look", [{}, {"paper": 235, "grain": 2.0}, {"paper": 200, "grain": 8.0}, {"shade": 0.3}])
def test_blank_paper_is_empty(reader: PageReader, look: dict[str, float]) -> None:
    assert reader.read(sheet((800, 1600), [], **look)) == []  # type: ignore[arg-type]


def test_what_the_detector_says_of_blank_paper_does_not_count() -> None:
    page = np.full((300, 500, 3), 255, np.uint8)
    page[100:130, 200:300] = 0
    maps: list[detection.Map] = []

    def postprocess(probabilities: detection.Map, size: tuple[int, int]) -> Floats:
        maps.append(probabilities)
        return np.zeros((0, 4, 2))

    find_fragments(page, lambda tensor: np.full(tensor.shape[2:], 0.5, np.float32), postprocess)
    rows, columns = np.nonzero(maps[0])
    near = detection.PADDING + np.array([[100 - 13, 129 + 13], [200 - 13, 299 + 13]])
    assert [[rows.min(), rows.max()], [columns.min(), columns.max()]] == near.tolist()


def test_gaps_within_a_line_are_not_cut_out() -> None:
    inked = np.zeros((40, 200), bool)
    inked[:, :70] = inked[:, 90:160] = True
    line = np.zeros((40, 200), np.float32)
    line[10:20, :160] = 0.8
    assert np.array_equal(without_haze(line, inked), line)
    haze = np.full((40, 200), 0.5, np.float32)
    haze[10:20, :160] = 0.8
    assert np.array_equal(without_haze(haze, inked & (line > 0)), np.where(inked & (line > 0), line, 0))


def test_only_faint_ink_is_made_stronger() -> None:
    def page(ink: int) -> Pixels:
        image = np.full((200, 300, 3), 230, np.uint8)
        image[90:110, 100:110] = ink
        return image

    faint, strong, blank = page(210), page(100), page(230)
    contrasts = [local_contrast(image) for image in (faint, strong, blank)]
    assert [contrast.max() for contrast in contrasts] == [20, 130, 0]
    stronger = strengthen(faint, contrasts[0])
    assert stronger[100, 105, 0] < 230 - 120
    assert abs(int(stronger[10, 10, 0]) - 230) <= 1
    assert strengthen(strong, contrasts[1]) is strong
    assert strengthen(blank, contrasts[2]) is blank
    grain = sheet((300, 200), [], paper=230, grain=8.0)
    assert local_contrast(grain).max() < detection.FAINT
    assert strengthen(grain, local_contrast(grain)) is grain


def test_what_only_the_first_look_found_is_kept() -> None:
    def box(left: int, top: int) -> list[list[int]]:
        return [[left, top], [left + 90, top], [left + 90, top + 8], [left, top + 8]]

    looks = [np.array([box(0, 0), box(0, 60)], np.float64), np.array([box(5, 2)], np.float64)]
    page = np.full((100, 200, 3), 255, np.uint8)
    page[::4] = 0  # blank paper is not looked at
    found = find_fragments(
        page,
        lambda tensor: np.zeros(tensor.shape[2:], np.float32),
        # The second look is at an enlarged page.
        lambda _, size: looks.pop(0) * (1 if size[1] < 300 else detection.LARGEST_SCALE) + detection.PADDING,
    )
    assert found.min(axis=1).tolist() == pytest.approx(np.array([[5, 2], [0, 60]]))
