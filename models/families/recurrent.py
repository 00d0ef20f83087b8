"""Recurrent captioners: a CNN encodes the image, a GRU or an LSTM writes the caption. `models.training` trains them.

`models/captioning/network.py` has the networks and names the papers. A checkpoint is a directory with `config.json`
(model_type recurrent-captioner), `generation_config.json`, `model.safetensors` (usually in half precision) and
`vocab.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.generation import PreparedJob
from models.preprocessing.pixels import SquarePixels

if TYPE_CHECKING:
    import torch

# The captions of Flickr8k have 11 words on average; one in a thousand has more than 30.
_MAX_NEW_TOKENS = 30


class Recurrent(Model):
    """Captioners that this project trains. The words that they expect in a caption are tags with scores."""

    task = Task.CAPTION
    accepts = ("image",)
    options = generation.OPTIONS
    model_type = "recurrent-captioner"
    # The largest that a checkpoint has.
    input_side = 224
    max_new_tokens = _MAX_NEW_TOKENS
    tags_images = True

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRecurrent(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The start token, beams, number of words, image side in pixels and normalisation of a checkpoint; its tags, the
    lowest score of a tag, and how many tags an image has at most."""

    start_token: int
    num_beams: int
    vocab_size: int
    image_size: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    tags: tuple[str, ...]
    tag_threshold: float
    max_tags: int


class LoadedRecurrent(Loaded):
    """A captioner in memory. Its captions are lower-case words without punctuation, as those that it learned from."""

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.captioning.vocabulary import Vocabulary

        self._vocabulary = Vocabulary.load(directory)
        if placement.precision == "auto":
            # The recurrent part is small: half precision would lose accuracy and gain no time.
            placement = replace(placement, precision="float32")
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision
        facts = self.network.facts
        if len(self._vocabulary) != facts.vocab_size:
            raise ValueError(f"{directory} has {len(self._vocabulary)} words, and a network of {facts.vocab_size}")
        self._pixels = SquarePixels(facts.image_size, facts.image_mean, facts.image_std)

    def prepare(self, job: Job) -> PreparedJob:
        assert job.image is not None
        facts = self.network.facts
        request = generation.make_request(job.options, [facts.start_token], _MAX_NEW_TOKENS, num_beams=facts.num_beams)
        return PreparedJob.of(job, request, self._pixels(job.image))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        requests, pixels = [job.request for job in prepared], np.stack([job.inputs for job in prepared])
        texts, (scores,) = generation.generate(self.network, [pixels], requests, self.network.rules)
        return [self._prediction(*each) for each in zip(requests, texts, scores.tolist(), strict=True)]

    def _prediction(self, request: generation.Request, text: generation.Text, scores: Sequence[float]) -> Prediction:
        tags = self._tags(scores)
        return Prediction(
            self._vocabulary.text(text.tokens),
            tags=tuple(tag for tag, _ in tags),
            tag_scores=tuple(score for _, score in tags),
            warnings=generation.cut_warning(text, request, self.network.rules),
            tokens=len(text.tokens),
        )

    def _tags(self, scores: Sequence[float]) -> list[tuple[str, float]]:
        """Return the words that a caption of the image is likely to contain, the most likely first."""
        facts = self.network.facts
        likely = [pair for pair in zip(facts.tags, scores, strict=True) if pair[1] >= facts.tag_threshold]
        return sorted(likely, key=lambda pair: -pair[1])[: facts.max_tags]


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a checkpoint of a recurrent captioner.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from models.backends.torch import read_weights
    from models.captioning.network import RecurrentCaptioner
    from models.networks.checkpoint import read_rules
    from models.networks.encoders import image_examples
    from models.networks.recurrent import Decoder, Encoder

    network = read_weights(RecurrentCaptioner, directory, dtype)
    config = network.config
    return backends.Checkpoint(
        Encoder(network),
        Decoder(network),
        image_examples(config.image_size, dtype),
        None,
        read_rules(directory, network.generation_config, config.eos_token_id),
        Facts(
            start_token=config.bos_token_id,
            num_beams=network.generation_config.num_beams or 1,
            vocab_size=config.vocab_size,
            image_size=config.image_size,
            image_mean=tuple(config.image_mean),
            image_std=tuple(config.image_std),
            tags=tuple(config.tags),
            tag_threshold=config.tag_threshold,
            max_tags=config.max_tags,
        ),
        extra_outputs=1,
    )


MODELS = (
    Recurrent(
        "flickr8k-gru",
        Source(
            directory=Path(__file__).parents[1] / "shipped" / "flickr8k-gru",
            revision=None,
            license="Apache-2.0; trained on Flickr8k, which is for research and education",
            size_bytes=29_000_000,
        ),
    ),
)
