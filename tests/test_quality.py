"""The benchmark of number formats: the same weights agree with themselves, and other weights do not."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import compare, main
from tests.server import NETWORKS


def test_the_same_precision_agrees_on_every_token(
    checkpoints: dict[str, Path], pictures: list[Image.Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, picture in enumerate(pictures[:3]):
        picture.save(tmp_path / f"{index}.png")
    blip = f"blip-base={checkpoints['blip-base']}"
    main(["blip-base", "--model-paths", blip, "--images", str(tmp_path), "--tokens", "6", "--precisions", "float32",
          "--network-cache", NETWORKS.name])  # fmt: skip
    printed = capsys.readouterr().out
    assert re.search(r"^blip-base: 3 images, \d+ tokens$", printed, re.MULTILINE)
    assert re.search(r"^float32 +100\.00% +0\.0000 ", printed, re.MULTILINE)


def test_differences_are_counted() -> None:
    truth = [np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 5.0], [1.0, 0.0]])]
    said = [np.array([[1.0, 2.5], [0.0, 3.0]]), np.array([[0.0, 4.0], [1.0, 0.0]])]
    assert compare(truth, said) == (0.75, 3.0)
