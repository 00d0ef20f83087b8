"""Training the reader of print: what is drawn, and what a training writes."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.families.rapidocr import package_directory
from models.networks.recogniser import read_network, write_own
from models.reading.recogniser import FILE, Recogniser
from models.training import scripts, small_print
from models.training.drawn_print import HEIGHTS
from models.training.drawn_print import small_print as spoilt
from models.training.receipt_texts import receipt_line
from tests import drawn


def test_lines_of_receipts_are_short_and_of_many_kinds() -> None:
    chance = random.Random(0)
    lines = [receipt_line(chance) for _ in range(500)]
    assert all(line == " ".join(line.split()) and 0 < len(line) <= 48 for line in lines)
    assert len(set(lines)) > 450
    assert sum(line.isupper() for line in lines) > 100
    assert sum(any(letter.isdigit() for letter in line) for line in lines) > 100


def test_bad_print_is_small_and_keeps_its_ink() -> None:
    chance = random.Random(1)
    font = next(file for file in scripts.font_files([scripts.FONTS]) if file.name == "DejaVuSans.ttf")
    above = below = np.zeros((8, 8), np.float32)
    faint = 0
    for _ in range(40):
        image, ink = spoilt("TOTAL 12.90", font, (above, below), chance)
        above, below = below, ink
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert HEIGHTS[0] <= len(image) <= 64
        faint += int(np.ptp(cv2.GaussianBlur(image, (0, 0), 1).astype(int)) < 30)
    assert faint <= 2


def test_fonts_are_chosen_by_the_letters_that_they_have() -> None:
    fonts = small_print.Fonts([scripts.FONTS], random.Random(0))
    assert all({ord("ß"), ord("Ž")} <= scripts.letters_of(fonts.any_for("ß Ž")) for _ in range(20))
    with pytest.raises(ValueError, match="no folder has a font"):
        small_print.Fonts([Path(__file__).parent], random.Random(0))


def test_only_what_a_training_changed_is_written(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    package = package_directory()
    network, _ = read_network(package / FILE)
    with torch.no_grad():
        network.encoder.conv_block[1].convolution.bias += 0.01
    write_own(network, None, package / FILE, tmp_path)
    # The three convolutions whose normalisations the package has apart: they are written as one with them.
    assert len(load_file(tmp_path / "model.safetensors")) == 3 * 5
    crop = np.asarray(drawn.page(["Own weights, read again"], (420, 48), (14, 7), 30))
    assert Recogniser(package, tmp_path).read(crop).text == "Own weights, read again"


def test_a_training_writes_what_reads_all_characters(tmp_path: Path) -> None:
    asked = ["--out", str(tmp_path), "--minutes", "0.05", "--batch", "3", "--dev-every", "1000", "--dev", "3"]
    assert small_print.main(asked) == 0
    first, *_, last = (tmp_path / "log.csv").read_text().splitlines()
    assert int(first.split(",")[0]) == 0
    steps, _, loss, rate = last.split(",")
    assert int(steps) >= 1
    assert float(loss) > 0
    assert 0 <= float(rate) < 1
    own = Recogniser(package_directory(), tmp_path)
    crop = np.asarray(drawn.page(["Receipt 12.90"], (240, 44), (12, 8), 26))
    assert own.read(crop).text == "Receipt 12.90"
    assert len(read_network(package_directory() / FILE, tmp_path)[1]) == 18_710
