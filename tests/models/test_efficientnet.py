"""EfficientNet-Lite as published, and captioners on it: without torch they say what they say with it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.base import Job, Loaded, Options, Placement
from models.captioning import graph
from models.captioning.efficientnet import EfficientNetLite
from models.captioning.tags import Tagger, calibrated
from models.discovery import discover, with_local_paths
from models.preprocessing.pixels import SquarePixels
from models.registry import Registry
from models.training import encoders
from tests.checkpoints import recurrent
from tests.conftest import INPUT
from tests.server import NETWORKS


def test_the_features_are_those_of_the_published_network() -> None:
    """The numbers are those of efficientnet_lite_pytorch 0.1.0 with the same weights, at the size it is made for."""
    start = encoders.start("efficientnet-lite2")
    assert start.weights is not None
    network = EfficientNetLite(start.config["variant"]).eval()
    network.load_state_dict(start.weights)
    pixels = SquarePixels(260, start.mean, start.std)(Image.open(INPUT / "sign.jpg"))
    with torch.inference_mode():
        features = network(torch.from_numpy(pixels)[None])
        pooled = features.mean(dim=(2, 3))
        classes = network.classifier(pooled).softmax(dim=-1)[0]
    assert features.shape == (1, 1280, 9, 9)
    wanted = [0.0110, 0.0031, 0.8588, 0.0596, 0.1187, 0.0347, 0.0972, 0.0259]
    assert pooled[0, :8].tolist() == pytest.approx(wanted, abs=1e-3)
    assert start.classes[int(classes.argmax())] == "sign"
    assert float(classes.max()) == pytest.approx(0.8202, abs=1e-3)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    directory = tmp_path_factory.mktemp("lite")
    settings: dict[str, Any] = {"embedding_size": 24, "mirrored": True, "caption_calibration": [2.0, -1.0, 3.0]}
    encoder = {"model_type": "efficientnet-lite", "variant": "lite0"}
    classes = [f"class {index // 2}" for index in range(1000)]
    recurrent(directory, "cnn-gru", encoder=encoder, classes=classes, tag_threshold=0.001, **settings)
    return directory


def load(directory: Path, runtime: str) -> Loaded:
    placement = Placement(device="cpu", precision="float32", runtime=runtime, cache=NETWORKS)
    return Registry(with_local_paths(discover(), {"mine": directory}).values(), placement).entry("mine").load()


@pytest.mark.parametrize("options", [Options(), Options(num_beams=1), Options(num_beams=5, max_new_tokens=6)], ids=str)
def test_both_backends_say_the_same(captioner: Path, pictures: list[Image.Image], options: Options) -> None:
    jobs = [Job(picture, options=options) for picture in pictures]
    built, torchs = (load(captioner, runtime).predict(jobs) for runtime in ("openvino", "torch"))
    for one, other in zip(built, torchs, strict=True):
        assert (one.text, one.warnings) == (other.text, other.warnings)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
        assert one.tag_scores == pytest.approx(other.tag_scores, abs=1e-4)
        assert one.confidence is not None
        assert 0 < one.confidence < 1


def test_what_is_built_needs_no_torch(captioner: Path) -> None:
    import subprocess
    import sys

    program = f"""
import sys
from pathlib import Path
from models.families.recurrent import Recurrent
from models.base import (Placement, Source)
Recurrent("mine", Source()).load(Path({str(captioner)!r}), Placement(device="cpu"))
print(sorted({{"torch", "transformers"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_look_at_the_mirror_image_holds_no_weights_twice(captioner: Path) -> None:
    config = json.loads((captioner / "config.json").read_text(encoding="utf-8"))
    counts = []
    for mirrored in (False, True):
        encoder, _ = graph.build(captioner, config | {"mirrored": mirrored})
        counts.append(Counter(operation.get_type_name() for operation in encoder.get_ops())["Convolution"])
    assert counts[0] == counts[1] > 0


def test_classes_of_one_tag_add_up_and_words_are_merged_with_them() -> None:
    tagger = Tagger(("dog", "dogs", "grass"), ("dog", "dog", "sink", ""), (1.0, 0.0), (1.0, 0.0), 0.2, 3)
    tags = tagger([0.3, 0.4, 0.25, 0.35, 0.25, 0.21, 0.19])
    assert [name for name, _ in tags] == ["dog", "grass", "sink"], "dogs are the same as dog, less surely"
    assert [score for _, score in tags] == pytest.approx([0.45, 0.25, 0.21]), "a dog is a word and two classes"
    assert tagger([0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 1.0]) == [("dogs", pytest.approx(0.4))]


def test_the_likeliest_thing_that_a_caption_does_not_name() -> None:
    tagger = Tagger((), ("dog", "dogs", "teddy bear", ""), (1.0, 0.0), (1.0, 0.0), 0.2, 3)
    assert tagger.unsaid("a brown bear", [0.3, 0.2, 0.4, 0.9]) == pytest.approx(0.3)
    assert tagger.unsaid("two dogs", [0.3, 0.2, 0.4, 0.9]) == pytest.approx(0.4)


def test_a_calibration_moves_scores_and_keeps_their_order() -> None:
    scores = calibrated(np.array([-2.0, -1.0, 0.0]), (3.0, 3.0))
    assert list(scores) == sorted(scores)
    assert scores[1] == pytest.approx(0.5)


def test_the_former_name_is_an_alias(captioner: Path) -> None:
    registry = Registry(discover().values(), Placement())
    assert registry.entry("flickr8k-gru") is registry.entry("efficientnet-gru")
    assert [entry.model.name for entry in registry].count("efficientnet-gru") == 1
    known = with_local_paths(discover(), {"flickr8k-gru": captioner})
    assert known["efficientnet-gru"].source.directory == captioner
    assert "flickr8k-gru" not in known
