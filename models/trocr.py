"""TrOCR: one line of handwriting.

Li et al. 2021, "TrOCR: Transformer-based Optical Character Recognition with Pre-trained Models",
https://arxiv.org/abs/2109.10282.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import generation
from models.base import WHOLE_IMAGE, Job, Line, Loaded, Model, Placement, Prediction, Source, Task

# What `generate()` does of itself.
_MAX_NEW_TOKENS = 20


class TrOCR(Model):
    """The handwritten checkpoints of TrOCR. The image is one cropped line."""

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


class LoadedTrOCR:
    def __init__(self, directory: Path, placement: Placement) -> None:
        from transformers import TrOCRProcessor, VisionEncoderDecoderModel

        from models.runtime import torch as runtime

        self._processor = TrOCRProcessor.from_pretrained(directory, local_files_only=True)
        self._network, self.device, self.precision = runtime.load(VisionEncoderDecoderModel, directory, placement)
        defaults = self._network.generation_config
        ends = defaults.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return generation.in_batches_alike(jobs, self._predict)

    def _predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Read images of lines that share their options."""
        settings = generation.settings(jobs[0].options, _MAX_NEW_TOKENS)
        limit = settings["max_new_tokens"]
        generation.check_positions(1, limit, self._network.config.decoder.max_position_embeddings)
        pixels = self._processor(images=[job.image for job in jobs], return_tensors="pt").pixel_values
        output = self._network.generate(
            pixels.to(self._network.device, self._network.dtype),
            output_scores=True,
            return_dict_in_generate=True,
            **settings,
        )
        confidences = self._confidences(output)
        texts = self._processor.batch_decode(output.sequences, skip_special_tokens=True)
        return [
            Prediction(
                text.strip(),
                confidence=confidence,
                lines=(Line(text.strip(), confidence, WHOLE_IMAGE),),
                warnings=generation.cut_warning(tokens[1:], limit, self._ends),
            )
            for text, tokens, confidence in zip(texts, output.sequences.tolist(), confidences, strict=True)
        ]

    def _confidences(self, output: Any) -> list[float]:
        """Return, for each text, the geometric mean of the probabilities of its tokens, its end included."""
        beams = output.get("beam_indices")
        # Scores of a beam search are log-probabilities already; those of a greedy one are logits.
        scores = self._network.compute_transition_scores(
            output.sequences, output.scores, beams, normalize_logits=beams is None
        )
        tokens = output.sequences[:, 1 : 1 + scores.shape[1]]
        ended = (tokens.unsqueeze(-1) == tokens.new_tensor(sorted(self._ends))).any(dim=-1).int()
        # What follows the end of a text is padding.
        written = ended.cumsum(dim=1) - ended == 0
        means = scores.float().masked_fill(~written, 0.0).sum(dim=1) / written.sum(dim=1).clamp(min=1)
        return [float(mean) for mean in means.exp()]


MODELS = (
    TrOCR(
        "trocr-large-handwritten",
        Source("microsoft/trocr-large-handwritten", license="MIT", size_bytes=2_230_000_000),
    ),
    TrOCR(
        "trocr-base-handwritten",
        Source("microsoft/trocr-base-handwritten", license="MIT", size_bytes=1_330_000_000),
    ),
)
