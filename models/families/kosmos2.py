"""Kosmos-2: captions whose phrases come with boxes.

Peng et al. 2023, "Kosmos-2: Grounding Multimodal Large Language Models to the World",
https://arxiv.org/abs/2306.14824.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.preprocessing.grounding import read
from models.preprocessing.pixels import Pixels

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

    files = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "sentencepiece.bpe.model"))
    task = Task.GROUNDED_CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS | {"detail"}
    model_type = "kosmos-2"
    input_side = 224
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS
    batch_size = 4

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedKosmos2(directory, placement)


class LoadedKosmos2(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load("kosmos2", directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> Job:
        assert job.image is not None
        options, facts = job.options, self.network.facts
        text = options.prompt or (DETAILED if options.detail else BRIEF)
        prompt = self._prompt(f"<grounding>{text}".strip())
        request = generation.request(options, prompt, _MAX_NEW_TOKENS, facts["positions"], self.network.rules.beams)
        return replace(job, prepared=(replace(request, counted=self._counted(prompt)), self._pixels(job.image)))

    def _prompt(self, text: str) -> list[int]:
        """Return the tokens of a prompt, with room for the image before its text."""
        parts = self.network.facts["image_tokens"]
        images = " ".join(["<image>"] * (1 + parts))
        tokens = self.network.tokens.encode(f"<s>{images} </image> {text}", special=False)
        return [*tokens[:2], *[generation.IMAGE] * parts, *tokens[2 + parts :]]

    def _counted(self, prompt: Sequence[int]) -> tuple[int, ...]:
        """Return a prompt with the ids that the processor writes in the places of the image, which count up."""
        places = count(self.network.facts["first_image_token"])
        return tuple(next(places) if token == generation.IMAGE else token for token in prompt)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        requests, pixels = generation.prepared(jobs, self.prepare)
        texts, _ = generation.write(self.network, [np.stack(pixels)], requests, self.network.rules)
        return [self._prediction(*each) for each in zip(jobs, requests, texts, strict=True)]

    def _prediction(self, job: Job, request: generation.Request, text: generation.Text) -> Prediction:
        assert job.image is not None
        # After the image, of which the text says nothing.
        prompt = [token for token in request.prompt if token != generation.IMAGE]
        tagged = self.network.tokens.decode([*prompt, *text.tokens]).rpartition("</image>")[2]
        clean, entities = read(tagged, self._pixels.seen_part(job.image.size))
        warnings = generation.cut_warning(text, request, self.network.rules.ends)
        return Prediction(clean, entities=entities, warnings=warnings)


MODELS = (
    Kosmos2(
        "kosmos-2",
        Source(
            "microsoft/kosmos-2-patch14-224",
            "e91cfbcb4ce051b6a55bfb5f96165a3bbf5eb82c",
            license="MIT",
            size_bytes=6_700_000_000,
            fallback="main",
        ),
    ),
)
