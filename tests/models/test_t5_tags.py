"""Tags: in order, once each, and the same at every run."""

from pathlib import Path

import pytest
import torch
import transformers

from models.base import Job, Placement
from models.families.t5_tags import MODELS, split_tags
from tests.checkpoints import resave
from tests.server import NETWORKS

TEXTS = [f"a {word} on a {place}" for word in ("dog", "cat", "boy") for place in ("hill", "boat")]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (
            "Programming, Code, programming,  Software Development ,, CODE",
            ("Programming", "Code", "Software Development"),
        ),
        ("", ()),
        (" , ,", ()),
        ("one", ("one",)),
    ],
)
def test_split_tags(text: str, tags: tuple[str, ...]) -> None:
    assert split_tags(text) == tags


def test_tags_are_those_of_plain_transformers_alone_and_in_a_batch(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    directory = checkpoints["t5-tags"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    network = transformers.T5ForConditionalGeneration.from_pretrained(directory).eval()
    wanted = []
    for text in TEXTS:
        inputs = tokenizer([text], max_length=512, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            output = network.generate(**inputs, num_beams=8, do_sample=False, min_length=10, max_length=64)
        wanted.append(split_tags(tokenizer.batch_decode(output, skip_special_tokens=True)[0]))
    assert len(set(wanted)) > 3
    loaded = MODELS[0].load(directory, Placement(precision="float32", cache=NETWORKS))
    assert [loaded.predict([Job(text=text)])[0].tags for text in TEXTS] == wanted
    batch = [Job(text=text) for text in TEXTS]
    assert [prediction.tags for prediction in loaded.predict(batch)] == wanted
    assert [prediction.tags for prediction in loaded.predict(batch)] == wanted, "at every run"
    resave(directory, tmp_path, transformers.T5ForConditionalGeneration, transformers.AutoTokenizer)
    saved_again = MODELS[0].load(tmp_path, Placement("cpu", "float32", "torch"))
    assert [prediction.tags for prediction in saved_again.predict(batch)] == wanted, "as transformers 5 has saved it"


def test_a_text_of_more_than_512_tokens_is_cut(checkpoints: dict[str, Path]) -> None:
    loaded = MODELS[0].load(checkpoints["t5-tags"], Placement(precision="float32", cache=NETWORKS))
    long, short = loaded.predict([Job(text="word " * 20_000), Job(text="a word")])
    assert long.tags is not None
    assert long.warnings[0] == "only the first 512 tokens of the text were read"
    assert not any("512" in warning for warning in short.warnings)
    just_fits = Job(text="word " * 101 + "words")
    assert len(loaded.prepare(just_fits).inputs) == 512
    (whole,) = loaded.predict([just_fits])
    assert not any("512" in warning for warning in whole.warnings)
