"""Training: both shapes learn, a killed run ends as one that was not, and what is wrong is said in a line."""

import csv
import io
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from models.base import Job, Placement
from models.discovery import discover, with_local_paths
from models.registry import Registry
from models.training import train
from models.training.checkpoints import load_state
from models.training.record import Record
from models.training.settings import parse
from models.training.train import main
from models.training.trainer import Trainer
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
    (tmp_path / "sentences").write_text("a red square on a green line\na blue line on white\n")
    data += ["--sentences", str(tmp_path / "sentences")]
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
    assert all(0 < float(row["sentence_loss"]) < float(row["loss"]) for row in logs[0])


def test_fine_tuning_starts_from_a_captioner_and_a_frozen_encoder_stays(drawn: list[str], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*drawn, "--epochs", "1", "--out", str(first)]) == 0
    looks = first / "last" / "config.json"
    looks.write_text(json.dumps(json.loads(looks.read_text()) | {"mirrored": True, "second_size": 64}))
    more = ["--init-from", str(first / "last"), "--freeze-encoder", "--epochs", "1", "--out", str(second)]
    assert main([*drawn, *more]) == 0
    before, after = (load_state(path) for path in (first, second))
    assert before is not None
    assert after is not None
    for name, tensor in before["average"].items():
        # Saved in half precision in between.
        same = torch.allclose(tensor.float(), after["network"][name].float(), rtol=2e-3, atol=1e-4)
        assert same == name.startswith("encoder.") or tensor.numel() < 64, name
    left = json.loads((second / "last" / "config.json").read_text())
    assert not left.get("mirrored")
    assert not left.get("second_size")


