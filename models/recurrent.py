"""Recurrent captioners: a CNN reads the image, a GRU or an LSTM writes the sentence. Trained by `models.training`.

The networks and what they are after are in `models/captioning/network.py`. A checkpoint is a directory with
`config.json` (whose model_type is recurrent-captioner), `generation_config.json`, `model.safetensors` (in half
precision as a rule) and `vocab.json`.
"""

from collections.abc import Sequence
from pathlib import Path

from models import generation
from models.base import Job, Loaded, Model, Placement, Prediction, Task

# The captions of Flickr8k have 11 words on average; one in a thousand has more than 30.
_MAX_NEW_TOKENS = 30


class Recurrent(Model):
    """Captioners that this project trains itself; the words that they expect are tags with scores."""

    task = Task.CAPTION
    accepts = ("image",)
    options = generation.OPTIONS
    model_type = "recurrent-captioner"
    max_new_tokens = _MAX_NEW_TOKENS

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRecurrent(directory, placement)


class LoadedRecurrent:
    """A captioner in memory.

    Its texts are lower-case words with spaces between and no punctuation, as the captions that it was trained on.
    """

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.captioning.network import RecurrentCaptioner
        from models.captioning.vocabulary import Vocabulary
        from models.runtime import torch as runtime

        self._vocabulary = Vocabulary.load(directory)
        self._network, self.device, self.precision = runtime.load(RecurrentCaptioner, directory, placement)
        self._config = self._network.config
        if len(self._vocabulary) != self._config.vocab_size:
            raise ValueError(
                f"{directory} has {len(self._vocabulary)} words, and a network of {self._config.vocab_size}"
            )

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return generation.in_batches_alike(jobs, self._predict)

    def _predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Caption images that share their options; the checkpoint says how many beams there are by default."""
        import torch

        from models.captioning.pixels import squashed

        options, config = jobs[0].options, self._config
        settings = generation.settings(options, _MAX_NEW_TOKENS)
        settings["num_beams"] = options.num_beams or self._network.generation_config.num_beams or 1
        with torch.inference_mode():
            # As the photos of the training: all of the image, as a square.
            images = [job.image for job in jobs if job.image is not None]
            pixels = squashed(images, config.image_size, config.image_mean, config.image_std)
            memory, words = self._network.encode(pixels.to(self._network.device, self._network.dtype))
            start = torch.full((len(jobs), 1), config.bos_token_id, device=memory.device)
            output = self._network.generate(start, memory=memory, **settings)[:, 1:].tolist()
            scores = words.float().sigmoid().tolist()
        return [self._prediction(*said, settings["max_new_tokens"]) for said in zip(output, scores, strict=True)]

    def _prediction(self, tokens: Sequence[int], scores: Sequence[float], limit: int) -> Prediction:
        tags = self._tags(scores)
        return Prediction(
            self._vocabulary.text(tokens),
            tags=tuple(tag for tag, _ in tags),
            tag_scores=tuple(score for _, score in tags),
            warnings=generation.cut_warning(tokens, limit, [self._config.eos_token_id]),
        )

    def _tags(self, scores: Sequence[float]) -> list[tuple[str, float]]:
        """Return the words that are likely to be in a caption of the image, the likeliest first."""
        likely = [pair for pair in zip(self._config.tags, scores, strict=True) if pair[1] >= self._config.tag_threshold]
        return sorted(likely, key=lambda pair: -pair[1])[: self._config.max_tags]


MODELS: tuple[Recurrent, ...] = ()
