"""BLIP: captions, with or without a prompt that the caption continues.

Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and
Generation", https://arxiv.org/abs/2201.12086.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from models import generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task

# The authors generate at most 20 tokens.
_MAX_NEW_TOKENS = 20
_SPECIAL_TOKENS = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|DEC|ENC)\]", re.IGNORECASE)


class Blip(Model):
    """The captioning checkpoints of BLIP."""

    task = Task.CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS
    model_type = "blip"
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedBlip(directory, placement)


class LoadedBlip:
    def __init__(self, directory: Path, placement: Placement) -> None:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        from models.runtime import torch as runtime

        self._processor = BlipProcessor.from_pretrained(directory, local_files_only=True)
        self._network, self.device, self.precision = runtime.load(BlipForConditionalGeneration, directory, placement)
        self._text = self._network.config.text_config

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return generation.in_batches_alike(jobs, self._predict)

    def _predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Caption images that share their options; a prompt is then the same length for all, so nothing is padded."""
        options = jobs[0].options
        settings = generation.settings(options, _MAX_NEW_TOKENS)
        inputs = self._processor(
            images=[job.image for job in jobs],
            text=[options.prompt] * len(jobs) if options.prompt else None,
            return_tensors="pt",
        ).to(self._network.device, self._network.dtype)
        # BLIP starts from its own start token: in place of a prompt's [CLS], or alone. A prompt's [SEP] is dropped.
        prompt_tokens = inputs["input_ids"].shape[1] - 1 if options.prompt else 1
        generation.check_positions(prompt_tokens, settings["max_new_tokens"], self._text.max_position_embeddings)
        output = self._network.generate(**inputs, **settings)
        texts = self._processor.batch_decode(output, skip_special_tokens=True)
        return [
            Prediction(
                text.strip(),
                warnings=generation.cut_warning(
                    tokens[prompt_tokens:], settings["max_new_tokens"], [self._text.sep_token_id]
                ),
            )
            for text, tokens in zip(texts, output.tolist(), strict=True)
        ]


MODELS = (
    Blip(
        "blip-base",
        Source("Salesforce/blip-image-captioning-base", license="BSD-3-Clause", size_bytes=990_000_000),
    ),
    Blip(
        "blip-large",
        Source("Salesforce/blip-image-captioning-large", license="BSD-3-Clause", size_bytes=1_880_000_000),
    ),
)
