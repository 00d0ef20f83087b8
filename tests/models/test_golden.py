"""Published answers: the ids that the real models wrote become their texts, spans and boxes.

The weights are not here, so a network says the ids one after the other. All else is the service's own: the prompt, the
search with its rules, and what is made of the ids. The vocabularies have the words in question at their real ids.
"""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models import backends
from models.base import Job, Options, Placement, Prediction
from models.families import blip, kosmos2, trocr
from models.generation import IMAGE_TOKEN, Floats, Rules
from models.networks.checkpoint import read_tokenizer
from models.preprocessing.tokens import Tokens
from tests.vocabularies import KOSMOS2, KOSMOS2_TAGS, ROBERTA, bert_vocabulary

PHOTO = Image.new("RGB", (640, 480))


class Scripted:
    """A network that says certain tokens, whatever it sees. `prompt` is what the first text began with."""

    device, precision = "cpu", "float32"

    def __init__(self, tokens: Tokens, rules: Rules, facts: Any, says: list[int]) -> None:
        self.tokens, self.rules, self.facts = tokens, rules, facts
        self.prompt: list[int] = []
        self._says = iter(says)

    def encode(self, *inputs: Any) -> list[Floats]:
        return []

    def step(self, tokens: Any, *_: Any) -> tuple[Floats, Floats]:
        self.prompt = self.prompt or tokens[0].tolist()
        logits = np.zeros((len(tokens), 65_100), np.float32)
        logits[:, next(self._says)] = 20.0
        return logits, np.log(np.exp(logits).sum(axis=1))

    def remove(self, image: int) -> None:
        pass


def said(
    monkeypatch: pytest.MonkeyPatch, family: ModuleType, directory: Path, network: Scripted, **options: Any
) -> Prediction:
    """Return what a family makes of what its network says of a photo."""
    monkeypatch.setattr(backends, "load", lambda *_: network)
    loaded = family.MODELS[0].load(directory, Placement())
    (prediction,) = loaded.predict([Job(PHOTO, options=Options(**options))])
    assert not list(network._says), "everything was said"
    assert prediction.warnings == ()
    return prediction  # type: ignore[no-any-return]


@pytest.fixture
def kosmos2_tokens(checkpoints: dict[str, Path]) -> Tokens:
    from transformers import Kosmos2Processor

    return Tokens.of(Kosmos2Processor.from_pretrained(checkpoints["kosmos-2"]).tokenizer)


TAGS = {tag: 64_002 + number for number, tag in enumerate(KOSMOS2_TAGS)}
IN_DETAIL = (
    "▁The ▁image ▁features ▁a ▁snowman ▁sitting ▁by <phrase> ▁a ▁campfire </phrase> <object> 5 1007 </object> ▁in ▁the"
    " ▁snow . ▁He ▁is ▁wearing <phrase> ▁a ▁hat </phrase> <object> 48 250 </object> , <phrase> ▁scarf </phrase>"
    " <object> 240 604 </object> , ▁and <phrase> ▁gloves </phrase> <object> 400 532 </object> , ▁with <phrase> ▁a ▁pot"
    " </phrase> <object> 610 872 </object> ▁nearby ▁and <phrase> ▁a ▁cup </phrase> <object> 796 1023 </object> ▁placed"
    " ▁nearby . ▁The ▁snowman ▁appears ▁to ▁be ▁enjoying ▁the ▁warmth ▁of ▁the ▁fire , ▁and ▁it ▁appears ▁to ▁have ▁a"
    " ▁warm ▁and ▁cozy ▁atmosphere . </s>"
)
"""Pieces of the published text, and the patches of its boxes."""


def test_kosmos2_in_brief(
    monkeypatch: pytest.MonkeyPatch, checkpoints: dict[str, Path], kosmos2_tokens: Tokens
) -> None:
    ids = [64007, 10, 43867, 64008, 64009, 64057, 64876, 64010, 5950, 597, 32]
    ids += [64007, 10, 646, 64008, 64009, 64018, 64924, 64010, 4, 2]
    network = Scripted(kosmos2_tokens, Rules((2,), no_repeat_ngram_size=3), kosmos2.Facts(2048, 64, 4), ids)
    prediction = said(monkeypatch, kosmos2, checkpoints["kosmos-2"], network)
    assert network.prompt == [0, 64003, *[IMAGE_TOKEN] * 64, 64004, 64012, 712, 1648, 9]
    assert prediction.text == "An image of a snowman warming himself by a fire."
    assert [(entity.phrase, entity.span, entity.boxes) for entity in prediction.entities or ()] == [
        ("a snowman", (12, 21), ((0.390625, 0.046875, 0.984375, 0.828125),)),
        ("a fire", (41, 47), ((0.171875, 0.015625, 0.484375, 0.890625),)),
    ]


