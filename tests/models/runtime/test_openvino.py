"""Networks on OpenVINO: the encoder is given as many images at once as there is reason for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.base import Job, Loaded, Placement, Prediction
from models.blip import MODELS as BLIPS
from models.recurrent import MODELS as RECURRENT
from models.runtime import openvino as runtime
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
@pytest.mark.parametrize("at_once", [1, 2])
def test_images_that_are_encoded_in_parts_say_what_they_say_alone(
    request: pytest.FixtureRequest,
    pictures: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at_once: int,
) -> None:
    loaded = request.getfixturevalue(name)
    alone = [said(loaded, [picture])[0] for picture in pictures]
    assert len({prediction.text for prediction in alone}) > 1
    numbers = loaded.prepare(Job(pictures[0])).prepared[1].size
    monkeypatch.setattr(runtime, "_AT_ONCE", at_once * numbers)
    # More than before, fewer than before, and as many again: the room for their memory is used again.
    for some in (pictures, pictures[:1], pictures[1:], pictures):
        expected = alone[len(pictures) - len(some) :] if some != pictures[:1] else alone[:1]
        for got, wanted in zip(said(loaded, some), expected, strict=True):
            assert (got.text, got.tags) == (wanted.text, wanted.tags)
            if wanted.tag_scores is not None:
                np.testing.assert_allclose(got.tag_scores, wanted.tag_scores, atol=1e-4)
