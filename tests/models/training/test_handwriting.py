"""Training the recogniser of lines: the lines, what is changed about them, and what a training writes."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.families.rapidocr import package_directory
from models.networks.recogniser import keep_characters, read_network, write_own
from models.reading.recogniser import FILE, Recogniser
from models.training import handwriting
from models.training.line_changes import changed
from models.training.lines import batches, read_lines, stack
from tests import drawn

WORDS = ("minimum", "Handwriting", "of a letter", "quite", "another line", "the end")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve drawn lines, of which each fourth is for measuring."""
    folder = tmp_path_factory.mktemp("lines")
    rows = ["file\tsource\twriter\ttext\tsplit"]
    for number in range(12):
        text = f"{WORDS[number % len(WORDS)]} {number}"
        image = drawn.page([text], (40 + 14 * len(text), 44), (12, 8), 26)
        image.convert("L").save(folder / f"{number}.png")
        rows.append(f"{number}.png\t{'ab'[number % 2]}\t{number}\t{text}\t{'dev' if number % 4 == 0 else 'train'}")
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_lines_are_read_by_split_and_source(lines: Path) -> None:
    found = read_lines(lines, "train", {"a": 0.0}, random.Random(0))
    assert {line.source for line in found} == {"b"}
    assert len(found) == 6
    (lines / "broken.png").write_bytes(b"no picture")
    broken = lines / "broken"
    broken.mkdir()
    (broken / "lines.tsv").write_text("file\tsource\ttext\tsplit\n../broken.png\ta\tx\tdev\n")
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_lines(broken, "dev", {}, random.Random(0))


def test_batches_have_each_line_once(lines: Path) -> None:
    found = read_lines(lines, "train", {}, random.Random(0))
    batched = list(batches(found, 4, random.Random(1)))
    assert sorted(line.text for batch in batched for line in batch) == sorted(line.text for line in found)
    assert all(len(batch) <= 4 for batch in batched)
    assert stack([line.image for line in batched[0]]).shape[:3] == (len(batched[0]), 3, 48)


def test_a_changed_line_keeps_its_ink(lines: Path) -> None:
    found = read_lines(lines, "train", {}, random.Random(0))
    chance = random.Random(2)
    for _ in range(20):
        image = changed(found[0].image, (found[1].image, found[2].image), chance)
        assert image.dtype == np.uint8
        assert np.ptp(cv2.GaussianBlur(image, (0, 0), 1).astype(int)) > 25


def test_own_weights_read_as_the_network_does(tmp_path: Path) -> None:
    package = package_directory()
    network, characters = read_network(package / FILE)
    kept = [0, *(number for number, character in enumerate(characters) if number and character.isascii())]
    keep_characters(network, kept)
    own = [characters[number] for number in kept]
    with torch.no_grad():
        network.encoder.conv_block[1].convolution.bias += 0.01
    write_own(network, own, package / FILE, tmp_path)
    crop = np.asarray(drawn.page(["Own weights, read again"], (420, 48), (14, 7), 30))
    reading = Recogniser(package, tmp_path, respace=False).read(crop)
    assert reading.text == "Own weights, read again"
    again, read_characters = read_network(package / FILE, tmp_path)
    assert read_characters == own
    pixels = torch.from_numpy(stack([crop[..., 0]]))
    with torch.inference_mode():
        # Half precision.
        assert torch.allclose(again.eval()(pixels), network.eval()(pixels), atol=0.2)


def test_a_training_learns_and_writes_what_is_served(lines: Path, tmp_path: Path) -> None:
    asked = ["--lines", str(lines), "--out", str(tmp_path), "--minutes", "0.05", "--batch", "3", "--dev-every", "1000"]
    assert handwriting.main(asked) == 0
    *_, last = (tmp_path / "log.csv").read_text().splitlines()
    steps, _, loss, *rates = last.split(",")
    assert int(steps) >= 1
    assert float(loss) > 0
    assert all(0 <= float(rate) < 0.5 for rate in rates)
    crop = np.asarray(drawn.page(["minimum 0"], (180, 44), (12, 8), 26))
    assert Recogniser(package_directory(), tmp_path, respace=False).read(crop).text.startswith("min")
