"""Training: both shapes learn, a killed run ends as one that was not, and what is wrong is said in a line."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.base import Job, Placement
from models.captioning.vocabulary import END, START
from models.registry import Registry, discover, with_local_paths
from models.training.augment import augment, crop_box
from models.training.batches import TrainingPhotos, training_batches
from models.training.checkpoints import load_state
from models.training.optimisation import caption_loss, learning_rate
from models.training.prepare import make_network, read_photos
from models.training.settings import Settings, parse
from models.training.train import main
from models.training.vocabulary import build, content_words
from tests.models.training.drawings import dataset, tiny_cnn
from tests.server import ROOT

_SMALL = "--image-size 48 --hidden 32 --batch-size 8 --min-count 1 --tags 8 --warmup 0.5 --workers 0"
SMALL = _SMALL.split()
# Nothing left to chance but the order: what is learned by heart is then said.
_BY_HEART = "--smallest-crop 1 --colour 0 --no-flip --dropout 0 --label-smoothing 0 --average 0.5 --lr 0.01"
BY_HEART = _BY_HEART.split()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments for a training on 64 drawings, with a small CNN from a directory."""
    directory = tmp_path_factory.mktemp("drawn")
    return [*dataset(directory), "--encoder", str(tiny_cnn(directory / "cnn")), *SMALL]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by sharing work than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", ["cnn-gru", "cnn-lstm"])
def test_both_shapes_learn_drawings_and_are_served(drawn: list[str], tmp_path: Path, shape: str) -> None:
    out = tmp_path / "run"
    assert main([*drawn, *BY_HEART, "--shape", shape, "--epochs", "12", "--out", str(out)]) == 0
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert Image.open(out / "curves.png").size == (1000, 400)
    entry = Registry(with_local_paths(discover(), {"mine": out / "best"}).values(), Placement()).entry("mine")
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


def test_batches_depend_on_seed_and_epoch_alone(drawn: list[str]) -> None:
    settings, _ = parse(drawn)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos.train)
    data = TrainingPhotos(photos.train, vocabulary, network.config.tags, settings)
    first, again, later = (list(training_batches(data, settings, epoch, 0)) for epoch in (0, 0, 1))
    rest = list(training_batches(data, settings, 0, 3))
    assert len(first) == 8
    for ours, theirs in zip([*first, *first[3:]], [*again, *rest], strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.tokens, theirs.tokens)
    assert not torch.equal(first[0].pixels, later[0].pixels)
    assert first[0].pixels.shape == (8, 3, 48, 48)
    assert first[0].tokens.shape[0] == 24
    for row in first[0].tokens.tolist():
        assert row[0] == START
        assert row.count(END) == 1
    assert (first[0].words.sum(dim=1) >= 2).all()


def test_the_loss_is_that_of_plain_cross_entropy(drawn: list[str]) -> None:
    settings, _ = parse(drawn)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos.train)
    data = TrainingPhotos(photos.train, vocabulary, network.config.tags, settings)
    tokens = next(iter(training_batches(data, settings, 0, 0))).tokens
    memory = torch.randn(len(tokens), 5, 32)
    network.eval()
    logits = network(tokens[:, :-1], memory).logits
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0, label_smoothing=0.1
    )
    torch.testing.assert_close(caption_loss(network, memory, tokens, 0.1), wanted)


def test_words_by_count() -> None:
    captions = [["a", "dog", "runs"], ["a", "dog"], ["a", "cat"]]
    assert build(captions, 2).tokens[4:] == ("a", "dog")
    assert build(captions, 2).ids(["a", "cat"]) == [4, 3]
    assert content_words({"1": captions[:2], "2": captions[2:]}, 2) == {"cat": 0.5, "dog": 0.5}


def test_learning_rate_rises_and_falls() -> None:
    settings = Settings(lr=1.0, warmup=2, epochs=10)
    rates = [learning_rate(settings, step, 5) for step in range(51)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == pytest.approx(1.0)
    assert rates[50] == pytest.approx(0.01)


def test_crops_stay_inside_and_chance_is_the_generators() -> None:
    for seed in range(200):
        left, top, right, bottom = crop_box(60, 40, 0.3, np.random.default_rng(seed))
        assert 0 <= left < right <= 60 + 1e-9
        assert 0 <= top < bottom <= 40 + 1e-9
        assert 0.25 < (right - left) * (bottom - top) / 2400 <= 1 + 1e-9
    image = Image.effect_noise((60, 40), 50).convert("RGB")
    results = [augment(image, 32, 0.4, 0.4, True, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert results[0].size == (32, 32)
    assert results[0].tobytes() == results[1].tobytes() != results[2].tobytes()