def test_a_run_that_ends_while_its_first_epoch_is_recorded_goes_on(
    drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    out = str(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(Record, "add", full)
        assert main([*drawn, "--epochs", "1", "--out", out]) == 1
    assert "No space left" in capsys.readouterr().err
    assert main(["--resume", "--out", out]) == 0
    assert len((tmp_path / "out" / "log.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--captions": "none.txt"}, "none.txt cannot be read"),
        ({"--captions": "empty.txt"}, "empty.txt is empty"),
        ({"--train-split": "empty.txt"}, "the split is empty"),
        ({"--images": "."}, "is not there, but has captions"),
        ({"--images": "nowhere"}, "nowhere is not a folder"),
        ({"--encoder": "nowhere/nothing"}, "hub"),
        ({"--encoder": "resnet-999"}, "resnet-999 is none of resnet-10, resnet-18, "),
        ({"--encoder": "no/such/name"}, "no directory, and could not be fetched from the hub"),
        ({"--init-from": "nowhere"}, "--init-from: "),
        ({"--init-from": "run"}, "run/best has"),
        ({"--init-from": "run/best"}, "holds no recurrent-captioner"),
        ({"--device": "gpu"}, "gpu is no device: use auto, cpu"),
        ({"--out": "empty.txt/out"}, "out cannot be written: Not a directory"),
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
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "config.json").write_text('{"model_type": "blip"}')
    (tmp_path / "run" / "best" / "model.safetensors").touch()
    named = ("--encoder", "--device")
    changed = {flag: value if flag in named else str(tmp_path / value) for flag, value in change.items()}
    wrong = [argument for pair in changed.items() for argument in pair]
    assert main([*drawn, "--out", str(tmp_path / "out"), *wrong]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_broken_photo_is_named(tmp_path: Path, workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = [*dataset(tmp_path, each=1), "--encoder", str(tiny_cnn(tmp_path / "cnn")), *SMALL]
    (tmp_path / "images" / "red-line-0.png").write_bytes(b"no image")
    before = signal.getsignal(signal.SIGCHLD)
    try:
        assert main([*data, "--epochs", "1", "--workers", workers, "--out", str(tmp_path / "out")]) == 1
    finally:
        # torch leaves a handler of its own. OpenVINO, in a later test, may leave no memory to handle signals in.
        signal.signal(signal.SIGCHLD, before)
    said = capsys.readouterr().err
    assert f"error: {tmp_path / 'images' / 'red-line-0.png'} cannot be read as an image" in said
    assert "Traceback" not in said


def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_been(
    drawn: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By Ctrl-C in the third step, then by SIGTERM while the first epoch is judged; no checkpoint is due at either."""
    caplog.set_level(logging.INFO)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    arguments = [*drawn, "--epochs", "2", "--out"]
    assert main([*arguments, str(whole)]) == 0
    resume = ["--resume", "--out", str(stopped)]
    for command, number, method, call, place in (
        ([*arguments, str(stopped)], signal.SIGINT, "_step", 3, (0, 3)),
        (resume, signal.SIGTERM, "captions", 1, (0, 8)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Trainer, method, with_signal(number, getattr(Trainer, method), call))
            assert main(command) == 130
        assert capsys.readouterr().err.endswith(f"\nstopped; {' '.join(resume)} goes on where it was last saved\n")
        assert tuple(load_state(stopped)["progress"][name] for name in ("epoch", "step")) == place  # type: ignore[index]
    caplog.clear()
    assert main(resume) == 0
    assert f"MODEL_PATHS=stopped={stopped / 'best'} python run.py" in caplog.text
    states = [load_state(directory) for directory in (whole, stopped)]
    assert same(*states)
    logs = [list(csv.DictReader((directory / "log.csv").open())) for directory in (whole, stopped)]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    # Whoever may read the log may read the model.
    written = [stopped / "log.csv", *(stopped / "best").iterdir(), *(stopped / "last").iterdir()]
    assert len({file.stat().st_mode for file in written}) == 1
    assert main(resume) == 0
    assert "finished already" in caplog.text


def with_signal(number: int, method: Callable[..., Any], call: int) -> Callable[..., Any]:
    """Send this process a signal at the start of some call of a method."""
    calls = itertools.count(1)

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(number)
        return method(*arguments)

    return interrupted


def same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    assert one is not None
    assert other is not None
    assert one["progress"] == other["progress"]
    assert torch.equal(one["random"], other["random"])
    return all(
        torch.equal(one[part][name], other[part][name]) for part in ("network", "average") for name in one["network"]
    )


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_leaves_no_traceback(tmp_path: Path) -> None:
    data, cnn, out = dataset(tmp_path), tiny_cnn(tmp_path / "cnn"), tmp_path / "run"
    settings = ["--encoder", str(cnn), *SMALL, "--epochs", "500", "--workers", "2", "--threads", "1"]
    command = [sys.executable, "-m", "models.training.train", *data, *settings, "--save-every", "1", "--out", str(out)]
    training = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not (out / "state.pt").exists():
            assert training.poll() is None
            time.sleep(0.01)
        os.killpg(training.pid, signal.SIGINT)
        _, said = training.communicate(timeout=60)
    finally:
        training.kill()
    assert training.returncode == 130
    assert "Traceback" not in said
    assert said.endswith(f"stopped; --resume --out {out} goes on where it was last saved\n")


def test_where_nothing_was_saved_ctrl_c_says_so(
    drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "read_photos", with_signal(signal.SIGINT, train.read_photos, 1))
    assert main([*drawn, "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == "stopped; nothing was saved yet\n"


def saved(state: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("state.pt", b"", "state.pt cannot be read, another --out starts anew"),
        (
            "state.pt",
            saved({"network": torch.zeros(1000)})[:2000],
            "state.pt cannot be read, another --out starts anew",
        ),
        ("state.pt", saved({"network": {}}), "state.pt is of another network"),
        ("log.csv", b"epoch\n", "state.pt is missing, so the run cannot be resumed"),
    ],
    ids=["empty", "cut off", "other", "missing"],
)
def test_a_run_that_cannot_go_on_says_why(
    drawn: list[str], tmp_path: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path)]
    parse([*drawn, *out])[0].save()
    (tmp_path / name).write_bytes(content)
    assert main(["--resume", *out]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/")
    assert message in said
    assert main([*drawn, *out]) == 1
    assert "holds a run already" in capsys.readouterr().err


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
