"""A transformer decoder that takes one step for a batch of texts, of any family.

Texts are *rows*. Several rows may belong to one *image* (or input text): the beams of a search. What the decoder
attends to is computed once per image, by the encoder, and not repeated for each row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.generation import Rules
from models.preprocessing.tokens import Tokens

# Large enough that nothing masked counts, and finite in every number format: a row of infinities has no softmax.
_MASKED = -1e4


@dataclass
class Networks:
    """What a family's `load` returns.

    encoder: inputs to memory, a tuple of tensors whose first dimension is that of the images.
    decoder: a `Decoder`, or what has the same `states`, `start` and `forward`.
    examples: two sets of inputs for the encoder; dimensions in which they differ are free.
    tokens: the checkpoint's tokenizer, where it has one.
    rules: how texts are searched for.
    facts: what else must be known of the checkpoint, by name: tokens with a meaning, limits, sizes.
    told: how many of the encoder's last outputs are not memory, but for whoever asks.
    """

    encoder: nn.Module
    decoder: Any
    examples: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
    tokens: Tokens | None
    rules: Rules
    facts: dict[str, Any]
    told: int = 0


class SelfAttention(nn.Module):
    """Attention of a token to those before it and itself, whose keys and values are kept.

    query, key, value, output: linear layers; they are joined, to read the weights in one go.
    scale: of the products of queries and keys.
    norm: applied before `output`.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], output: nn.Module, heads: int, scale: float, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.projection = _joined(layers)
        self.output, self.heads, self.scale, self.norm = output, heads, scale, norm or nn.Identity()

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return what was found (rows, length, hidden), and the keys and values so far.

        Args:
            x: of shape (rows, length, hidden).
            past: keys and values of the tokens before, of shape (rows, heads, past, size).
            mask: added to the products, of shape (rows, 1 or heads, length, past + length).
        """
        query, key, value = (split(part, self.heads) for part in self.projection(x).chunk(3, dim=-1))
        keys, values = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        found = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scale)
        return self.output(self.norm(join(found))), (keys, values)


class Memory(nn.Module):
    """What cross-attention looks at, computed once of what an encoder says."""

    def __init__(self, key: nn.Module, value: nn.Module, heads: int, scale: float) -> None:
        super().__init__()
        self.key, self.value, self.heads, self.scale = key, value, heads, scale

    def forward(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled keys and values, each (images, heads, places, size), of what an encoder says, of shape
        (images, places, hidden)."""
        keys, values = self.key(encoded) * self.scale, self.value(encoded)
        return split(keys, self.heads).contiguous(), split(values, self.heads).contiguous()


class CrossAttention(nn.Module):
    """Attention to an image, or to an input text: `memory` is of the encoder, `forward` the step."""

    def __init__(
        self, query: nn.Module, key: nn.Module, value: nn.Module, output: nn.Module, heads: int, scale: float
    ) -> None:
        super().__init__()
        self.memory = Memory(key, value, heads, scale)
        self.query, self.output, self.heads = query, output, heads

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], rows: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Return what was found (rows, length, hidden); for the arguments see `Decoder.forward`."""
        keys, values = memory
        # All rows of an image ask at once, so that its memory is read once.
        query = split(
            self.query(x)[rows.flatten()].reshape(rows.shape[0], -1, keys.shape[1] * keys.shape[3]), self.heads
        )
        weights = (torch.matmul(query, keys.transpose(2, 3)) + mask).softmax(dim=-1)
        found = join(torch.matmul(weights, values))
        answer: Tensor = self.output(found.reshape(-1, x.shape[1], found.shape[2])[places])
        return answer


class Layer(nn.Module):
    """Self-attention, cross-attention where there is one, and the feed-forward part, each with its norm.

    norm_first: whether a norm comes before its part (T5, Kosmos-2) or after the sum (BLIP, TrOCR).
    """

    def __init__(
        self,
        attention: tuple[nn.Module, nn.Module],
        cross: tuple[nn.Module, nn.Module] | None,
        feed_forward: tuple[nn.Module, nn.Module],
        norm_first: bool,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention
        self.feed_forward, self.feed_forward_norm = feed_forward
        self.cross: Any
        self.cross_norm: Any
        self.cross, self.cross_norm = cross or (None, None)
        self.norm_first = norm_first

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor], mask: Tensor, look: tuple[Any, ...]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return x (rows, length, hidden) with what this layer adds, and its keys and values."""
        found, present = self.attention(self._before(self.attention_norm, x), past, mask)
        x = self._after(self.attention_norm, x + found)
        if self.cross is not None:
            x = self._after(self.cross_norm, x + self.cross(self._before(self.cross_norm, x), *look))
        x = self._after(self.feed_forward_norm, x + self.feed_forward(self._before(self.feed_forward_norm, x)))
        return x, present

    def _before(self, norm: Any, x: Tensor) -> Tensor:
        normed: Tensor = norm(x) if self.norm_first else x
        return normed

    def _after(self, norm: Any, x: Tensor) -> Tensor:
        normed: Tensor = x if self.norm_first else norm(x)
        return normed


