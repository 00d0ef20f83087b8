"""Networks on OpenVINO: images are looked at one by one, and texts are written about them together."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image

from models import backends
from models.backends import conversion
from models.base import Job, Loaded, Placement, Prediction
from models.captioning.encoder import NAMED, Encoder
from models.families.blip import MODELS as BLIPS
from models.families.recurrent import MODELS as RECURRENT
from models.families.recurrent import Facts, read_checkpoint
from tests.checkpoints import recurrent
from tests.server import NETWORKS


@pytest.fixture(scope="module")
def captioner(checkpoints: dict[str, Path]) -> Loaded:
    return BLIPS[0].load(checkpoints["blip-base"], Placement("cpu", "float32", cache=NETWORKS))


@pytest.fixture(scope="module")
def tagger() -> Loaded:
    directory = RECURRENT[0].source.directory
    assert directory is not None
    return RECURRENT[0].load(directory, Placement("cpu", "float32", cache=NETWORKS))


def said(loaded: Loaded, pictures: list[Image.Image]) -> list[Prediction]:
    return loaded.predict([Job(picture) for picture in pictures])


@pytest.mark.parametrize("name", ["captioner", "tagger"])
def test_images_of_a_batch_say_what_they_say_alone(
    request: pytest.FixtureRequest, pictures: list[Image.Image], name: str
) -> None:
    loaded = request.getfixturevalue(name)
    alone = [said(loaded, [picture])[0] for picture in pictures]
    assert len({prediction.text for prediction in alone}) > 1
    # More than before, fewer than before, and as many again: their buffers are used again.
    for some in (pictures, pictures[:1], pictures[1:], pictures):
        expected = alone[len(pictures) - len(some) :] if some != pictures[:1] else alone[:1]
        for got, wanted in zip(said(loaded, some), expected, strict=True):
            assert (got.text, got.tags) == (wanted.text, wanted.tags)
            if wanted.tag_scores is not None:
                np.testing.assert_allclose(got.tag_scores, wanted.tag_scores, atol=1e-4)


@pytest.mark.parametrize("shape", ["cnn-gru", "cnn-lstm"])
def test_all_that_an_encoder_says_is_written_for_each_image(tmp_path: Path, shape: str) -> None:
    """Of a cnn-lstm, two outputs are the same."""
    recurrent(tmp_path, shape)
    network: Any = backends.load(read_checkpoint, Facts, tmp_path, Placement("cpu", "float32"))
    side = network.facts.image_size
    pixels = np.random.default_rng(0).standard_normal((3, 3, side, side)).astype(np.float32)
    network.encode(pixels)
    before = [tensor.data.copy() for tensor in network._encoded]
    for tensor in network._buffers:
        tensor.data[...] = np.nan
    network.encode(pixels)
    for tensor, wanted in zip(network._encoded, before, strict=True):
        np.testing.assert_array_equal(tensor.data, wanted)


def test_converting_does_not_warn_of_what_transformers_deprecates(recwarn: pytest.WarningsRecorder) -> None:
    side = [1, 3, 64, 64]
    conversion._trace(Encoder(NAMED["resnet-10"], 32).eval(), [torch.zeros(side)], [ov.PartialShape(side)])
    assert not [warning for warning in recwarn if "gradient_checkpointing" in str(warning.message)]
