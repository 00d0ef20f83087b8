"""TrOCR's confidence, and checkpoints with other generation configs than the published ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image

from models.base import Job, Options, Placement
from models.families.trocr import MODELS
from tests.server import NETWORKS


@pytest.mark.parametrize("num_beams", [1, 3])
def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities(
    checkpoints: dict[str, Path], pictures: list[Image.Image], num_beams: int
) -> None:
    """The same text, forced on plain transformers: texts that end early in their batch are no surer for it."""
    directory = checkpoints["trocr-large-handwritten"]
    jobs = [Job(picture, options=Options(num_beams=num_beams, max_new_tokens=12)) for picture in pictures]
    predictions = MODELS[0].load(directory, Placement(precision="float32", cache=NETWORKS)).predict(jobs)
    processor = transformers.TrOCRProcessor.from_pretrained(directory)
    network = transformers.VisionEncoderDecoderModel.from_pretrained(directory).eval()
    for picture, prediction in zip(pictures, predictions, strict=True):
        pixels = processor(images=picture, return_tensors="pt").pixel_values
        with torch.inference_mode():
            tokens = network.generate(pixels, num_beams=num_beams, max_new_tokens=12, use_cache=True)
            logits = network(pixel_values=pixels, decoder_input_ids=tokens[:, :-1]).logits[0]
        chosen = tokens[0, 1:]
        probabilities = logits.log_softmax(-1)[torch.arange(len(chosen)), chosen]
        assert prediction.confidence == pytest.approx(probabilities.mean().exp().item(), rel=1e-3)


def test_a_checkpoint_without_a_padding_token(
    checkpoints: dict[str, Path], pictures: list[Image.Image], tmp_path: Path
) -> None:
    directory = tmp_path / "trocr"
    shutil.copytree(checkpoints["trocr-base-handwritten"], directory)
    config = json.loads((directory / "generation_config.json").read_text())
    del config["pad_token_id"]
    config["eos_token_id"] = [2, 40]
    (directory / "generation_config.json").write_text(json.dumps(config))
    predictions = (
        MODELS[0].load(directory, Placement(precision="float32")).predict([Job(picture) for picture in pictures])
    )
    assert all(0 < (prediction.confidence or 0) < 1 for prediction in predictions)
