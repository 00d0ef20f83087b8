"""T5 tag generation: a text to tags.

Raffel et al. 2019, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
https://arxiv.org/abs/1910.10683, as fine-tuned in https://huggingface.co/fabiochiu/t5-base-tag-generation.
The model's page samples and puts the tags in a set, so that they change from run to run; here they do not.
"""

from collections.abc import Sequence
from pathlib import Path

from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task

_MAX_INPUT_TOKENS = 512
_GENERATION = {"num_beams": 8, "min_length": 10, "max_length": 64, "do_sample": False, "use_cache": True}


class T5Tags(Model):
    """T5 fine-tuned to write a text's tags, separated by commas."""

    task = Task.TAG
    accepts = ("text",)
    model_type = "t5"

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedT5Tags(directory, placement)


class LoadedT5Tags:
    def __init__(self, directory: Path, placement: Placement) -> None:
        from transformers import AutoTokenizer, T5ForConditionalGeneration

        from models.runtime import torch as runtime

        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._network, self.device, self.precision = runtime.load(T5ForConditionalGeneration, directory, placement)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        inputs = self._tokenizer(
            [job.text for job in jobs],
            max_length=_MAX_INPUT_TOKENS,
            truncation=True,
            padding=True,
            return_tensors="pt",
        ).to(self._network.device)
        output = self._network.generate(**inputs, **_GENERATION)
        texts = self._tokenizer.batch_decode(output, skip_special_tokens=True)
        return [Prediction(text.strip(), tags=split_tags(text)) for text in texts]


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a comma-separated text, in order, the first spelling of each."""
    tags: dict[str, str] = {}
    for tag in filter(None, (part.strip() for part in text.split(","))):
        tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())


MODELS = (T5Tags("t5-tags", Source("fabiochiu/t5-base-tag-generation", license="Apache-2.0", size_bytes=890_000_000)),)
