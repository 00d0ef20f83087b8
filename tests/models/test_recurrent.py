"""Recurrent captioners of either shape, served as any other model: search, batches, tags, damaged checkpoints."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.base import Job, Loaded, Options, Placement, Task
from models.captioning.configuration import SHAPES, RecurrentCaptionerConfig
from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import END, START, Vocabulary
from models.discovery import discover, with_local_paths
from models.errors import ModelUnavailable
from models.preprocessing.pixels import SquarePixels
from models.registry import Registry
from tests.checkpoints import recurrent
from tests.conftest import INPUT, encoded
from tests.server import NETWORKS, Server

# Seeds with which different pictures give different texts.
SEEDS = {"cnn-gru": 7, "cnn-lstm": 25}


@pytest.fixture(scope="module")
def captioners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {}
    for shape, seed in SEEDS.items():
        torch.manual_seed(seed)
        paths[shape] = tmp_path_factory.mktemp(shape)
        recurrent(paths[shape], shape)
    return paths


def load(directory: Path) -> Loaded:
    placement = Placement(precision="float32", cache=NETWORKS)
    entry = Registry(with_local_paths(discover(), {"mine": directory}).values(), placement).entry("mine")
    assert entry.model.task is Task.CAPTION
    return entry.load()


def changed(directory: Path, tmp_path: Path, **settings: object) -> Path:
    """A copy of a captioner with other settings in its configuration."""
    copy = Path(shutil.copytree(directory, tmp_path / "changed", dirs_exist_ok=True))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | settings))
    return copy


def seen(pictures: list[Image.Image], config: RecurrentCaptionerConfig) -> torch.Tensor:
    pixels = SquarePixels(config.image_size, config.image_mean, config.image_std)
    return torch.from_numpy(np.stack([pixels(picture) for picture in pictures]))


def look(network: RecurrentCaptioner, image: Image.Image) -> torch.Tensor:
    """The memory of one image."""
    config = network.config
    pixels = seen([image], config)
    with torch.inference_mode():
        return network.encode(pixels).memory


def log_probabilities(network: RecurrentCaptioner, memory: torch.Tensor, words: list[int]) -> torch.Tensor:
    """The log-probability of each token after those before it, in one pass."""
    with torch.inference_mode():
        logits = network(torch.tensor([[START, *words]]), memory).logits[0]
    return logits.log_softmax(-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "options",
    [Options(), Options(num_beams=1), Options(num_beams=5, max_new_tokens=6), Options(min_new_tokens=9)],
    ids=str,
)
def test_eight_pictures_eight_texts_alone_and_together(
    captioners: dict[str, Path], pictures: list[Image.Image], shape: str, options: Options
) -> None:
    loaded = load(captioners[shape])
    jobs = [Job(picture, options=options) for picture in pictures]
    together = loaded.predict(jobs)
    assert len({prediction.text for prediction in together}) == len(pictures)
    for job, prediction in zip(jobs, together, strict=True):
        (alone,) = loaded.predict([job])
        assert (alone.text, alone.tags, alone.warnings) == (prediction.text, prediction.tags, prediction.warnings)
        assert alone.tag_scores == pytest.approx(prediction.tag_scores, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_takes_the_likeliest_word_each_time(
    captioners: dict[str, Path], pictures: list[Image.Image], shape: str
) -> None:
    """The state that the search carries from step to step is that of the whole sentence read at once."""
    network = RecurrentCaptioner.from_pretrained(captioners[shape]).eval()
    vocabulary, loaded = Vocabulary.load(captioners[shape]), load(captioners[shape])
    for picture in pictures:
        words: list[int] = []
        while len(words) < 12 and END not in words:
            scores = log_probabilities(network, look(network, picture), words)[-1]
            scores[[0, 1, 3]] = -torch.inf
            words.append(int(scores.argmax()))
        (prediction,) = loaded.predict([Job(picture, options=Options(num_beams=1, max_new_tokens=12))])
        assert prediction.text == vocabulary.text(words)
        assert bool(prediction.warnings) == (END not in words)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [0.0, 0.8, 2.0])
def test_beam_search_finds_the_best_of_all_sentences(
    tmp_path: Path, pictures: list[Image.Image], shape: str, penalty: float
) -> None:
    torch.manual_seed(1)
    recurrent(tmp_path, shape, words=3)
    network = RecurrentCaptioner.from_pretrained(tmp_path).eval()
    network.generation_config.length_penalty = penalty
    network.generation_config.early_stopping = "never"
    network.generation_config.save_pretrained(tmp_path)
    vocabulary, loaded, length = Vocabulary.load(tmp_path), load(tmp_path), 3
    words = range(4, len(vocabulary))
    sentences = [(*said, END) for n in range(length) for said in itertools.product(words, repeat=n)]
    sentences += itertools.product(words, repeat=length)
    for picture in pictures:
        memory = look(network, picture)
        scores = {}
        for sentence in sentences:
            each = log_probabilities(network, memory, list(sentence[:-1]))[range(len(sentence)), sentence]
            scores[sentence] = float(each.sum()) / len(sentence) ** penalty
        (prediction,) = loaded.predict([Job(picture, options=Options(num_beams=27, max_new_tokens=length))])
        assert prediction.text == vocabulary.text(max(scores, key=scores.__getitem__))


def test_mixed_options_over_http(captioners: dict[str, Path], pictures: list[Image.Image], tmp_path: Path) -> None:
    server = Server(tmp_path, model_paths=",".join(f"{name}={path}" for name, path in captioners.items()), preload="")
    try:
        for shape, directory in captioners.items():
            loaded = load(directory)
            choices: list[dict[str, Any]] = [{}, {"num_beams": 1}, {"num_beams": 4, "max_new_tokens": 5}]
            for picture, chosen in itertools.product(pictures[:3], choices):
                (wanted,) = loaded.predict([Job(picture, options=Options(**chosen))])
                answer = server.generate(encoded(picture), model=shape, **chosen)
                assert answer.status_code == 200, answer.text
                assert answer.json()["text"] == wanted.text
        known = {model["name"]: model for model in server.get("/models").json()["models"]}
        assert known["cnn-gru"]["task"] == "caption"
    finally:
        server.kill()


def test_tags_are_sorted_and_above_the_threshold(captioners: dict[str, Path], pictures: list[Image.Image]) -> None:
    loaded = load(captioners["cnn-gru"])
    config = json.loads((captioners["cnn-gru"] / "config.json").read_text())
    predictions = loaded.predict([Job(picture) for picture in pictures])
    assert any(prediction.tags for prediction in predictions)
    for prediction in predictions:
        assert prediction.tags is not None
        assert prediction.tag_scores is not None
        assert set(prediction.tags) <= set(config["tags"])
        assert len(prediction.tags) == len(prediction.tag_scores) <= 10
        assert list(prediction.tag_scores) == sorted(prediction.tag_scores, reverse=True)
        assert all(0.3 <= score <= 1 for score in prediction.tag_scores)


def test_an_image_and_its_mirror_image_have_the_same_tags_where_both_are_looked_at(
    captioners: dict[str, Path], pictures: list[Image.Image], tmp_path: Path
) -> None:
    directory = changed(captioners["cnn-gru"], tmp_path, mirrored=True, tag_threshold=0.0)
    mirrored = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    said = load(directory).predict([Job(picture) for picture in (*pictures, *mirrored)])
    for one, other in zip(said[: len(pictures)], said[len(pictures) :], strict=True):
        assert one.tag_scores == pytest.approx(other.tag_scores, abs=1e-4)
    assert len({prediction.tag_scores for prediction in said}) > 1


def test_what_a_second_look_sees_is_averaged(
    captioners: dict[str, Path], pictures: list[Image.Image], tmp_path: Path
) -> None:
    jobs = [Job(picture) for picture in pictures]
    directory = changed(captioners["cnn-gru"], tmp_path, second_size=32, tag_threshold=0.0, max_tags=1000)
    network = RecurrentCaptioner.from_pretrained(directory)
    pixels = seen(pictures, network.config)
    smaller = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear")
    with torch.inference_mode():
        # To make a map twice as large leaves its mean as it is.
        means = [network.encoder(each).mean(dim=(2, 3)) for each in (pixels, smaller)]
        wanted = network.words((means[0] + means[1]) / 2).sigmoid()
    for row, prediction in zip(wanted, load(directory).predict(jobs), strict=True):
        assert prediction.tag_scores == pytest.approx(sorted(row.tolist(), reverse=True), abs=1e-4)
    same = changed(captioners["cnn-gru"], tmp_path, second_size=64)
    assert [a.text for a in load(same).predict(jobs)] == [a.text for a in load(captioners["cnn-gru"]).predict(jobs)]


def test_half_precision_weights_say_the_same(
    captioners: dict[str, Path], pictures: list[Image.Image], tmp_path: Path
) -> None:
    from models.training.checkpoints import export

    network = RecurrentCaptioner.from_pretrained(captioners["cnn-gru"])
    export(network, Vocabulary.load(captioners["cnn-gru"]), tmp_path / "half")
    sizes = [(path / "model.safetensors").stat().st_size for path in (captioners["cnn-gru"], tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    whole, half = load(captioners["cnn-gru"]), load(tmp_path / "half")
    assert half.precision == "float32"
    jobs = [Job(picture) for picture in pictures]
    same = [a.text == b.text for a, b in zip(whole.predict(jobs), half.predict(jobs), strict=True)]
    assert sum(same) >= 6


@pytest.mark.parametrize("damage", ["no words", "other words", "not a list"])
def test_a_damaged_vocabulary_fails_with_a_wait(captioners: dict[str, Path], tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "captioner"
    shutil.copytree(captioners["cnn-gru"], directory)
    words = directory / "vocab.json"
    if damage == "no words":
        words.unlink()
    else:
        tokens = json.loads(words.read_text())
        words.write_text(json.dumps(tokens[:-1] if damage == "other words" else {"a": 1}))
    with pytest.raises(ModelUnavailable):
        load(directory)


def test_a_finer_map_has_more_places() -> None:
    from models.captioning.encoder import NAMED, Encoder

    sizes = {stride: Encoder(NAMED["resnet-10"], stride)(torch.zeros(1, 3, 64, 64)).shape for stride in (16, 32)}
    assert sizes == {16: (1, 512, 4, 4), 32: (1, 512, 2, 2)}


def test_the_captioner_in_the_box() -> None:
    """What is trained and committed: small enough to come along, and a sentence of its words for any picture."""
    entry = Registry(discover().values(), Placement(cache=NETWORKS)).entry("efficientnet-gru")
    directory = entry.model.source.directory
    assert directory is not None
    assert (directory / "model.safetensors").stat().st_size == pytest.approx(entry.model.source.size_bytes, rel=0.01)
    assert (directory / "model.safetensors").stat().st_size < 40_000_000
    known = set(Vocabulary.load(directory).tokens)
    scene, blank = entry.load().predict([Job(Image.open(INPUT / "scene.jpg")), Job(Image.new("RGB", (90, 60)))])
    for prediction in (scene, blank):
        assert 4 <= len(prediction.text.split()) <= 30
        assert set(prediction.text.split()) <= known
    assert scene.text != blank.text
    assert scene.tags
    assert all(0 < prediction.confidence < 1 for prediction in (scene, blank) if prediction.confidence is not None)
