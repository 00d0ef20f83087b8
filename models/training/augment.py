"""Random augmentation of photos, so that the network never sees the same pixels twice."""

import math

import numpy as np
from PIL import Image, ImageEnhance

_LARGEST_ASPECT = 4 / 3
# In this order: brightness, contrast, colour.
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def crop_box(
    width: int, height: int, smallest: float, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return a random part of a photo, (left, top, right, bottom) in pixels.

    Its area is between the fraction `smallest` and all of the photo, its aspect that of the photo up to 4/3 either way
    (Szegedy et al. 2014, https://arxiv.org/abs/1409.4842).
    """
    area = random.uniform(smallest, 1.0)
    aspect = math.exp(random.uniform(-1, 1) * math.log(_LARGEST_ASPECT))
    part_x, part_y = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
    left, top = random.uniform(0, 1 - part_x) * width, random.uniform(0, 1 - part_y) * height
    return left, top, left + part_x * width, top + part_y * height


def augment(
    image: Image.Image, size: int, smallest: float, colour: float, flip: bool, random: np.random.Generator
) -> Image.Image:
    """Return a random crop of an RGB photo as a square of `size` pixels a side, perhaps mirrored, its colours changed.

    Args:
        image: the photo.
        size: side of the result.
        smallest: least part of the photo's area that is kept.
        colour: how much brightness, contrast and saturation change at most, as a factor of 1 - colour to 1 + colour.
        flip: whether to mirror the photo with a probability of 1/2.
        random: the generator; the same state gives the same result.
    """
    box = crop_box(image.width, image.height, smallest, random)
    result = image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    mirrored, factors = random.random() < 0.5, random.uniform(1 - colour, 1 + colour, len(_ENHANCERS))
    if flip and mirrored:
        result = result.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if colour:
        for enhancer, factor in zip(_ENHANCERS, factors, strict=True):
            result = enhancer(result).enhance(float(factor))
    return result
