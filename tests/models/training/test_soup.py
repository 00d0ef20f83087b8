"""A captioner whose weights are the means of others'."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.training.soup import main
from tests.checkpoints import recurrent


def captioner(directory: Path, shape: str, seed: int) -> str:
    torch.manual_seed(seed)
    recurrent(directory, shape)
    return str(directory)


def test_the_weights_are_the_means(tmp_path: Path) -> None:
    paths = [captioner(tmp_path / str(seed), "cnn-gru", seed) for seed in range(3)]
    assert main([*paths, "--out", str(tmp_path / "mean")]) == 0
    given = [load_file(Path(path) / "model.safetensors") for path in paths]
    for name, tensor in load_file(tmp_path / "mean" / "model.safetensors").items():
        if tensor.is_floating_point():
            wanted = torch.stack([weights[name].float() for weights in given]).mean(dim=0)
            torch.testing.assert_close(tensor.float(), wanted, atol=2e-3, rtol=2e-3)


def test_captioners_that_differ_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [captioner(tmp_path / shape, shape, 0) for shape in ("cnn-gru", "cnn-lstm")]
    assert main([*paths, "--out", str(tmp_path / "mean")]) == 1
    assert "other layers" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()
    assert main([paths[0], "--out", paths[0]]) == 1
    assert "there already" in capsys.readouterr().err
