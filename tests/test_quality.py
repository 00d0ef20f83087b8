"""The benchmark of number formats: the same weights agree with themselves, and other weights do not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import compare, main
from tests.server import NETWORKS


def test_the_same_precision_agrees_on_every_token(
    checkpoints: dict[str, Path], pictures: list[Image.Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some").mkdir()
    for index, picture in enumerate(pictures[:3]):
        picture.save(tmp_path / "some" / f"{index}.png")
    main([f"blip-base={checkpoints['blip-base']}", "--images", str(tmp_path), "--tokens", "6", "--network-cache",
          str(NETWORKS), "--precisions", "float32,int8"])  # fmt: skip
    same, other = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[-2:])
    assert same[:3] == ["blip-base", "float32", "3"]
    assert same[4:6] == ["100.00%", "0.000"]
    assert other[:4] == ["blip-base", "int8", "3", same[3]]
    assert 0 < float(other[5]) < float(other[6])


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [(["nonesuch"], "no model nonesuch"), (["blip-base"], "holds no JPEG or PNG files")],
)
def test_a_mistake_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], mistake: str
) -> None:
    if "nonesuch" in arguments:
        Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(SystemExit):
        main([*arguments, "--images", str(tmp_path)])
    assert mistake in capsys.readouterr().err


def test_differences_are_counted() -> None:
    truth = [np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 5.0], [1.0, 0.0]])]
    said = [np.array([[1.0, 2.5], [0.0, 3.0]]), np.array([[0.0, 4.0], [1.0, 0.0]])]
    assert compare(truth, said) == (0.75, 3.0)
