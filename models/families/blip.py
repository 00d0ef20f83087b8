"""BLIP: captions, with or without a prompt that the caption continues.

Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and
Generation", https://arxiv.org/abs/2201.12086.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Options, Placement, Prediction, Source, Task
from models.preprocessing.pixels import Pixels

# The authors generate at most 20 tokens.
_MAX_NEW_TOKENS = 20
_SPECIAL_TOKENS = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|DEC|ENC)\]", re.IGNORECASE)


class Blip(Model):
    """The captioning checkpoints of BLIP."""

    files = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "vocab.txt"))
    task = Task.CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS
    model_type = "blip"
    input_side = 384
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedBlip(directory, placement)


class LoadedBlip(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load("blip", directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> Job:
        assert job.image is not None
        return replace(job, prepared=(self._request(job.options), self._pixels(job.image)))

    def _request(self, options: Options) -> generation.Request:
        facts = self.network.facts
        # BLIP starts from its own start token: in place of a prompt's [CLS], or alone. A prompt's [SEP] is dropped.
        words = self.network.tokens.encode(options.prompt)[1:-1] if options.prompt else []
        prompt = [facts["start"], *words]
        return generation.request(options, prompt, _MAX_NEW_TOKENS, facts["positions"], self.network.rules.beams)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        requests, pixels = generation.prepared(jobs, self.prepare)
        texts, _ = generation.write(self.network, [np.stack(pixels)], requests, self.network.rules)
        return [
            Prediction(
                self.network.tokens.decode(request.prompt + text.tokens).strip(),
                warnings=generation.cut_warning(text, request, self.network.rules.ends),
            )
            for request, text in zip(requests, texts, strict=True)
        ]


MODELS = (
    Blip(
        "blip-base",
        Source(
            "Salesforce/blip-image-captioning-base",
            "82a37760796d32b1411fe092ab5d4e227313294b",
            license="BSD-3-Clause",
            size_bytes=990_000_000,
            fallback="main",
        ),
    ),
    Blip(
        "blip-large",
        Source(
            "Salesforce/blip-image-captioning-large",
            "353689b859fcf0523410b1806dace5fb46ecdf41",
            license="BSD-3-Clause",
            size_bytes=1_880_000_000,
            fallback="main",
        ),
    ),
)
