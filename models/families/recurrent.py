"""Recurrent captioners: a CNN encodes the image, a GRU or an LSTM writes the caption. `models.training` trains them.

`models/captioning/network.py` has the networks and names the papers. A checkpoint is a directory with `config.json`
(model_type recurrent-captioner), `generation_config.json`, `model.safetensors` (usually in half precision) and
`vocab.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.captioning.tags import Calibration, Tagger, calibrated
from models.generation import PreparedJob
from models.preprocessing.pixels import SquarePixels

if TYPE_CHECKING:
    import torch

# The captions of Flickr8k have 11 words on average; one in a thousand has more than 30.
_MAX_NEW_TOKENS = 30
_AS_IT_IS = (1.0, 0.0)


class Recurrent(Model):
    """Captioners that this project trains. The words that they expect in a caption are tags with scores."""

    task = Task.CAPTION
    accepts = ("image",)
    options = generation.OPTIONS
    model_type = "recurrent-captioner"
    # The largest image side of any checkpoint.
    input_side = 224
    max_new_tokens = _MAX_NEW_TOKENS
    tags_images = True

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRecurrent(directory, placement)


@dataclass(frozen=True)
class Facts:
    """What a checkpoint's `config.json` says besides its layers.

    start_token: the token that captions begin with. vocab_size: the number of words.
    image_size, image_mean, image_std: the side in pixels of the square that is looked at, and its normalisation.
    tags, classes, word_calibration, class_calibration, tag_threshold, max_tags: see `models.captioning.tags.Tagger`.
    caption_calibration: two slopes and an offset that turn the mean log-probability of a caption's words, and how
        likely the likeliest thing is that it does not name, into its confidence; None for no confidence.
    """

    start_token: int
    vocab_size: int
    image_size: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    tags: tuple[str, ...]
    classes: tuple[str, ...]
    word_calibration: Calibration
    class_calibration: Calibration
    tag_threshold: float
    max_tags: int
    caption_calibration: tuple[float, float, float] | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Facts":
        """Return the facts that a `config.json` states."""
        caption_calibration = config.get("caption_calibration")
        return cls(
            start_token=config["bos_token_id"],
            vocab_size=config["vocab_size"],
            image_size=config["image_size"],
            image_mean=tuple(config["image_mean"]),
            image_std=tuple(config["image_std"]),
            tags=tuple(config["tags"]),
            classes=tuple(config.get("classes") or ()),
            word_calibration=tuple(config.get("word_calibration", _AS_IT_IS)),
            class_calibration=tuple(config.get("class_calibration", _AS_IT_IS)),
            tag_threshold=config["tag_threshold"],
            max_tags=config["max_tags"],
            caption_calibration=caption_calibration and tuple(caption_calibration),
        )


class LoadedRecurrent(Loaded):
    """A captioner in memory. Its captions are lower-case words without punctuation, as those that it learned from."""

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.captioning.vocabulary import Vocabulary

        self._vocabulary = Vocabulary.load(directory)
        if placement.precision == "auto":
            # The recurrent part is small: half precision would lose accuracy and gain no time.
            placement = replace(placement, precision="float32")
        self.network = backends.load(read_checkpoint, Facts, directory, placement, build_networks)
        self.device, self.precision = self.network.device, self.network.precision
        facts = self.network.facts
        if len(self._vocabulary) != facts.vocab_size:
            raise ValueError(f"{directory} has {len(self._vocabulary)} words, and a network of {facts.vocab_size}")
        self._pixels = SquarePixels(facts.image_size, facts.image_mean, facts.image_std)
        calibrations = facts.word_calibration, facts.class_calibration
        self._tags = Tagger(facts.tags, facts.classes, *calibrations, facts.tag_threshold, facts.max_tags)

    def prepare(self, job: Job) -> PreparedJob:
        assert job.image is not None
        start, beams = self.network.facts.start_token, self.network.rules.num_beams
        request = generation.make_request(job.options, [start], _MAX_NEW_TOKENS, num_beams=beams)
        return PreparedJob.of(job, request, self._pixels(job.image))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        texts, (scores,) = generation.generate_of_images(self.network, prepared, self.network.rules)
        return [self._prediction(*each) for each in zip(prepared, texts, scores.tolist(), strict=True)]

    def _prediction(self, job: PreparedJob, text: generation.Text, scores: Sequence[float]) -> Prediction:
        tags = self._tags(scores)
        caption = self._vocabulary.text(text.tokens)
        return Prediction(
            caption,
            confidence=self._confidence(caption, text, scores),
            tags=tuple(tag for tag, _ in tags),
            tag_scores=tuple(score for _, score in tags),
            warnings=generation.cut_warning(text, job.request, self.network.rules),
            tokens=len(text.tokens),
        )

    def _confidence(self, caption: str, text: generation.Text, scores: Sequence[float]) -> float | None:
        """Return the chance that a caption names the main thing."""
        calibration = self.network.facts.caption_calibration
        if calibration is None or not text.scores:
            return None
        of_words, of_unsaid, offset = calibration
        evidence = of_words * float(np.mean(text.scores)) + of_unsaid * self._tags.unsaid(caption, scores)
        return float(calibrated(np.array(evidence), (1.0, offset)))


def build_networks(directory: Path) -> backends.Graphs[Facts] | None:
    """Build the networks of a checkpoint for OpenVINO without torch. Return None where they must be converted.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from models.captioning import graph
    from models.networks.checkpoint import read_rules

    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if not (directory / "model.safetensors").is_file() or not graph.can_build(config):
        return None
    rules = read_rules(directory, None, config["eos_token_id"])
    return backends.Graphs(*graph.build(directory, config), rules, Facts.of(config))


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
        Facts.of(config.to_dict()),
        extra_outputs=1,
    )


MODELS = (
    Recurrent(
        "efficientnet-gru",
        Source(
            directory=Path(__file__).parents[1] / "shipped" / "efficientnet-gru",
            revision=None,
            license="Apache-2.0; trained on Flickr8k and Flickr30k's captions, which are for research and education",
            size_bytes=31_500_000,
        ),
        aliases=("flickr8k-gru",),
    ),
)
