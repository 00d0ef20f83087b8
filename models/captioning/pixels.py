"""The input of the recurrent captioners: images as normalised pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def stack(images: Sequence[Image.Image]) -> torch.Tensor:
    """Return RGB images of one size as bytes of shape (batch, 3, height, width), channels last in memory."""
    pixels = np.stack([np.asarray(image, dtype=np.uint8) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Return bytes (batch, 3, height, width) as floats, normalised with each channel's mean and standard deviation."""
    shape = (1, 3, 1, 1)
    scale = pixels.new_tensor(std, dtype=torch.float32).mul(255).reciprocal().view(shape)
    offset = pixels.new_tensor(mean, dtype=torch.float32).div(pixels.new_tensor(std, dtype=torch.float32)).view(shape)
    return pixels.float() * scale - offset
