"""TrOCR: reads one line of handwriting.

Li et al. 2021, "TrOCR: Transformer-based Optical Character Recognition with Pre-trained Models",
https://arxiv.org/abs/2109.10282.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.found import WHOLE_IMAGE, Line
from models.generation import PreparedJob
from models.preprocessing.pixels import Pixels

if TYPE_CHECKING:
    import torch

# The published configs have the default of `generate()`, 20 tokens. Real lines are longer.
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
        # Captioners and readers of forms have this model_type as well.
        return super().recognises(config) and config.get("decoder", {}).get("model_type") == "trocr"

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedTrOCR(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The checkpoint's start token, and the number of tokens that its decoder has positions for."""

    start_token: int
    positions: int


class LoadedTrOCR(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> PreparedJob:
        assert job.image is not None
        facts = self.network.facts
        beams = self.network.rules.num_beams
        request = generation.make_request(job.options, [facts.start_token], _MAX_NEW_TOKENS, facts.positions, beams)
        return PreparedJob.of(job, request, self._pixels(job.image))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        texts, _ = generation.generate_of_images(self.network, prepared, self.network.rules)
        return [self._prediction(*pair) for pair in zip(prepared, texts, strict=True)]

    def _prediction(self, job: PreparedJob, text: generation.Text) -> Prediction:
        words = self.network.tokens.decode(text.tokens).strip()
        return Prediction(
            words,
            confidence=text.confidence,
            lines=(Line(words, text.confidence, WHOLE_IMAGE),),
            warnings=generation.cut_warning(text, job.request, self.network.rules),
            tokens=len(text.tokens),
        )


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a checkpoint of TrOCR: a vision transformer (ViT or DeiT) and the decoder of a RoBERTa or MiniLM.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from torch import nn
    from transformers import VisionEncoderDecoderModel

    from models.backends.torch import read_weights
    from models.networks.bart import layers_of
    from models.networks.checkpoint import read_rules, read_tokenizer
    from models.networks.decoder import Decoder
    from models.networks.embeddings import PositionEmbedding
    from models.networks.encoders import VisionEncoder, image_examples

    # The published files have no pooler (https://github.com/huggingface/transformers/issues/14017). No text needs it.
    network = read_weights(VisionEncoderDecoderModel, directory, dtype, unused=("encoder.pooler.",))
    network.encoder.pooler = None
    decoder, config = network.decoder.model.decoder, network.config.decoder
    heads = config.decoder_attention_heads
    layers = layers_of(decoder, heads)
    # The learned table of positions begins with two unused rows, the sinusoidal one with those up to padding.
    positions = decoder.embed_positions
    learned = isinstance(positions, nn.Embedding)
    first, table = (positions.offset, positions.weight) if learned else (positions.padding_idx + 1, positions.weights)
    words = decoder.embed_tokens
    embed = PositionEmbedding(words, table[first:].to(words.weight.dtype), decoder.layernorm_embedding or nn.Identity())
    return backends.Checkpoint(
        VisionEncoder(network.encoder, layers, getattr(network, "enc_to_dec_proj", None)),
        Decoder(embed, layers, network.decoder.output_projection, heads, config.d_model // heads),
        image_examples(network.config.encoder.image_size, dtype),
        read_tokenizer(directory),
        read_rules(directory, network.generation_config),
        Facts(network.generation_config.decoder_start_token_id, config.max_position_embeddings),
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
