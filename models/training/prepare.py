"""What a training starts from: photos with captions, a vocabulary, and a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models import downloads, weights
from models.backends import torch as runtime
from models.base import ModelError, Source
from models.captioning.configuration import IMAGENET_MEAN, IMAGENET_STD, RecurrentCaptionerConfig
from models.captioning.encoder import NAMED
from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import UNKNOWN, Vocabulary
from models.discovery import discover, with_local_paths
from models.families.recurrent import Recurrent
from models.preprocessing.pixels import image_processor
from models.training.batches import Photo
from models.training.datasets import image_paths, read_captions, read_split, split, words
from models.training.settings import Settings, TrainingError
from models.training.vocabulary import build, content_words


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos to train on, and those to judge by."""

    train: list[Photo]
    dev: list[Photo]


def read_photos(settings: Settings) -> Photos:
    """Read the captions and find the photos.

    Raises:
        DatasetError: with what is wrong and the file that it is in.
    """
    assert settings.images is not None
    assert settings.captions is not None
    captions = read_captions(settings.captions)
    if settings.train_split is not None and settings.dev_split is not None:
        names = {"train": read_split(settings.train_split, captions), "dev": read_split(settings.dev_split, captions)}
    else:
        names = split(captions, settings.seed, dev=settings.dev_part)
    limit = settings.limit or None
    return Photos(*(_photos(settings.images, names[part][:limit], captions) for part in ("train", "dev")))


def _photos(directory: Path, names: Sequence[str], captions: Mapping[str, Sequence[str]]) -> list[Photo]:
    return [
        Photo(path, tuple(captions[name]), tuple(tuple(words(caption)) for caption in captions[name]))
        for name, path in zip(names, image_paths(directory, names), strict=True)
    ]


def make_network(settings: Settings, photos: Sequence[Photo]) -> tuple[RecurrentCaptioner, Vocabulary]:
    """Return the network to train and its vocabulary: a new one, or the one to fine-tune.

    Raises:
        TrainingError: what it should start from is not there.
        ModelError, ValueError: it is there, and cannot be used.
    """
    if settings.init_from is not None:
        _check_captioner(settings.init_from)
        network = runtime.read_weights(RecurrentCaptioner, settings.init_from, torch.float32)
        network.requires_grad_(True)
        vocabulary = Vocabulary.load(settings.init_from)
    else:
        vocabulary = build((caption for photo in photos for caption in photo.words), settings.min_count)
        network = _new_network(settings, photos, vocabulary)
    network.config.image_size = settings.serve_size or settings.image_size
    # Means over several looks are for when training is done: they would take several times as long.
    network.config.mirrored, network.config.second_size = False, 0
    search = network.generation_config
    search.num_beams, search.length_penalty = settings.beams, settings.length_penalty
    search.suppress_tokens = list(range(UNKNOWN + 1))
    # All special tokens but the end.
    search.suppress_tokens.remove(network.config.eos_token_id)
    network.encoder.requires_grad_(not settings.freeze_encoder)
    return network, vocabulary


def _check_captioner(directory: Path) -> None:
    model = with_local_paths(discover(), {"--init-from": directory})["--init-from"]
    if not isinstance(model, Recurrent):
        raise TrainingError(f"--init-from: {directory} holds no {Recurrent.model_type}, which is what can be trained")
    try:
        weights.verify(directory)
    except ModelError as error:
        raise TrainingError(f"--init-from {directory}: {error}") from error


def _new_network(settings: Settings, photos: Sequence[Photo], vocabulary: Vocabulary) -> RecurrentCaptioner:
    torch.manual_seed(settings.seed)
    tags = content_words({str(photo.path): photo.words for photo in photos}, settings.tags)
    directory = None if settings.encoder in NAMED else _checkpoint(settings.encoder)
    cnn = _load_cnn(directory) if directory else None
    mean, std = _colours(directory) if directory else (IMAGENET_MEAN, IMAGENET_STD)
    network = RecurrentCaptioner(
        RecurrentCaptionerConfig(
            shape=settings.shape,
            encoder=_description(cnn) if cnn else NAMED[settings.encoder],
            feature_stride=settings.feature_stride,
            vocab_size=len(vocabulary),
            hidden_size=settings.hidden,
            attention_heads=settings.heads,
            dropout=settings.dropout,
            tags=list(tags),
            image_mean=mean,
            image_std=std,
        )
    )
    if cnn is not None:
        network.encoder.cnn.load_state_dict(cnn.state_dict())
    # A head that starts with the words' own frequencies need not learn them first.
    odds = [math.log(part / (1 - part)) for part in (min(max(share, 1e-4), 0.99) for share in tags.values())]
    with torch.no_grad():
        head = network.words[-1]
        assert isinstance(head, torch.nn.Linear)
        head.weight.mul_(0.1)
        head.bias.copy_(torch.tensor(odds))
    return network


def _checkpoint(encoder: str) -> Path:
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
            f"--encoder {encoder} is none of {', '.join(NAMED)}, no directory, and could not be fetched from the hub: "
            f"{reason}"
        ) from error


def _load_cnn(directory: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(directory, dtype=torch.float32, local_files_only=True, weights_only=True)


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