class Decoder(nn.Module):
    """The decoder of one step.

    embed: a module from tokens and positions (rows, length), and the encoder's memory, to x (rows, length, hidden).
    layers: of class `Layer`.
    head: a module from x (rows, hidden) to logits (rows, vocabulary).
    bias: where there are relative positions, a module from length and total length to what they add to the mask,
        of shape (1, heads, length, total).
    heads, size: of the keys and values.
    """

    def __init__(
        self,
        embed: nn.Module,
        layers: Sequence[Layer],
        head: nn.Module,
        heads: int,
        size: int,
        bias: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embed, self.layers, self.head, self.bias = embed, nn.ModuleList(layers), head, bias
        self.heads, self.size, self.looks = heads, size, any(layer.cross is not None for layer in layers)

    @property
    def states(self) -> int:
        """How many tensors are carried from step to step: keys and values of each layer."""
        return 2 * len(self.layers)

    def start(self, rows: int) -> list[tuple[int, ...]]:
        """Return the shapes of the keys and values before the first step."""
        return [(rows, self.heads, 0, self.size)] * self.states

    def forward(
        self, tokens: Tensor, positions: Tensor, attended: Tensor, rows: Tensor, places: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Take a step.

        Args:
            tokens: new tokens of shape (rows, length).
            positions: of each new token in its own text, of the same shape.
            attended: 1 for tokens and 0 for padding, the past's and the new ones, of shape (rows, past + length).
            rows: the rows that belong to each image, of shape (images, width); any row where there are fewer.
            places: where each row stands in `rows` when that is flattened, of shape (rows,).
            tensors: the encoder's memory, then the keys and values of each layer, (rows, heads, past, size). Where
                layers look at the memory, its last tensor has 1 for real places and 0 for padding, (images, places).

        Returns:
            Logits of the next token (rows, vocabulary), and the keys and values now.
        """
        memory, past = tensors[: -self.states], tensors[-self.states :]
        length, total = tokens.shape[1], attended.shape[1]
        x = self.embed(tokens, positions, memory)
        columns = torch.arange(total, device=tokens.device)
        seen = (columns[None] <= columns[total - length :, None])[None] & (attended[:, None] > 0)
        mask = torch.where(seen, 0.0, _MASKED)[:, None].to(x.dtype)
        if self.bias is not None:
            mask = mask + self.bias(length, columns)
        away = (1 - memory[-1][:, None, None].to(x.dtype)) * _MASKED if self.looks else None
        presents: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            pair = slice(2 * i, 2 * i + 2)
            x, present = layer(x, past[pair], mask, (memory[pair], rows, places, away))
            presents += present
        return self.head(x[:, -1]), *presents


def split(x: Tensor, heads: int) -> Tensor:
    """Return (batch, length, heads * size) as (batch, heads, length, size)."""
    parts: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return parts.transpose(1, 2)


def join(x: Tensor) -> Tensor:
    """Return (batch, heads, length, size) as (batch, length, heads * size)."""
    return x.transpose(1, 2).flatten(2)


def _joined(layers: Sequence[nn.Linear]) -> nn.Linear:
    """Return one linear layer whose outputs are those of several, one after the other."""
    first = layers[0]
    width = sum(layer.out_features for layer in layers)
    joined = nn.Linear(first.in_features, width, first.bias is not None, device="meta", dtype=first.weight.dtype)
    joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
    if first.bias is not None:
        joined.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)
    return joined