def test_kosmos2_in_detail(
    monkeypatch: pytest.MonkeyPatch, checkpoints: dict[str, Path], kosmos2_tokens: Tokens
) -> None:
    ids = [64013 + int(piece) if piece.isdecimal() else (KOSMOS2 | TAGS)[piece] for piece in IN_DETAIL.split()]
    network = Scripted(kosmos2_tokens, Rules((2,), no_repeat_ngram_size=3), kosmos2.Facts(2048, 64, 4), ids)
    prediction = said(monkeypatch, kosmos2, checkpoints["kosmos-2"], network, detail="detailed")
    assert network.prompt[66:] == [64004, 64012, 34645, 247, 38, 1648, 12, 3391, 55]
    assert prediction.text == (
        "Describe this image in detail: The image features a snowman sitting by a campfire in the snow. He is wearing "
        "a hat, scarf, and gloves, with a pot nearby and a cup placed nearby. The snowman appears to be enjoying the "
        "warmth of the fire, and it appears to have a warm and cozy atmosphere."
    )
    assert [(entity.phrase, entity.span, entity.boxes) for entity in prediction.entities or ()] == [
        ("a campfire", (71, 81), ((0.171875, 0.015625, 0.484375, 0.984375),)),
        ("a hat", (109, 114), ((0.515625, 0.046875, 0.828125, 0.234375),)),
        ("scarf", (116, 121), ((0.515625, 0.234375, 0.890625, 0.578125),)),
        ("gloves", (127, 133), ((0.515625, 0.390625, 0.640625, 0.515625),)),
        ("a pot", (140, 145), ((0.078125, 0.609375, 0.265625, 0.859375),)),
        ("a cup", (157, 162), ((0.890625, 0.765625, 0.984375, 0.984375),)),
    ]


@pytest.mark.parametrize(
    ("prompt", "begins", "ids", "text"),
    [
        (
            None,
            [30522],
            [1037, 2450, 3564, 2006, 1996, 3509, 2007, 2014, 3899, 102],
            "a woman sitting on the beach with her dog",
        ),
        (
            "a picture of",
            [30522, 1037, 3861, 1997],
            [1037, 2450, 1998, 2014, 3899, 2006, 1996, 3509, 102],
            "a picture of a woman and her dog on the beach",
        ),
    ],
)
def test_blip(
    monkeypatch: pytest.MonkeyPatch,
    checkpoints: dict[str, Path],
    tmp_path: Path,
    prompt: str | None,
    begins: list[int],
    ids: list[int],
    text: str,
) -> None:
    directory = small_files(checkpoints["blip-base"], tmp_path)
    (directory / "vocab.txt").write_text(bert_vocabulary())
    network = Scripted(read_tokenizer(directory), Rules((102,)), blip.Facts(30522, 512), ids)
    assert said(monkeypatch, blip, directory, network, prompt=prompt).text == text
    assert network.prompt == begins


def test_trocr(monkeypatch: pytest.MonkeyPatch, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """The first of IAM's published lines: spaces before quotation marks stay, as they were written."""
    directory = small_files(checkpoints["trocr-base-handwritten"], tmp_path)
    (directory / "vocab.json").write_text(json.dumps(ROBERTA))
    ids = [21267, 1506, 6, 22, 427, 4, 1547, 7181, 41591, 5846, 4, 22, 2780, 201, 33, 10, 2]
    network = Scripted(read_tokenizer(directory), Rules((2,)), trocr.Facts(2, 512), ids)
    assert said(monkeypatch, trocr, directory, network).text == (
        'industry, " Mr. Brown commented icily. " Let us have a'
    )
    assert network.prompt == [2]


def small_files(checkpoint: Path, directory: Path) -> Path:
    """Copy all but the weights of a checkpoint into a directory, and return it."""
    for file in checkpoint.iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copy(file, directory)
    return directory
