"""What comes before and after the layers of a decoder: embeddings of tokens and positions, and T5's head."""

from typing import Any

import torch
from torch import Tensor, nn

from models.generation import IMAGE_TOKEN


class WordEmbedding(nn.Module):
    """Embeds tokens alone, for decoders whose attention knows the positions."""

    def __init__(self, words: nn.Module) -> None:
        super().__init__()
        self.words = words

    def forward(self, tokens: Tensor, positions: Tensor, encoded: Any) -> Tensor:
        """Return x of shape (rows, length, hidden)."""
        embedded: Tensor = self.words(tokens)
        return embedded


class PositionEmbedding(nn.Module):
    """Embeds tokens and absolute positions.

    words: an embedding of transformers.
    table: the vector of each position, learned or sinusoidal, of shape (positions, hidden).
    norm: applied to the sum.
    """

    def __init__(self, words: nn.Module, table: Tensor, norm: nn.Module) -> None:
        super().__init__()
        self.words, self.norm = words, norm
        self.positions = nn.Parameter(table, requires_grad=False)

    def forward(self, tokens: Tensor, positions: Tensor, encoded: Any) -> Tensor:
        """Return x of shape (rows, length, hidden)."""
        embedded: Tensor = self.norm(self.words(tokens) + nn.functional.embedding(positions, self.positions))
        return embedded


class PromptImageEmbedding(nn.Module):
    """Embeds Kosmos-2's tokens, image embeddings and sinusoidal positions.

    words, scale: the embedding of tokens and its factor.
    table: the vector of each position, of shape (positions, hidden).
    """

    def __init__(self, words: nn.Module, scale: float, table: Tensor) -> None:
        super().__init__()
        self.words, self.scale = words, scale
        self.positions = nn.Parameter(table, requires_grad=False)

    def forward(self, tokens: Tensor, positions: Tensor, encoded: tuple[Tensor, ...]) -> Tensor:
        """Return x of shape (rows, length, hidden). Where `tokens` contain IMAGE_TOKEN, each image has one row, of the
        same index."""
        images = encoded[0]
        is_image = tokens == IMAGE_TOKEN
        first = torch.arange(tokens.shape[0], device=tokens.device)[:, None] * images.shape[1]
        index = (first + is_image.long().cumsum(dim=1) - 1).clamp(min=0)
        flat = images.flatten(0, 1)
        x = torch.where(is_image[..., None], flat[index.clamp(max=flat.shape[0] - 1)], self.words(tokens.clamp(min=0)))
        embedded: Tensor = x * self.scale + self.positions[positions]
        return embedded


class RelativePositions(nn.Module):
    """The bias that T5's attention adds for the distance between two tokens."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, length: int, columns: Tensor) -> Tensor:
        """Return the bias (1, heads, length, total) of the last `length` of all `columns` (total,)."""
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


class ScaledHead(nn.Module):
    """T5's head: the last norm, a scale and the output layer."""

    def __init__(self, norm: nn.Module, words: nn.Module, scale: float) -> None:
        super().__init__()
        self.norm, self.words, self.scale = norm, words, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, vocabulary) of x (rows, hidden)."""
        logits: Tensor = self.words(self.norm(x) * self.scale)
        return logits
