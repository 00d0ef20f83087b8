"""BLIP: captions, with or without a prompt that the caption continues.

Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and
Generation", https://arxiv.org/abs/2201.12086.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.generation import PreparedJob
from models.preprocessing.pixels import Pixels

if TYPE_CHECKING:
    import torch

# The authors generate at most 20 tokens.
_MAX_NEW_TOKENS = 20
_SPECIAL_TOKENS = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|DEC|ENC)\]", re.IGNORECASE)


class Blip(Model):
    """The captioning checkpoints of BLIP."""

    files = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "vocab.txt"))
    task = Task.CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS
    model_type = "blip"
    input_side = 384
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedBlip(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The checkpoint's start token, and the number of tokens that its decoder has positions for."""

    start_token: int
    positions: int


class LoadedBlip(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> PreparedJob:
        assert job.image is not None
        facts, prompt = self.network.facts, job.options.prompt
        # BLIP starts from its own start token: in place of a prompt's [CLS], or alone. A prompt's [SEP] is dropped.
        words = self.network.tokens.encode(prompt)[1:-1] if prompt else []
        tokens = [facts.start_token, *words]
        beams = self.network.rules.num_beams
        request = generation.make_request(job.options, tokens, _MAX_NEW_TOKENS, facts.positions, beams)
        return PreparedJob.of(job, request, self._pixels(job.image))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        texts, _ = generation.generate_of_images(self.network, prepared, self.network.rules)
        return [
            Prediction(
                self.network.tokens.decode(job.request.prompt + text.tokens).strip(),
                warnings=generation.cut_warning(text, job.request, self.network.rules),
                tokens=len(text.tokens),
            )
            for job, text in zip(prepared, texts, strict=True)
        ]


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a captioning checkpoint of BLIP.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from torch import nn
    from transformers import BlipForConditionalGeneration

    from models.backends.torch import read_weights
    from models.networks.checkpoint import read_rules, read_tokenizer
    from models.networks.decoder import CrossAttention, Decoder, Layer, SelfAttention
    from models.networks.embeddings import PositionEmbedding
    from models.networks.encoders import VisionEncoder, image_examples

    network = read_weights(BlipForConditionalGeneration, directory, dtype)
    text = network.text_decoder
    config, embeddings = text.config, text.bert.embeddings
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    layers = []
    for layer in text.bert.encoder.layer:
        own, cross, scale = layer.attention.self, layer.crossattention.self, size**-0.5
        attention = SelfAttention([own.query, own.key, own.value], layer.attention.output.dense, heads, scale)
        cross_attention = CrossAttention(
            cross.query, cross.key, cross.value, layer.crossattention.output.dense, heads, scale
        )
        feed_forward = [layer.intermediate.dense, layer.intermediate.intermediate_act_fn, layer.output.dense]
        layers.append(
            Layer(
                (attention, layer.attention.output.LayerNorm),
                (cross_attention, layer.crossattention.output.LayerNorm),
                (nn.Sequential(*feed_forward), layer.output.LayerNorm),
                norm_first=False,
            )
        )
    embed = PositionEmbedding(embeddings.word_embeddings, embeddings.position_embeddings.weight, embeddings.LayerNorm)
    return backends.Checkpoint(
        VisionEncoder(network.vision_model, layers),
        Decoder(embed, layers, text.cls.predictions, heads, size),
        image_examples(network.config.vision_config.image_size, dtype),
        read_tokenizer(directory),
        read_rules(directory, text.generation_config, config.sep_token_id),
        Facts(config.bos_token_id, config.max_position_embeddings),
    )


MODELS = (
    Blip(
        "blip-base",
        Source(
            "Salesforce/blip-image-captioning-base",
            "82a37760796d32b1411fe092ab5d4e227313294b",
            license="BSD-3-Clause",
            size_bytes=990_000_000,
            fallback="main",
        ),
    ),
    Blip(
        "blip-large",
        Source(
            "Salesforce/blip-image-captioning-large",
            "353689b859fcf0523410b1806dace5fb46ecdf41",
            license="BSD-3-Clause",
            size_bytes=1_880_000_000,
            fallback="main",
        ),
    ),
)
