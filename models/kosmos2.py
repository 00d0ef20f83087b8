"""Kosmos-2: captions whose phrases come with boxes.

Peng et al. 2023, "Kosmos-2: Grounding Multimodal Large Language Models to the World",
https://arxiv.org/abs/2306.14824.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from models import generation
from models.base import Box, Entity, Job, Loaded, Model, Placement, Prediction, Source, Task

# The authors' two prompts, and their limit.
BRIEF = "An image of"
DETAILED = "Describe this image in detail:"
_MAX_NEW_TOKENS = 128
_SPECIAL_TOKENS = re.compile(
    r"</?(s|pad|unk|mask|doc|chunk|line|image|phrase|object|grounding)>|</?delimiter_of_multi_objects/?>"
    r"|<patch_index_\d+>",
    re.IGNORECASE,
)


class Kosmos2(Model):
    """Kosmos-2; a prompt is the text after `<grounding>` that the model continues."""

    task = Task.GROUNDED_CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS | {"detail"}
    model_type = "kosmos-2"
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS
    batch_size = 4

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedKosmos2(directory, placement)


class LoadedKosmos2:
    def __init__(self, directory: Path, placement: Placement) -> None:
        from transformers import Kosmos2ForConditionalGeneration, Kosmos2Processor

        from models.runtime import torch as runtime

        self._processor = Kosmos2Processor.from_pretrained(directory, local_files_only=True)
        self._network, self.device, self.precision = runtime.load(Kosmos2ForConditionalGeneration, directory, placement)
        self._text = self._network.config.text_config

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return generation.in_batches_alike(jobs, self._predict)

    def _predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Describe images that share their options."""
        options = jobs[0].options
        settings = generation.settings(options, _MAX_NEW_TOKENS)
        prompt = options.prompt or (DETAILED if options.detail else BRIEF)
        inputs = self._processor(
            text=[f"<grounding>{prompt}"] * len(jobs), images=[job.image for job in jobs], return_tensors="pt"
        ).to(self._network.device, self._network.dtype)
        prompt_tokens = inputs["input_ids"].shape[1]
        generation.check_positions(prompt_tokens, settings["max_new_tokens"], self._text.max_position_embeddings)
        output = self._network.generate(
            pixel_values=inputs["pixel_values"],
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            image_embeds_position_mask=inputs["image_embeds_position_mask"],
            **settings,
        )
        texts = self._processor.batch_decode(output, skip_special_tokens=True)
        return [
            self._prediction(
                text,
                job.image,
                generation.cut_warning(tokens[prompt_tokens:], settings["max_new_tokens"], [self._text.eos_token_id]),
            )
            for job, text, tokens in zip(jobs, texts, output.tolist(), strict=True)
        ]

    def _prediction(self, generated: str, image: Image.Image | None, warnings: tuple[str, ...]) -> Prediction:
        assert image is not None
        text, found = self._processor.post_process_generation(generated)
        view = seen_part(self._processor.image_processor, image.size)
        return Prediction(text, entities=entities(text, found, view), warnings=warnings)


def entities(text: str, found: Sequence[tuple[str, tuple[int, int], Sequence[Box]]], view: Box) -> tuple[Entity, ...]:
    """Return what the processor found in a text as entities of the whole image.

    Args:
        text: the clean text.
        found: phrase, span in `text` and boxes in fractions of what the network saw, of each.
        view: the part of the image that the network saw, in fractions of it.
    """
    left, top, right, bottom = view
    width, height = right - left, bottom - top
    return tuple(
        Entity(
            text[start:end],
            (start, end),
            tuple(
                # Two patches name a box; nothing but training keeps the first above and left of the second.
                (
                    left + width * min(x0, x1),
                    top + height * min(y0, y1),
                    left + width * max(x0, x1),
                    top + height * max(y0, y1),
                )
                for x0, y0, x1, y1 in boxes
            ),
        )
        for _, (start, end), boxes in found
    )


def seen_part(image_processor: Any, size: tuple[int, int]) -> Box:
    """Return the part of an image of `size` (width, height) that reaches the network, in fractions of it.

    The published checkpoint squeezes the whole image into a square. One whose processor scales the shorter side and
    crops the centre shows the network less than the caller sees, and its boxes are fractions of that.
    """
    width, height = size
    shorter_side = image_processor.size.shortest_edge
    if not image_processor.do_center_crop or shorter_side is None:
        return (0.0, 0.0, 1.0, 1.0)
    shorter = min(width, height)
    part_x = min(1.0, image_processor.crop_size.width * shorter / (shorter_side * width))
    part_y = min(1.0, image_processor.crop_size.height * shorter / (shorter_side * height))
    return ((1 - part_x) / 2, (1 - part_y) / 2, (1 + part_x) / 2, (1 + part_y) / 2)


MODELS = (Kosmos2("kosmos-2", Source("microsoft/kosmos-2-patch14-224", license="MIT", size_bytes=6_700_000_000)),)
