"""From images to normalised pixels, as the image processor's config of a checkpoint describes.

The results are equal to those of transformers' image processors, bit by bit, with Pillow and numpy instead of torch. A
byte has only 256 values, so pixels are normalised by table lookup.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.found import Box

_BICUBIC, _BILINEAR = int(Image.Resampling.BICUBIC), int(Image.Resampling.BILINEAR)
_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
# The defaults of each processor. Old files have "FeatureExtractor" in place of "ImageProcessor" in its name.
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
    """Return the config of a checkpoint's image processor. transformers 5 nests it in `processor_config.json`; older
    versions write `preprocessor_config.json`.

    Raises:
        ValueError: the checkpoint has neither.
    """
    for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        if (directory / name).is_file():
            config = json.loads((directory / name).read_text(encoding="utf-8"))
            found = config.get(key) if key else config
            if found:
                return dict(found)
    raise ValueError(f"{directory} has neither a preprocessor_config.json nor a processor_config.json for its images")


class Pixels:
    """Turns an image into the input of an encoder.

    size: (height, width) that images are scaled to, without keeping proportions; None if `shorter_side` is given.
    shorter_side: the shorter side of the scaled image in pixels, which keeps its proportions.
    crop: (height, width) of the part that is cut out of the centre, or None.
    """

    def __init__(self, directory: Path) -> None:
        """Read the config of a checkpoint's image processor.

        Raises:
            ValueError: the file describes a processor that this class does not implement.
        """
        given = image_processor(directory)
        kind = str(given.get("image_processor_type") or given.get("feature_extractor_type"))
        kind = kind.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        if kind not in _DEFAULTS:
            raise ValueError(f"{directory} needs the image processor {kind}, which is not implemented here")
        config = _DEFAULTS[kind] | given
        size = config["size"] if config.get("do_resize", True) else None
        self.shorter_side = size["shortest_edge"] if isinstance(size, dict) and "shortest_edge" in size else None
        if config.get("use_square_size") and self.shorter_side:
            size, self.shorter_side = self.shorter_side, None
        self.size = None if size is None or self.shorter_side else _height_and_width(size)
        self.crop = _height_and_width(config["crop_size"]) if config.get("do_center_crop") else None
        smallest = (self.shorter_side,) * 2 if self.shorter_side else self.size
        if smallest is None or (self.crop and any(a > b for a, b in zip(self.crop, smallest, strict=True))):
            raise ValueError(f"the image processor of {directory} has no size, or a crop that is larger than it")
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
        return _look_up(resized, self._table)

    def seen_part(self, size: tuple[int, int]) -> Box:
        """Return the part of an image that the encoder sees, in fractions of the image.

        Most checkpoints scale the whole image to a square. A checkpoint that scales the shorter side and cuts out the
        centre does not see the margins. `size` is (width, height).
        """
        width, height = size
        if not self.crop or not self.shorter_side:
            return (0.0, 0.0, 1.0, 1.0)
        scale = min(width, height) / self.shorter_side
        part_x, part_y = min(1.0, self.crop[1] * scale / width), min(1.0, self.crop[0] * scale / height)
        return ((1 - part_x) / 2, (1 - part_y) / 2, (1 + part_x) / 2, (1 + part_y) / 2)


class SquarePixels:
    """Turns an image into the input of a recurrent captioner: the whole image as a square, as in training."""

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Scale images to `size` x `size`, and normalise each channel with `mean` and `std`."""
        means, deviations = (np.array(values, np.float32)[:, None] for values in (mean, std))
        self._size = size
        self._table = np.arange(256, dtype=np.float32) * (1 / (deviations * 255)) - means / deviations

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """Return an RGB image as normalised pixels of shape (3, size, size)."""
        return _look_up(np.asarray(squash(image, self._size)), self._table)


def squash(image: Image.Image, size: int) -> Image.Image:
    """Return an RGB image scaled to `size` x `size` pixels, without keeping its proportions."""
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _look_up(image: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look each byte of an image (height, width, 3) up in a table (3, 256). Return an array (3, height, width)."""
    found = np.empty((3, *image.shape[:2]), np.float32)
    for channel, values in enumerate(table):
        # A byte is never out of bounds. With mode="raise", `take` would copy its result.
        np.take(values, image[:, :, channel], out=found[channel], mode="wrap")
    return found


def _height_and_width(size: Any) -> tuple[int, int]:
    return (size["height"], size["width"]) if isinstance(size, dict) else (size, size)


def _table(config: dict[str, Any]) -> NDArray[np.float32]:
    """Return the normalised value of each byte for each channel, of shape (3, 256).

    The order and precision are those of transformers: scaled in float64, normalised in float32.
    """
    values = np.arange(256, dtype=np.float32)
    if config.get("do_rescale", True):
        values = (values.astype(np.float64) * config.get("rescale_factor", 1 / 255)).astype(np.float32)
    table = np.tile(values, (3, 1))
    if not config.get("do_normalize", True):
        return table
    mean, std = (np.array(config[name], np.float32)[:, None] for name in ("image_mean", "image_std"))
    return np.asarray((table - mean) / std, np.float32)
