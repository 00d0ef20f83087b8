"""BLIP's networks."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipForConditionalGeneration

from models.backends.torch import read
from models.networks.checkpoint import rules, tokenizer_of
from models.networks.decoder import CrossAttention, Decoder, Layer, Networks, SelfAttention
from models.networks.vision import VisionEncoder, image_examples


def load(directory: Path, dtype: torch.dtype) -> Networks:
    """Read a captioning checkpoint of BLIP.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    network = read(BlipForConditionalGeneration, directory, dtype)
    text, side = network.text_decoder, network.config.vision_config.image_size
    config = text.config
    layers = [_layer(layer) for layer in text.bert.encoder.layer]
    size = config.hidden_size // config.num_attention_heads
    return Networks(
        VisionEncoder(network.vision_model, layers),
        Decoder(Embedding(text.bert.embeddings), layers, text.cls.predictions, config.num_attention_heads, size),
        image_examples(side, dtype),
        tokenizer_of(directory),
        rules(directory, text.generation_config, config.sep_token_id),
        {
            "start": config.bos_token_id,
            "positions": config.max_position_embeddings,
        },
    )


def _layer(layer: Any) -> Layer:
    own, cross = layer.attention.self, layer.crossattention.self
    heads, scale = own.num_attention_heads, own.attention_head_size**-0.5
    attention = SelfAttention([own.query, own.key, own.value], layer.attention.output.dense, heads, scale)
    look = CrossAttention(cross.query, cross.key, cross.value, layer.crossattention.output.dense, heads, scale)
    feed_forward = nn.Sequential(layer.intermediate.dense, layer.intermediate.intermediate_act_fn, layer.output.dense)
    return Layer(
        (attention, layer.attention.output.LayerNorm),
        (look, layer.crossattention.output.LayerNorm),
        (feed_forward, layer.output.LayerNorm),
        norm_first=False,
    )


class Embedding(nn.Module):
    """Words and positions."""

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.words, self.positions = embeddings.word_embeddings, embeddings.position_embeddings
        self.norm = embeddings.LayerNorm

    def forward(self, tokens: Tensor, positions: Tensor, memory: Any) -> Tensor:
        """Return x of shape (rows, length, hidden)."""
        embedded: Tensor = self.norm(self.words(tokens) + self.positions(positions))
        return embedded
