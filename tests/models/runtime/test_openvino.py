"""Networks on OpenVINO: images are looked at one by one, and texts are written about them together."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image

from models.base import Job, Loaded, Placement, Prediction
from models.blip import MODELS as BLIPS
from models.captioning.encoder import NAMED, Encoder
from models.recurrent import MODELS as RECURRENT
from models.runtime import openvino
from tests.server import NETWORKS


@pytest.fixture(scope="module")
def captioner(checkpoints: dict[str, Path]) -> Loaded:
    return BLIPS[0].load(checkpoints["blip-base"], Placement("cpu", "float32", cache=Path(NETWORKS.name)))


@pytest.fixture(scope="module")
def tagger() -> Loaded:
    directory = RECURRENT[0].source.directory
    assert directory is not None
    return RECURRENT[0].load(directory, Placement("cpu", "float32", cache=Path(NETWORKS.name)))


def said(loaded: Loaded, pictures: list[Image.Image]) -> list[Prediction]:
    return loaded.predict([Job(picture) for picture in pictures])


@pytest.mark.parametrize("name", ["captioner", "tagger"])
def test_images_of_a_batch_say_what_they_say_alone(
    request: pytest.FixtureRequest, pictures: list[Image.Image], name: str
) -> None:
    loaded = request.getfixturevalue(name)
    alone = [said(loaded, [picture])[0] for picture in pictures]
    assert len({prediction.text for prediction in alone}) > 1
    # More than before, fewer than before, and as many again: the room for their memory is used again.
    for some in (pictures, pictures[:1], pictures[1:], pictures):
        expected = alone[len(pictures) - len(some) :] if some != pictures[:1] else alone[:1]
        for got, wanted in zip(said(loaded, some), expected, strict=True):
            assert (got.text, got.tags) == (wanted.text, wanted.tags)
            if wanted.tag_scores is not None:
                np.testing.assert_allclose(got.tag_scores, wanted.tag_scores, atol=1e-4)


def test_converting_does_not_warn_of_what_transformers_deprecates(recwarn: pytest.WarningsRecorder) -> None:
    side = [1, 3, 64, 64]
    openvino._convert(Encoder(NAMED["resnet-10"], 32).eval(), [torch.zeros(side)], [ov.PartialShape(side)])
    assert not [warning for warning in recwarn if "gradient_checkpointing" in str(warning.message)]
