"""Encoders of images and of texts, with the cross-attention keys and values that the decoder needs of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.backends import ALIGNMENT
from models.networks.davit import DaViT
from models.networks.decoder import Layer


def _keys_and_values(encoded: Tensor, layers: nn.ModuleList) -> list[Tensor]:
    return [tensor for layer in layers for tensor in layer(encoded)]


def _of_layers(layers: Sequence[Layer]) -> nn.ModuleList:
    return nn.ModuleList([layer.cross.keys_and_values for layer in layers])


class VisionEncoder(nn.Module):
    """A vision transformer, then the cross-attention keys and values of each decoder layer.

    vision: a vision transformer of transformers.
    layers: of the decoder.
    projection: applied to the vision transformer's output, where the decoder has another width.
    """

    def __init__(self, vision: nn.Module, layers: Sequence[Layer], projection: nn.Module | None = None) -> None:
        super().__init__()
        self.vision, self.projection = vision, projection or nn.Identity()
        self.layers = _of_layers(layers)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return keys and values of each layer, and a mask (images, positions) of 1 for patches and 0 for padding, from
        normalised pixels (images, 3, height, width)."""
        encoded = self.projection(self.vision(pixels).last_hidden_state)
        padding = (0, -encoded.shape[1] % ALIGNMENT)
        mask = nn.functional.pad(encoded.new_ones(encoded.shape[:2]), padding)
        encoded = nn.functional.pad(encoded, (0, 0, *padding))
        return *_keys_and_values(encoded, self.layers), mask


class PromptImageEncoder(nn.Module):
    """Kosmos-2's vision transformer and the projection to embeddings that take the place of words in the prompt."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision, self.projection = network.vision_model, network.image_to_text_projection

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return embeddings (images, count, hidden) of normalised pixels (images, 3, height, width)."""
        encoded = self.vision.model.post_layernorm(self.vision(pixels)[0])
        return (self.projection(nn.functional.normalize(encoded, dim=-1))[0],)


class TextEncoder(nn.Module):
    """T5's encoder, then the cross-attention keys and values of each decoder layer."""

    def __init__(self, encoder: nn.Module, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, _of_layers(layers)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return keys and values of each layer, and the mask as floating-point numbers.

        Args:
            tokens: of shape (texts, length), padded.
            attention_mask: 1 for tokens and 0 for padding, of the same shape.
        """
        encoded = self.encoder(input_ids=tokens, attention_mask=attention_mask).last_hidden_state
        return *_keys_and_values(encoded, self.layers), attention_mask.to(encoded.dtype)


class ImageAndTextEncoder(nn.Module):
    """Florence-2's encoder: what the vision network sees, and the words of a prompt after it, go through the encoder of
    a text model. Then the cross-attention keys and values of each decoder layer."""

    def __init__(self, network: Any, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.vision, self.projection = DaViT(network.vision_tower), network.multi_modal_projector
        self.words, self.encoder = network.language_model.shared, network.language_model.encoder
        self.layers = _of_layers(layers)

    def forward(self, pixels: Tensor, tokens: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return keys and values of each layer, and a mask (images, positions) of 1 for patches and tokens, and 0 for
        padding.

        Args:
            pixels: normalised, of shape (images, 3, height, width).
            tokens: of the prompts, of shape (images, length), padded.
            attention_mask: 1 for tokens and 0 for padding, of the same shape.
        """
        seen = self.projection(self.vision(pixels))
        mask = torch.cat([attention_mask.new_ones(seen.shape[:2]), attention_mask], dim=1)
        both = torch.cat([seen, self.words(tokens)], dim=1)
        encoded = self.encoder(inputs_embeds=both, attention_mask=mask).last_hidden_state
        return *_keys_and_values(encoded, self.layers), mask.to(encoded.dtype)


def image_examples(side: int, dtype: torch.dtype) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return example inputs of two batch sizes, images of `side` x `side` pixels."""
    return (torch.zeros(2, 3, side, side, dtype=dtype),), (torch.zeros(3, 3, side, side, dtype=dtype),)


def text_examples() -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return example inputs of two batch sizes and two lengths, tokens and masks."""
    return (torch.ones(2, 5, dtype=torch.long),) * 2, (torch.ones(3, 6, dtype=torch.long),) * 2
