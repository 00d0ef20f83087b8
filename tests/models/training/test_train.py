"""Training: both shapes learn, a killed run ends as one that was not, and what is wrong is said in a line."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.base import Job, Placement
from models.registry import Registry, discover, with_local_paths
from models.training.checkpoints import load_state
from models.training.settings import parse
from models.training.train import main
from tests.models.training.drawings import SMALL, dataset, tiny_cnn
from tests.server import ROOT

# Nothing left to chance but the order: what is learned by heart is then said.
_BY_HEART = "--smallest-crop 1 --colour 0 --no-flip --dropout 0 --label-smoothing 0 --average 0.5 --lr 0.01"
BY_HEART = _BY_HEART.split()


@pytest.mark.parametrize("shape", ["cnn-gru", "cnn-lstm"])
def test_both_shapes_learn_drawings_and_are_served(drawn: list[str], tmp_path: Path, shape: str) -> None:
    out = tmp_path / "run"
    assert main([*drawn, *BY_HEART, "--shape", shape, "--epochs", "12", "--out", str(out)]) == 0
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert Image.open(out / "curves.png").size == (1000, 400)
    entry = Registry(
        with_local_paths(discover(), {"mine": out / "best"}).values(), Placement(precision="float32")
    ).entry("mine")
    images = Path(drawn[1])
    names = (images.parent / "dev.txt").read_text().split()
    predictions = entry.load().predict([Job(Image.open(images / name)) for name in names])
    right = [" ".join(name.split("-")[:2]) in said.text for name, said in zip(names, predictions, strict=True)]
    assert sum(right) >= 7, [said.text for said in predictions]
    tagged = [set(name.split("-")[:2]) <= set(said.tags or ()) for name, said in zip(names, predictions, strict=True)]
    assert sum(tagged) >= 6, [said.tags for said in predictions]


def test_a_killed_and_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    """200 images, 2 epochs; everything that is left to chance is on. Processes read the photos of one of the two."""
    data, cnn = dataset(tmp_path, each=25), tiny_cnn(tmp_path / "cnn")
    command = [sys.executable, "-m", "models.training.train"]
    start = [*command, *data, "--encoder", str(cnn), *SMALL, "--epochs", "2", "--save-every", "4", "--threads", "1"]
    whole = subprocess.Popen([*start, "--out", str(tmp_path / "whole"), "--workers", "1"], cwd=ROOT)
    killed = subprocess.Popen([*start, "--out", str(tmp_path / "killed")], cwd=ROOT)
    try:
        while not (tmp_path / "killed" / "state.pt").exists():
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        state = load_state(tmp_path / "killed")
        assert state is not None
        assert (state["progress"]["epoch"], state["progress"]["step"] % 4) == (0, 0)
        assert 0 < state["progress"]["step"] < 25
        subprocess.run([*command, "--resume", "--out", str(tmp_path / "killed")], cwd=ROOT, check=True)
        assert whole.wait(60) == 0
    finally:
        whole.kill()
        killed.kill()
    ends = [load_state(tmp_path / name) for name in ("whole", "killed")]
    assert ends[0] is not None
    assert ends[1] is not None
    for part in ("network", "average"):
        assert ends[0][part].keys() == ends[1][part].keys()
        assert all(torch.equal(ends[0][part][name], ends[1][part][name]) for name in ends[0][part])
    assert ends[0]["progress"] == ends[1]["progress"]
    weights = [(tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    logs = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("whole", "killed")]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]


def test_fine_tuning_starts_from_a_captioner_and_a_frozen_encoder_stays(drawn: list[str], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*drawn, "--epochs", "1", "--out", str(first)]) == 0
    more = ["--init-from", str(first / "last"), "--freeze-encoder", "--epochs", "1", "--out", str(second)]
    assert main([*drawn, *more]) == 0
    before, after = (load_state(path) for path in (first, second))
    assert before is not None
    assert after is not None
    for name, tensor in before["average"].items():
        # Saved in half precision in between.
        same = torch.allclose(tensor.float(), after["network"][name].float(), rtol=2e-3, atol=1e-4)
        assert same == name.startswith("encoder.") or tensor.numel() < 64, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--captions": "none.txt"}, "none.txt cannot be read"),
        ({"--captions": "empty.txt"}, "empty.txt is empty"),
        ({"--train-split": "empty.txt"}, "the split is empty"),
        ({"--images": "."}, "is not there, but has captions"),
        ({"--encoder": "nowhere/nothing"}, "hub"),
    ],
)
def test_what_is_wrong_is_one_line(
    drawn: list[str],
    tmp_path: Path,
    change: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty.txt").touch()
    changed = {flag: value if flag == "--encoder" else str(tmp_path / value) for flag, value in change.items()}
    wrong = [argument for pair in changed.items() for argument in pair]
    assert main([*drawn, *wrong, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1


def test_a_broken_photo_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [*dataset(tmp_path, each=1), "--encoder", str(tiny_cnn(tmp_path / "cnn")), *SMALL]
    (tmp_path / "images" / "red-line-0.png").write_bytes(b"no image")
    assert main([*data, "--epochs", "1", "--out", str(tmp_path / "out")]) == 1
    assert "red-line-0.png cannot be read as an image" in capsys.readouterr().err


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(
    drawn: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    assert main([*drawn, "--epochs", "1", *out]) == 0
    assert main([*drawn, "--epochs", "1", *out]) == 1
    assert "--resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(["--resume", *out, "--lr", "5"])
    assert "was started with lr 0.001, not 5.0" in capsys.readouterr().err
    settings, resume = parse(["--resume", *out, "--workers", "3"])
    assert (resume, settings.workers, settings.epochs) == (True, 3, 1)
    assert settings.images == Path(drawn[1])
    with pytest.raises(SystemExit):
        parse(["--resume", "--out", str(tmp_path / "none")])
    with pytest.raises(SystemExit):
        parse(["--images", "x"])
