"""T5 tag generation: a text to tags.

Raffel et al. 2019, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
https://arxiv.org/abs/1910.10683, as fine-tuned in https://huggingface.co/fabiochiu/t5-base-tag-generation.
The model's page samples and puts the tags in a set, so that they change from run to run; here they do not.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.preprocessing.tokens import cut

_MAX_INPUT_TOKENS = 512
# The page's least and most length, 10 and 64, less the start token that they count; and its beams.
_SEARCH = (9, 63, 8)


class T5Tags(Model):
    """T5 fine-tuned to write a text's tags, separated by commas."""

    files = (("tokenizer.json", "spiece.model"),)
    task = Task.TAG
    accepts = ("text",)
    model_type = "t5"

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedT5Tags(directory, placement)


class LoadedT5Tags(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self.network = backends.load("t5", directory, placement)
        self.device, self.precision = self.network.device, self.network.precision
        self._request = generation.Request((self.network.facts["start"],), *_SEARCH)

    def prepare(self, job: Job) -> Job:
        return replace(job, prepared=(self._request, self.network.tokens.encode(job.text or "")))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        requests, whole = generation.prepared(jobs, self.prepare)
        inputs = [cut(tokens, _MAX_INPUT_TOKENS) for tokens in whole]
        lengths = np.array([len(tokens) for tokens in inputs])
        places = -(-lengths.max() // backends.ALIGNMENT) * backends.ALIGNMENT
        attended = np.arange(places) < lengths[:, None]
        tokens = np.full(attended.shape, self.network.facts["pad"])
        tokens[attended] = np.concatenate(inputs)
        given = [tokens, attended.astype(np.int64)]
        texts, _ = generation.write(self.network, given, requests, self.network.rules)
        written = [self.network.tokens.decode(text.tokens) for text in texts]
        return [
            Prediction(said.strip(), tags=split_tags(said), warnings=_warnings(len(sent), text, self.network.rules))
            for said, sent, text in zip(written, whole, texts, strict=True)
        ]


def _warnings(sent: int, written: generation.Text, rules: generation.Rules) -> tuple[str, ...]:
    """Return what a caller should know of a text of so many tokens and of its tags as they were written."""
    warnings = []
    if sent > _MAX_INPUT_TOKENS:
        warnings.append(f"only the first {_MAX_INPUT_TOKENS} tokens of the text were read")
    if set(rules.ends).isdisjoint(written.tokens):
        warnings.append("the tags were cut: the last one may be incomplete")
    return tuple(warnings)


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a comma-separated text, in order, the first spelling of each."""
    tags: dict[str, str] = {}
    for tag in filter(None, (part.strip() for part in text.split(","))):
        tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())


MODELS = (T5Tags("t5-tags", Source("fabiochiu/t5-base-tag-generation", license="Apache-2.0", size_bytes=890_000_000)),)
