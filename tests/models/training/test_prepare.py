"""What a training starts from: the colours that a pretrained CNN was trained with, whoever wrote its files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.captioning.configuration import IMAGENET_MEAN, IMAGENET_STD
from models.training.batches import Photo
from models.training.prepare import Photos, make_network
from models.training.settings import Settings
from tests.models.training.drawings import tiny_cnn

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
COLOURS: dict[str, Any] = {"image_mean": list(MEAN), "image_std": list(STD)}
PHOTOS = [Photo(Path("1.jpg"), ("a dog runs",), (("a", "dog", "runs"),))] * 9


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cnn(tmp_path_factory.mktemp("cnn"))


@pytest.mark.parametrize(
    ("file", "content", "colours"),
    [
        ("processor_config.json", {"image_processor": COLOURS | {"size": {"shortest_edge": 224}}}, (MEAN, STD)),
        ("preprocessor_config.json", {"image_processor_type": "ConvNextImageProcessor"} | COLOURS, (MEAN, STD)),
        ("preprocessor_config.json", {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224} | COLOURS,
         (MEAN, STD)),
        ("preprocessor_config.json", {"size": 224}, (IMAGENET_MEAN, IMAGENET_STD)),
        (None, None, (IMAGENET_MEAN, IMAGENET_STD)),
    ],
)  # fmt: skip
def test_the_colours_of_a_pretrained_cnn(
    cnn: Path, file: str | None, content: Any, colours: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        (cnn / name).unlink(missing_ok=True)
    if file:
        (cnn / file).write_text(json.dumps(content))
    network, _ = make_network(Settings(encoder=str(cnn), hidden=16, heads=2, min_count=1), Photos(PHOTOS, [], []))
    assert (tuple(network.config.image_mean), tuple(network.config.image_std)) == colours
    pretrained = load_file(cnn / "model.safetensors")
    assert all(torch.equal(network.encoder.cnn.state_dict()[name], tensor) for name, tensor in pretrained.items())
