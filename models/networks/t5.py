"""T5's networks."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from models.backends.torch import read
from models.networks.checkpoint import rules, tokenizer_of
from models.networks.decoder import CrossAttention, Decoder, Layer, Networks, SelfAttention


def load(directory: Path, dtype: torch.dtype) -> Networks:
    """Read a checkpoint of T5.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    network = read(T5ForConditionalGeneration, directory, dtype)
    config, decoder = network.config, network.decoder
    layers = [_layer(block, config) for block in decoder.block]
    return Networks(
        TextEncoder(network.encoder, layers),
        Decoder(
            Embedding(network.shared),
            layers,
            Head(decoder.final_layer_norm, network.lm_head, config),
            config.num_heads,
            config.d_kv,
            RelativePositions(decoder.block[0].layer[0].SelfAttention),
        ),
        (_example(2, 5), _example(3, 6)),
        tokenizer_of(directory),
        rules(directory, network.generation_config),
        {"start": config.decoder_start_token_id, "pad": config.pad_token_id},
    )


def _example(texts: int, length: int) -> tuple[Tensor, ...]:
    return torch.ones(texts, length, dtype=torch.long), torch.ones(texts, length, dtype=torch.long)


def _layer(block: Any, config: Any) -> Layer:
    own, cross, heads = block.layer[0].SelfAttention, block.layer[1].EncDecAttention, config.num_heads
    # T5 does not scale the products.
    attention = SelfAttention([own.q, own.k, own.v], own.o, heads, scale=1.0)
    look = CrossAttention(cross.q, cross.k, cross.v, cross.o, heads, scale=1.0)
    return Layer(
        (attention, block.layer[0].layer_norm),
        (look, block.layer[1].layer_norm),
        (block.layer[2].DenseReluDense, block.layer[2].layer_norm),
        norm_first=True,
    )


class TextEncoder(nn.Module):
    """T5's encoder, and what the decoder's layers look at."""

    def __init__(self, encoder: nn.Module, layers: list[Layer]) -> None:
        super().__init__()
        self.encoder, self.memories = encoder, nn.ModuleList([layer.cross.memory for layer in layers])

    def forward(self, tokens: Tensor, attended: Tensor) -> tuple[Tensor, ...]:
        """Return the memory of texts: keys and values of each layer, and `attended` as numbers.

        Args:
            tokens: of shape (texts, length), padded.
            attended: 1 for tokens and 0 for padding, of the same shape.
        """
        encoded = self.encoder(input_ids=tokens, attention_mask=attended).last_hidden_state
        return *(tensor for memory in self.memories for tensor in memory(encoded)), attended.to(encoded.dtype)


class Embedding(nn.Module):
    """Words; positions are in the attention."""

    def __init__(self, words: nn.Module) -> None:
        super().__init__()
        self.words = words

    def forward(self, tokens: Tensor, positions: Tensor, memory: Any) -> Tensor:
        """Return x of shape (rows, length, hidden)."""
        embedded: Tensor = self.words(tokens)
        return embedded


class RelativePositions(nn.Module):
    """What attention adds for the distance of two tokens."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, length: int, columns: Tensor) -> Tensor:
        """Return the bias of shape (1, heads, length, total) of the last `length` of all `columns`."""
        attention = self.attention
        distances = columns[None] - columns[columns.shape[0] - length :, None]
        buckets = attention._relative_position_bucket(
            distances,
            bidirectional=False,
            num_buckets=attention.relative_attention_num_buckets,
            max_distance=attention.relative_attention_max_distance,
        )
        bias: Tensor = attention.relative_attention_bias(buckets).permute(2, 0, 1)[None]
        return bias


class Head(nn.Module):
    """The last norm and the words' scores."""

    def __init__(self, norm: nn.Module, words: nn.Module, config: Any) -> None:
        super().__init__()
        self.norm, self.words = norm, words
        self.scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, vocabulary) of x (rows, hidden)."""
        logits: Tensor = self.words(self.norm(x) * self.scale)
        return logits
