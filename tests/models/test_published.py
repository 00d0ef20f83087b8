"""Models of the published repositories load, whatever their particulars, and say what plain transformers says."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from models.base import Job, Options, Placement
from models.discovery import discover
from models.reference import reference
from tests.checkpoints import make_all, resave
from tests.server import NETWORKS

CLASSES: dict[str, tuple[Any, Any]] = {
    "blip-base": (transformers.BlipForConditionalGeneration, transformers.BlipProcessor),
    "kosmos-2": (transformers.Kosmos2ForConditionalGeneration, transformers.Kosmos2Processor),
    "trocr-large-handwritten": (transformers.VisionEncoderDecoderModel, transformers.TrOCRProcessor),
    "florence-2-base": (transformers.Florence2ForConditionalGeneration, transformers.Florence2Processor),
}
PARAMETERS: list[dict[str, Any]] = [{}, {"num_beams": 3, "max_new_tokens": 12}]
RUNTIMES = ("openvino", "torch")


def texts(name: str, directory: Path, pictures: list[Image.Image], runtime: str) -> list[list[str]]:
    """Return what the service's code says of the pictures: one batch of all searches."""
    placement = Placement("cpu", "float32", runtime, NETWORKS)
    jobs = [Job(picture, options=Options(**options)) for options in PARAMETERS for picture in pictures]
    said = [prediction.text for prediction in discover()[name].load(directory, placement).predict(jobs)]
    return [said[: len(pictures)], said[len(pictures) :]]


def expected(name: str, directory: Path, pictures: list[Image.Image]) -> list[list[str]]:
    plain = reference(name, directory)
    return [[plain([picture], **options)[0].strip() for picture in pictures] for options in PARAMETERS]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of another seed than those of other tests."""
    return make_all(tmp_path_factory.mktemp("others"), seed=100)


@pytest.mark.parametrize("name", list(CLASSES))
def test_checkpoints_of_another_seed_that_transformers_5_has_saved_again(
    others: dict[str, Path], pictures: list[Image.Image], tmp_path: Path, name: str
) -> None:
    resave(others[name], tmp_path, *CLASSES[name])
    assert (tmp_path / "processor_config.json").is_file()
    assert not (tmp_path / "preprocessor_config.json").exists()
    if name == "kosmos-2":
        # It wrote the configuration without the setting that it had dropped when it read it.
        config = json.loads((tmp_path / "config.json").read_text())
        config["text_config"]["no_repeat_ngram_size"] = 3
        (tmp_path / "config.json").write_text(json.dumps(config))
    wanted = expected(name, tmp_path, pictures[:3])
    for runtime in RUNTIMES:
        assert texts(name, tmp_path, pictures[:3], runtime) == wanted, runtime


def test_kosmos2_does_not_say_three_tokens_twice(checkpoints: dict[str, Path], pictures: list[Image.Image]) -> None:
    """The setting matters: without it plain transformers says something else."""
    directory, some = checkpoints["kosmos-2"], pictures[:2]
    plain = reference("kosmos-2", directory)
    wanted = expected("kosmos-2", directory, some)
    assert wanted[0] != [plain([picture], no_repeat_ngram_size=0)[0] for picture in some]
    for runtime in RUNTIMES:
        assert texts("kosmos-2", directory, some, runtime) == wanted, runtime


def test_trocr_lacks_its_pooler_and_nothing_else(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    model, placement = discover()["trocr-base-handwritten"], Placement("cpu", "float32", "torch")
    source = checkpoints["trocr-base-handwritten"]
    tensors = load_file(source / "model.safetensors")
    assert not [name for name in tensors if "pooler" in name]
    model.load(source, placement)
    weight = "encoder.encoder.layer.1.output.dense.weight"
    for number, damaged in enumerate(({}, {weight: tensors[weight][:-1].clone()})):
        directory = tmp_path / str(number)
        shutil.copytree(source, directory)
        kept = {name: tensor for name, tensor in tensors.items() if name != weight}
        save_file(kept | damaged, directory / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises((ValueError, RuntimeError), match=r"layers\.1\.|mismatch"):
            model.load(directory, placement)


def test_loading_says_nothing_on_the_terminal(
    checkpoints: dict[str, Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither transformers' load report nor a warning of tied weights: a user can do nothing about them."""
    for name, directory in checkpoints.items():
        with caplog.at_level(logging.WARNING):
            discover()[name].load(directory, Placement("cpu", "float32", "torch"))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_blip_has_two_matrices_and_two_biases(checkpoints: dict[str, Path]) -> None:
    tensors = torch.load(checkpoints["blip-base"] / "pytorch_model.bin", weights_only=True)
    network = transformers.BlipForConditionalGeneration.from_pretrained(checkpoints["blip-base"])
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", "cls.predictions.bias"):
        torch.testing.assert_close(network.text_decoder.get_parameter(name), tensors[f"text_decoder.{name}"])
