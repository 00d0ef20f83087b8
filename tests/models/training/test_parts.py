"""Trainings of a part: the last blocks of an encoder, and a decoder that is told no places."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.training.checkpoints import load_state
from models.training.optimisation import class_loss
from models.training.train import main
from tests.checkpoints import recurrent

PLAIN = ["--weight-decay", "0", "--average", "0", "--epochs", "1"]


@pytest.fixture
def captioner(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    directory = tmp_path / "lite"
    encoder = {"model_type": "efficientnet-lite", "variant": "lite0"}
    recurrent(directory, "cnn-gru", encoder=encoder, classes=["dog"] * 1000)
    return directory


def trained(out: Path, arguments: list[str]) -> dict[str, Any]:
    assert main([*arguments, *PLAIN, "--out", str(out)]) == 0
    state = load_state(out)
    assert state is not None
    return dict(state["network"])


def test_only_the_last_blocks_are_learned(drawn: list[str], captioner: Path, tmp_path: Path) -> None:
    start = [*drawn, "--init-from", str(captioner), "--limit", "16"]
    frozen = trained(tmp_path / "frozen", [*start, "--freeze-encoder"])
    learned = trained(tmp_path / "learned", [*start, "--encoder-blocks", "2", "--class-loss", "1"])
    changed = {name for name, tensor in learned.items() if not torch.equal(tensor, frozen[name])}
    of_encoder = {name.removeprefix("encoder.cnn.") for name in changed if name.startswith("encoder.")}
    assert {name.split(".")[0] for name in of_encoder} == {"blocks", "head", "classifier"}
    assert {name.split(".")[1] for name in of_encoder if name.startswith("blocks")} == {"14", "15"}
    assert not [name for name in of_encoder if "running" in name], "statistics stay"


def test_blocks_are_those_of_an_efficientnet(
    drawn: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*drawn, "--encoder-blocks", "2", "--out", str(tmp_path / "out")]) == 1
    assert "--encoder-blocks is for efficientnet-lite0" in capsys.readouterr().err


def test_a_decoder_that_is_told_no_places_learns_from_words(drawn: list[str], captioner: Path, tmp_path: Path) -> None:
    start = [*drawn, "--init-from", str(captioner), "--freeze-encoder", "--limit", "16"]
    before = trained(tmp_path / "before", [*start, "--lr", "1e-12"])
    blind = trained(tmp_path / "blind", [*start, "--words-only", "0.999"])
    changed = {name for name, tensor in blind.items() if not torch.allclose(tensor, before[name], atol=1e-6)}
    assert {"memory.words.weight", "memory.classes.weight", "embedding.weight"} <= changed
    assert "memory.places.weight" not in changed
    seeing = trained(tmp_path / "seeing", [*start, "--words-only", "0.5"])
    assert not torch.allclose(seeing["memory.places.weight"], before["memory.places.weight"], atol=1e-6)


def test_classes_are_as_before_where_they_do_not_diverge() -> None:
    before = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    assert class_loss(before, before).item() == pytest.approx(0, abs=1e-6)
    other = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.4, 0.4]])
    assert 0 < class_loss(other, before).item() < class_loss(other.flip(0), before).item()
