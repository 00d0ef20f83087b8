"""TrOCR's networks: a vision transformer (ViT or DeiT) and the decoder of a RoBERTa or MiniLM."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import VisionEncoderDecoderModel

from models.backends.torch import read
from models.networks.checkpoint import rules, tokenizer_of
from models.networks.decoder import CrossAttention, Decoder, Layer, Networks, SelfAttention
from models.networks.vision import VisionEncoder, image_examples

# The published files have no pooler (https://github.com/huggingface/transformers/issues/14017): the decoder looks at
# all of the encoder's output, and the pooler's goes nowhere.
_UNREAD = ("encoder.pooler.",)


def load(directory: Path, dtype: torch.dtype) -> Networks:
    """Read a checkpoint of TrOCR.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    network = read(VisionEncoderDecoderModel, directory, dtype, _UNREAD)
    decoder, config = network.decoder.model.decoder, network.config.decoder
    heads, side = config.decoder_attention_heads, network.config.encoder.image_size
    layers = [_layer(layer, config) for layer in decoder.layers]
    between = getattr(network, "enc_to_dec_proj", None)
    return Networks(
        VisionEncoder(network.encoder, layers, between),
        Decoder(Embedding(decoder), layers, network.decoder.output_projection, heads, config.d_model // heads),
        image_examples(side, dtype),
        tokenizer_of(directory),
        rules(directory, network.generation_config),
        {
            "start": network.generation_config.decoder_start_token_id,
            "positions": config.max_position_embeddings,
        },
    )


def _layer(layer: Any, config: Any) -> Layer:
    own, cross = layer.self_attn, layer.encoder_attn
    attention = SelfAttention([own.q_proj, own.k_proj, own.v_proj], own.out_proj, own.num_heads, own.scaling)
    look = CrossAttention(cross.q_proj, cross.k_proj, cross.v_proj, cross.out_proj, cross.num_heads, cross.scaling)
    return Layer(
        (attention, layer.self_attn_layer_norm),
        (look, layer.encoder_attn_layer_norm),
        (nn.Sequential(layer.fc1, layer.activation_fn, layer.fc2), layer.final_layer_norm),
        norm_first=False,
    )


class Embedding(nn.Module):
    """Words and positions; the positions are learned, or sines."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.words, self.norm = decoder.embed_tokens, decoder.layernorm_embedding or nn.Identity()
        positions = decoder.embed_positions
        learned = isinstance(positions, nn.Embedding)
        # Both tables begin with rows that no token has: the learned one with two, the sines with those up to padding.
        first = positions.offset if learned else positions.padding_idx + 1
        table = positions.weight if learned else positions.weights
        self.positions = nn.Parameter(table[first:].to(self.words.weight.dtype), requires_grad=False)

    def forward(self, tokens: Tensor, positions: Tensor, memory: Any) -> Tensor:
        """Return x of shape (rows, length, hidden)."""
        embedded: Tensor = self.norm(self.words(tokens) + self.positions[positions])
        return embedded
