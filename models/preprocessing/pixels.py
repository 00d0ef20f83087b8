"""Images as the published networks see them: what the image processor's config says, done with Pillow and numpy.

Equal to the last bit to transformers' image processors, which would import torch. Normalising is a matter of looking
up: a byte has only 256 values.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Box

_BICUBIC, _BILINEAR = int(Image.Resampling.BICUBIC), int(Image.Resampling.BILINEAR)
_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
# What each processor does where the file says nothing; names of old files have "FeatureExtractor" for "ImageProcessor".
_DEFAULTS: dict[str, dict[str, Any]] = {
    "BlipImageProcessor": {"size": 384, "resample": _BICUBIC, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
    "CLIPImageProcessor": {
        "size": {"shortest_edge": 224},
        "crop_size": 224,
        "do_center_crop": True,
        "resample": _BICUBIC,
        "image_mean": _CLIP_MEAN,
        "image_std": _CLIP_STD,
    },
    "ViTImageProcessor": {"size": 224, "resample": _BILINEAR, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "DeiTImageProcessor": {
        "size": 256,
        "crop_size": 224,
        "do_center_crop": True,
        "resample": _BICUBIC,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    },
}


def image_processor(directory: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its image processor: as transformers 5 writes it, nested in
    `processor_config.json`, else the `preprocessor_config.json` of older ones.

    Raises:
        ValueError: it says nothing.
    """
    for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        if (directory / name).is_file():
            config = json.loads((directory / name).read_text(encoding="utf-8"))
            found = config.get(key) if key else config
            if found:
                return dict(found)
    raise ValueError(f"{directory} has neither a preprocessor_config.json nor a processor_config.json for its images")


class Pixels:
    """Turns an image into what an encoder takes.

    size: (height, width) that images are squeezed to, or None where `shorter_side` is given.
    shorter_side: of the scaled image, in pixels, whose proportions are kept.
    crop: (height, width) that is cut out of its centre, or None.
    """

    def __init__(self, directory: Path) -> None:
        """Read what a checkpoint says of its image processor.

        Raises:
            ValueError: it asks for what is not known here.
        """
        given = image_processor(directory)
        kind = str(given.get("image_processor_type") or given.get("feature_extractor_type"))
        kind = kind.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        if kind not in _DEFAULTS:
            raise ValueError(f"{directory} wants its images from {kind}, which is not known here")
        config = _DEFAULTS[kind] | given
        size = config["size"] if config.get("do_resize", True) else None
        self.shorter_side = size["shortest_edge"] if isinstance(size, dict) and "shortest_edge" in size else None
        if config.get("use_square_size") and self.shorter_side:
            size, self.shorter_side = self.shorter_side, None
        self.size = None if size is None or self.shorter_side else _height_and_width(size)
        self.crop = _height_and_width(config["crop_size"]) if config.get("do_center_crop") else None
        smallest = (self.shorter_side,) * 2 if self.shorter_side else self.size
        if smallest is None or (self.crop and any(a > b for a, b in zip(self.crop, smallest, strict=True))):
            raise ValueError(f"{directory} gives its images no size, or crops more than there is")
        self._resample = Image.Resampling(config["resample"])
        self._table = _table(config)

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """Return an RGB image as normalised pixels of shape (3, height, width)."""
        width, height = image.size
        target = self.size
        if self.shorter_side:
            shorter = min(height, width)
            target = (int(self.shorter_side * height / shorter), int(self.shorter_side * width / shorter))
        assert target is not None
        resized = np.asarray(image.resize((target[1], target[0]), self._resample))
        if self.crop:
            top, left = ((a - b) // 2 for a, b in zip(target, self.crop, strict=True))
            resized = resized[top : top + self.crop[0], left : left + self.crop[1]]
        return _looked_up(resized, self._table)

    def seen_part(self, size: tuple[int, int]) -> Box:
        """Return the part of an image of `size` (width, height) that the encoder sees, in fractions of it.

        Most checkpoints squeeze the whole image into a square. One that scales the shorter side and cuts out the
        centre shows less than the caller sees.
        """
        width, height = size
        if not self.crop or not self.shorter_side:
            return (0.0, 0.0, 1.0, 1.0)
        scale = min(width, height) / self.shorter_side
        part_x, part_y = min(1.0, self.crop[1] * scale / width), min(1.0, self.crop[0] * scale / height)
        return ((1 - part_x) / 2, (1 - part_y) / 2, (1 + part_x) / 2, (1 + part_y) / 2)


class SquarePixels:
    """Turns an image into what a recurrent captioner takes: all of it, as a square, as the photos of the training."""

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Make pixels of `size` a side, whose channels are normalised with `mean` and `std`."""
        means, deviations = (np.array(values, np.float32)[:, None] for values in (mean, std))
        self._size = size
        self._table = np.arange(256, dtype=np.float32) * (1 / (deviations * 255)) - means / deviations

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """Return an RGB image as normalised pixels of shape (3, size, size)."""
        return _looked_up(np.asarray(squash(image, self._size)), self._table)


def squash(image: Image.Image, size: int) -> Image.Image:
    """Return an RGB image as a square of `size` pixels a side, all of it, its proportions lost as in training."""
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _looked_up(image: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what `table` (3, 256) has for each byte of an image (height, width, 3), of shape (3, height, width)."""
    found = np.empty((3, *image.shape[:2]), np.float32)
    for channel, values in enumerate(table):
        # A byte is never out of bounds; where `take` would look for that, it would copy what it has found.
        np.take(values, image[:, :, channel], out=found[channel], mode="wrap")
    return found


def _height_and_width(size: Any) -> tuple[int, int]:
    return (size["height"], size["width"]) if isinstance(size, dict) else (size, size)


def _table(config: dict[str, Any]) -> NDArray[np.float32]:
    """Return what each of the 256 values of each channel becomes, of shape (3, 256).

    In transformers' order and precision: scaled in float64, normalised in float32.
    """
    values = np.arange(256, dtype=np.float32)
    if config.get("do_rescale", True):
        values = (values.astype(np.float64) * config.get("rescale_factor", 1 / 255)).astype(np.float32)
    table = np.tile(values, (3, 1))
    if not config.get("do_normalize", True):
        return table
    mean, std = (np.array(config[name], np.float32)[:, None] for name in ("image_mean", "image_std"))
    return np.asarray((table - mean) / std, np.float32)
