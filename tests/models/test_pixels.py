"""Pixels and tokens made without torch are those of transformers, to the last bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from models.captioning.pixels import normalise, stack
from models.preprocessing.pixels import Pixels, SquarePixels, squash
from models.preprocessing.tokens import Tokens
from models.preprocessing.tokens import cut as shortened

CLIP = {"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 64, "width": 48}}
CONFIGS: list[dict[str, Any]] = [
    {"image_processor_type": "BlipImageProcessor", "size": 384, "image_mean": [0.4] * 3, "image_std": [0.3, 0.2, 0.1]},
    {"image_processor_type": "BlipImageProcessor", "size": {"height": 60, "width": 90}},
    {"feature_extractor_type": "ViTFeatureExtractor", "size": 384, "resample": 2},
    {"image_processor_type": "ViTImageProcessor", "do_normalize": False},
    {"image_processor_type": "DeiTImageProcessor"},
    {"image_processor_type": "CLIPImageProcessor"},
    CLIP | {"size": {"shortest_edge": 71}, "rescale_factor": 0.01},
    CLIP | {"size": {"shortest_edge": 224}, "use_square_size": True, "do_center_crop": False},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_pixels_of_other_configs(config: dict[str, Any], pictures: list[Image.Image], tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    ours = Pixels(tmp_path)
    for picture in pictures:
        np.testing.assert_array_equal(ours(picture), theirs(picture, return_tensors="np").pixel_values[0])


@pytest.mark.parametrize("name", ["blip-base", "kosmos-2", "trocr-base-handwritten", "florence-2-base"])
def test_pixels_of_the_checkpoints(checkpoints: dict[str, Path], pictures: list[Image.Image], name: str) -> None:
    theirs = transformers.AutoImageProcessor.from_pretrained(checkpoints[name])
    ours = Pixels(checkpoints[name])
    for picture in [*pictures, Image.new("RGB", (1, 1), "red"), Image.new("RGB", (900, 3))]:
        np.testing.assert_array_equal(ours(picture), theirs(picture, return_tensors="np").pixel_values[0])


@pytest.mark.parametrize(
    "config",
    [{"image_processor_type": "PixtralImageProcessor"}, CLIP | {"size": {"shortest_edge": 10}}, {"do_resize": False}],
)
def test_what_is_not_known_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor"} | config)
    )
    with pytest.raises(ValueError, match=str(tmp_path)):
        Pixels(tmp_path)


def test_squashed_pixels_are_those_of_the_training(pictures: list[Image.Image]) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    trained = normalise(stack([squash(picture, 64) for picture in pictures]), mean, std)
    served = torch.from_numpy(np.stack([SquarePixels(64, mean, std)(picture) for picture in pictures]))
    torch.testing.assert_close(served, trained, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["blip-base", "kosmos-2", "trocr-base-handwritten", "t5-tags"])
def test_tokens(checkpoints: dict[str, Path], name: str) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(checkpoints[name])
    ours = Tokens.of(theirs)
    for text in ("", "a photo of", "  Two  words, x.y ", "größe ☃ 🐕", "bal bel bil"):
        ids = theirs(text)["input_ids"]
        assert ours.encode(text) == ids
        assert ours.encode(text, special=False) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    some = np.random.default_rng(0).integers(0, len(theirs), (20, 9)).tolist()
    assert [ours.decode(ids) for ids in some] == theirs.batch_decode(some, skip_special_tokens=True)


def test_tokens_that_are_cleaned_up(checkpoints: dict[str, Path]) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(checkpoints["t5-tags"], clean_up_tokenization_spaces=True)
    ids = theirs("it 's b , c . do n't ' no ?")["input_ids"]
    assert Tokens.of(theirs).decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_a_long_text_is_cut_as_transformers_cuts_it(checkpoints: dict[str, Path]) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(checkpoints["t5-tags"])
    text = "word " * 50
    cut = theirs(text, max_length=32, truncation=True)["input_ids"]
    assert shortened(Tokens.of(theirs).encode(text), 32) == cut
