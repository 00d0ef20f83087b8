"""TrOCR: one line of handwriting.

Li et al. 2021, "TrOCR: Transformer-based Optical Character Recognition with Pre-trained Models",
https://arxiv.org/abs/2109.10282.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models import backends, generation
from models.base import WHOLE_IMAGE, Job, Line, Loaded, Model, Placement, Prediction, Source, Task
from models.preprocessing.pixels import Pixels

# Real lines are longer than the 20 tokens of `generate()`, which the published configs have written out.
_MAX_NEW_TOKENS = 64


class TrOCR(Model):
    """The handwritten checkpoints of TrOCR. The image is one cropped line."""

    files = (
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json", "vocab.json"),
        ("tokenizer.json", "merges.txt"),
    )
    task = Task.READ_LINE
    accepts = ("image",)
    options = generation.OPTIONS
    model_type = "vision-encoder-decoder"
    max_new_tokens = _MAX_NEW_TOKENS

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        # Captioners and readers of forms are built of an encoder and a decoder as well.
        return super().recognises(config) and config.get("decoder", {}).get("model_type") == "trocr"

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedTrOCR(directory, placement)


class LoadedTrOCR(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load("trocr", directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> Job:
        assert job.image is not None
        facts = self.network.facts
        request = generation.request(
            job.options, [facts["start"]], _MAX_NEW_TOKENS, facts["positions"], self.network.rules.beams
        )
        return replace(job, prepared=(request, self._pixels(job.image)))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        requests, pixels = generation.prepared(jobs, self.prepare)
        texts, _ = generation.write(self.network, [np.stack(pixels)], requests, self.network.rules)
        return [self._prediction(*pair) for pair in zip(requests, texts, strict=True)]

    def _prediction(self, request: generation.Request, text: generation.Text) -> Prediction:
        read = self.network.tokens.decode(text.tokens).strip()
        return Prediction(
            read,
            confidence=text.confidence,
            lines=(Line(read, text.confidence, WHOLE_IMAGE),),
            warnings=generation.cut_warning(text, request, self.network.rules.ends),
        )


MODELS = (
    TrOCR(
        "trocr-large-handwritten",
        Source(
            "microsoft/trocr-large-handwritten",
            "e68501f437cd2587ae5d68ee457964cac824ddee",
            license="MIT",
            size_bytes=2_230_000_000,
            fallback="main",
        ),
    ),
    TrOCR(
        "trocr-base-handwritten",
        Source(
            "microsoft/trocr-base-handwritten",
            "eaacaf452b06415df8f10bb6fad3a4c11e609406",
            license="MIT",
            size_bytes=1_330_000_000,
            fallback="main",
        ),
    ),
)
