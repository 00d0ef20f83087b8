"""A transformer decoder that takes one step for a batch of texts, shared by all families.

Each text is a *row*. An image (or input text) has one row, or several: the beams of a search. Its cross-attention keys
and values are computed once, by the encoder, and not repeated for each row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Added to masked products: large enough to exclude them, and finite in every number format, since the softmax of a row
# of infinities is undefined.
_MASKED = -1e4


class SelfAttention(nn.Module):
    """Attention of each token to itself and the tokens before it.

    layers: the linear layers of queries, keys and values. They are joined into one, which is faster.
    output: the last linear layer.
    scale: factor of the products of queries and keys.
    norm: applied before `output`.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], output: nn.Module, heads: int, scale: float, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.projection = _joined(layers)
        self.output, self.heads, self.scale, self.norm = output, heads, scale, norm or nn.Identity()

    def forward(self, x: Tensor, cache: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the output (rows, length, hidden), and the keys and values of all tokens so far.

        Args:
            x: of shape (rows, length, hidden).
            cache: keys and values of the tokens before, of shape (rows, heads, before, size).
            mask: added to the products, of shape (rows, 1 or heads, length, before + length).
        """
        query, key, value = (split(part, self.heads) for part in self.projection(x).chunk(3, dim=-1))
        keys, values = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
        found = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scale)
        return self.output(self.norm(join(found))), (keys, values)


class KeysAndValues(nn.Module):
    """The part of cross-attention that depends only on the encoder's output."""

    def __init__(self, key: nn.Module, value: nn.Module, heads: int, scale: float) -> None:
        super().__init__()
        self.key, self.value, self.heads, self.scale = key, value, heads, scale

    def forward(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled keys and values, each (images, heads, positions, size), of an encoder's output (images,
        positions, hidden)."""
        keys, values = self.key(encoded) * self.scale, self.value(encoded)
        return split(keys, self.heads).contiguous(), split(values, self.heads).contiguous()


class CrossAttention(nn.Module):
    """Attention to an image or an input text. The encoder runs `keys_and_values`, each step runs `forward`."""

    def __init__(
        self, query: nn.Module, key: nn.Module, value: nn.Module, output: nn.Module, heads: int, scale: float
    ) -> None:
        super().__init__()
        self.keys_and_values = KeysAndValues(key, value, heads, scale)
        self.query, self.output, self.heads = query, output, heads

    def forward(
        self, x: Tensor, keys_and_values: tuple[Tensor, Tensor], image_rows: Tensor, slots: Tensor, mask: Tensor
    ) -> Tensor:
        """Return the output (rows, length, hidden); `Decoder.forward` explains the arguments."""
        keys, values = keys_and_values
        # The queries of all rows of an image are multiplied at once, so its keys and values are read once.
        query = split(
            self.query(x)[image_rows.flatten()].reshape(image_rows.shape[0], -1, keys.shape[1] * keys.shape[3]),
            self.heads,
        )
        weights = (torch.matmul(query, keys.transpose(2, 3)) + mask).softmax(dim=-1)
        found = join(torch.matmul(weights, values))
        output: Tensor = self.output(found.reshape(-1, x.shape[1], found.shape[2])[slots])
        return output


class Layer(nn.Module):
    """Self-attention, cross-attention if the decoder has it, and the feed-forward part, each with its norm.

    norm_first: True where a norm comes before its part (T5, Kosmos-2), False where it follows the sum (BLIP, TrOCR).
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
        self, x: Tensor, cache: tuple[Tensor, Tensor], mask: Tensor, cross_arguments: tuple[Any, ...]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the layer's output (rows, length, hidden), and its keys and values of all tokens so far."""
        found, cache = self.attention(self._before(self.attention_norm, x), cache, mask)
        x = self._after(self.attention_norm, x + found)
        if self.cross is not None:
            x = self._after(self.cross_norm, x + self.cross(self._before(self.cross_norm, x), *cross_arguments))
        x = self._after(self.feed_forward_norm, x + self.feed_forward(self._before(self.feed_forward_norm, x)))
        return x, cache

    def _before(self, norm: Any, x: Tensor) -> Tensor:
        normed: Tensor = norm(x) if self.norm_first else x
        return normed

    def _after(self, norm: Any, x: Tensor) -> Tensor:
        normed: Tensor = x if self.norm_first else norm(x)
        return normed


class Decoder(nn.Module):
    """The decoder of one step.

    embed: a module from tokens, positions (rows, length) and the encoder's outputs to x (rows, length, hidden).
    layers: of class `Layer`.
    head: a module from x (rows, hidden) to logits (rows, vocabulary).
    heads, size: the number of attention heads, and the length of their keys and values.
    bias: for relative positions, a module from length and columns to a bias (1, heads, length, total) of the mask.
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
        self.heads, self.size = heads, size
        self.has_cross_attention = any(layer.cross is not None for layer in layers)

    @property
    def state_count(self) -> int:
        """How many tensors pass from step to step: the self-attention keys and values of each layer."""
        return 2 * len(self.layers)

    def state_shapes(self, rows: int) -> list[tuple[int, ...]]:
        """Return the shapes of the keys and values before the first step."""
        return [(rows, self.heads, 0, self.size)] * self.state_count

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        attention_mask: Tensor,
        image_rows: Tensor,
        slots: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take a step.

        Args:
            tokens: new tokens of shape (rows, length).
            positions: of each new token in its own text, of the same shape.
            attention_mask: 1 for tokens and 0 for padding, of all tokens so far, of shape (rows, total).
            image_rows: the rows of each image, of shape (images, width); any row fills up where there are fewer.
            slots: the index of each row in `image_rows.flatten()`, of shape (rows,).
            tensors: the encoder's outputs, then the state: keys and values of each layer, (rows, heads, before, size).
                With cross-attention, the encoder's outputs are keys and values of each layer and a mask (images,
                positions), 1 for real positions and 0 for padding.

        Returns:
            Logits of the next token (rows, vocabulary), and the new state.
        """
        encoded, state = tensors[: -self.state_count], tensors[-self.state_count :]
        length, total = tokens.shape[1], attention_mask.shape[1]
        x = self.embed(tokens, positions, encoded)
        columns = torch.arange(total, device=tokens.device)
        visible = (columns[None] <= columns[total - length :, None])[None] & (attention_mask[:, None] > 0)
        mask = torch.where(visible, 0.0, _MASKED)[:, None].to(x.dtype)
        if self.bias is not None:
            mask = mask + self.bias(length, columns)
        cross_mask = (1 - encoded[-1][:, None, None].to(x.dtype)) * _MASKED if self.has_cross_attention else None
        new_state: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            pair = slice(2 * i, 2 * i + 2)
            x, keys_and_values = layer(x, state[pair], mask, (encoded[pair], image_rows, slots, cross_mask))
            new_state += keys_and_values
        return self.head(x[:, -1]), *new_state


def split(x: Tensor, heads: int) -> Tensor:
    """Return (batch, length, heads * size) as (batch, heads, length, size)."""
    parts: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return parts.transpose(1, 2)


def join(x: Tensor) -> Tensor:
    """Return (batch, heads, length, size) as (batch, length, heads * size)."""
    return x.transpose(1, 2).flatten(2)


def _joined(layers: Sequence[nn.Linear]) -> nn.Linear:
    """Return one linear layer with the outputs of several, concatenated."""
    first = layers[0]
    width = sum(layer.out_features for layer in layers)
    joined = nn.Linear(first.in_features, width, first.bias is not None, device="meta", dtype=first.weight.dtype)
    joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
    if first.bias is not None:
        joined.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)
    return joined
