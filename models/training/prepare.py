"""What a training starts from: photos with captions, a vocabulary, and a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models import weights
from models.backends import torch as runtime
from models.captioning.configuration import RecurrentCaptionerConfig
from models.captioning.efficientnet import EfficientNetLite
from models.captioning.encoder import PACKAGED
from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import UNKNOWN, Vocabulary
from models.discovery import discover, with_local_paths
from models.errors import ModelError
from models.families.recurrent import Recurrent
from models.training import encoders
from models.training.batches import Photo
from models.training.datasets import image_paths, read_captions, read_split, split, words
from models.training.sentences import Words, read_sentences
from models.training.settings import Settings, TrainingError
from models.training.vocabulary import build, content_words


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos to train on, those to evaluate on, and sentences about others."""

    train: list[Photo]
    dev: list[Photo]
    sentences: list[Words]


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
    train, dev = (_photos(settings.images, names[part][:limit], captions) for part in ("train", "dev"))
    # Captions of the photos that evaluate must not be learned from.
    held_back = {caption for photo in dev for caption in photo.words}
    sentences = [] if settings.sentences is None else read_sentences(settings.sentences)
    return Photos(train, dev, [sentence for sentence in sentences if sentence not in held_back])


def _photos(directory: Path, names: Sequence[str], captions: Mapping[str, Sequence[str]]) -> list[Photo]:
    return [
        Photo(path, tuple(captions[name]), tuple(tuple(words(caption)) for caption in captions[name]))
        for name, path in zip(names, image_paths(directory, names), strict=True)
    ]


def make_network(settings: Settings, photos: Photos) -> tuple[RecurrentCaptioner, Vocabulary]:
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
        captions = (caption for photo in photos.train for caption in photo.words)
        vocabulary = build(captions, settings.min_count, photos.sentences)
        network = _new_network(settings, photos.train, vocabulary)
    network.config.image_size = settings.serve_size or settings.image_size
    # Means over several encodings of an image are only for the finished model: they take several times as long.
    network.config.mirrored, network.config.second_size = False, 0
    search = network.generation_config
    search.num_beams, search.length_penalty = settings.beams, settings.length_penalty
    search.suppress_tokens = list(range(UNKNOWN + 1))
    # All special tokens but the end.
    search.suppress_tokens.remove(network.config.eos_token_id)
    network.encoder.requires_grad_(not settings.freeze_encoder)
    if settings.encoder_blocks:
        _learn_last(network.encoder.cnn, settings.encoder_blocks)
    return network, vocabulary


def _learn_last(cnn: torch.nn.Module, number: int) -> None:
    """Freeze a CNN but for its last blocks and what follows them."""
    if not isinstance(cnn, EfficientNetLite):
        raise TrainingError(f"--encoder-blocks is for {', '.join(PACKAGED)}")
    cnn.stem.requires_grad_(False)
    cnn.blocks[:-number].requires_grad_(False)


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
    start = encoders.start(settings.encoder)
    network = RecurrentCaptioner(
        RecurrentCaptionerConfig(
            shape=settings.shape,
            encoder=start.config,
            feature_stride=settings.feature_stride,
            vocab_size=len(vocabulary),
            hidden_size=settings.hidden,
            embedding_size=settings.embedding,
            attention_heads=settings.heads,
            dropout=settings.dropout,
            tags=list(tags),
            classes=list(start.classes),
            image_mean=start.mean,
            image_std=start.std,
        )
    )
    if start.weights is not None:
        network.encoder.cnn.load_state_dict(start.weights)
    # Start the bias of the head from the frequencies of the words, so that it need not learn them.
    odds = [math.log(part / (1 - part)) for part in (min(max(share, 1e-4), 0.99) for share in tags.values())]
    with torch.no_grad():
        head = network.words[-1]
        assert isinstance(head, torch.nn.Linear)
        head.weight.mul_(0.1)
        head.bias.copy_(torch.tensor(odds))
    return network
