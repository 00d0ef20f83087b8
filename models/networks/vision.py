"""What the encoders of images share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.backends import ALIGNMENT
from models.networks.decoder import Layer


class VisionEncoder(nn.Module):
    """A vision transformer, and what the decoder's layers look at.

    vision: of transformers.
    layers: the decoder's.
    between: applied to what the vision transformer says, where the decoder is of another width.
    """

    def __init__(self, vision: nn.Module, layers: Sequence[Layer], between: nn.Module | None = None) -> None:
        super().__init__()
        self.vision, self.between = vision, between or nn.Identity()
        self.memories = nn.ModuleList([layer.cross.memory for layer in layers])

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the memory of normalised pixels (images, 3, height, width): keys and values of each layer, and which
        places of them are real."""
        encoded = self.between(self.vision(pixels).last_hidden_state)
        padding = (0, -encoded.shape[1] % ALIGNMENT)
        attended = nn.functional.pad(encoded.new_ones(encoded.shape[:2]), padding)
        encoded = nn.functional.pad(encoded, (0, 0, *padding))
        return *(tensor for memory in self.memories for tensor in memory(encoded)), attended


def image_examples(side: int, dtype: torch.dtype) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return inputs of two numbers of images, squares of `side` pixels."""
    return (torch.zeros(2, 3, side, side, dtype=dtype),), (torch.zeros(3, 3, side, side, dtype=dtype),)
