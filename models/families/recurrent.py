"""Recurrent captioners: a CNN reads the image, a GRU or an LSTM writes the sentence. Trained by `models.training`.

The networks and what they are after are in `models/captioning/network.py`. A checkpoint is a directory with
`config.json` (whose model_type is recurrent-captioner), `generation_config.json`, `model.safetensors` (in half
precision as a rule) and `vocab.json`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.preprocessing.pixels import Squashed

# The captions of Flickr8k have 11 words on average; one in a thousand has more than 30.
_MAX_NEW_TOKENS = 30


class Recurrent(Model):
    """Captioners that this project trains itself; the words that they expect are tags with scores."""

    task = Task.CAPTION
    accepts = ("image",)
    options = generation.OPTIONS
    model_type = "recurrent-captioner"
    # Checkpoints have squares of their own, which are no larger.
    input_side = 224
    max_new_tokens = _MAX_NEW_TOKENS
    tags_images = True

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRecurrent(directory, placement)


class LoadedRecurrent(Loaded):
    """A captioner in memory.

    Its texts are lower-case words with spaces between and no punctuation, as the captions that it was trained on.
    """

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.captioning.vocabulary import Vocabulary

        self._vocabulary = Vocabulary.load(directory)
        if placement.precision == "auto":
            # The recurrent part is small; in half precision it would gain no time and lose digits.
            placement = replace(placement, precision="float32")
        self.network = backends.load("recurrent", directory, placement)
        self.device, self.precision = self.network.device, self.network.precision
        self._facts = facts = self.network.facts
        if len(self._vocabulary) != facts["words"]:
            raise ValueError(f"{directory} has {len(self._vocabulary)} words, and a network of {facts['words']}")
        self._pixels = Squashed(facts["image_size"], facts["image_mean"], facts["image_std"])

    def prepare(self, job: Job) -> Job:
        assert job.image is not None
        # The checkpoint says how many beams there are by default.
        start, beams = [self._facts["start"]], self._facts["beams"]
        request = generation.request(job.options, start, _MAX_NEW_TOKENS, beams=beams)
        return replace(job, prepared=(request, self._pixels(job.image)))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        requests, pixels = generation.prepared(jobs, self.prepare)
        rules = self.network.rules
        texts, (scores,) = generation.write(self.network, [np.stack(pixels)], requests, rules)
        return [self._prediction(*each) for each in zip(requests, texts, scores.tolist(), strict=True)]

    def _prediction(self, request: generation.Request, text: generation.Text, scores: Sequence[float]) -> Prediction:
        tags = self._tags(scores)
        return Prediction(
            self._vocabulary.text(text.tokens),
            tags=tuple(tag for tag, _ in tags),
            tag_scores=tuple(score for _, score in tags),
            warnings=generation.cut_warning(text, request, self.network.rules.ends),
        )

    def _tags(self, scores: Sequence[float]) -> list[tuple[str, float]]:
        """Return the words that are likely to be in a caption of the image, the likeliest first."""
        facts = self._facts
        likely = [pair for pair in zip(facts["tags"], scores, strict=True) if pair[1] >= facts["tag_threshold"]]
        return sorted(likely, key=lambda pair: -pair[1])[: facts["max_tags"]]


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
