"""Batches of photos with captions. Their order and augmentation depend only on the seed and the epoch.

So a resumed run sees the same batches as an uninterrupted one, whatever the number of reading processes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.captioning.pixels import stack
from models.captioning.vocabulary import END, PAD, START, Vocabulary
from models.preprocessing.pixels import squash
from models.training import interrupt
from models.training.augment import augment
from models.training.formats import DatasetError
from models.training.settings import Settings

_MOST_WORDS = 30
# Words that make a caption wrong for the mirrored photo.
_SIDES = frozenset({"left", "right"})


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, its captions as they are written, and the same cut into words."""

    path: Path
    captions: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    def open(self) -> Image.Image:
        """Return the photo in RGB.

        Raises:
            DatasetError: it cannot be decoded.
        """
        try:
            with Image.open(self.path) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise DatasetError(f"{self.path} cannot be read as an image: {error}") from error


@dataclass(frozen=True, slots=True)
class Batch:
    """Photos (batch, 3, size, size) as bytes, their tokens (batch * captions, length), whether each tag is in a caption
    (batch, tags), and the indices of the photos."""

    pixels: Tensor
    tokens: Tensor
    words: Tensor
    photos: tuple[int, ...]


Item = tuple[Image.Image, list[list[int]], list[float], int]


class TrainingPhotos(Dataset[Batch | DatasetError]):
    """Photos for training: randomly cropped, mirrored and tinted, with some of their captions."""

    def __init__(
        self, photos: Sequence[Photo], vocabulary: Vocabulary, tags: Sequence[str], settings: Settings
    ) -> None:
        self._photos = photos
        self._vocabulary = vocabulary
        self._tags = tags
        self._settings = settings

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, places: Sequence[tuple[int, int]]) -> Batch | DatasetError:
        """Return photos, each by epoch and index, as a batch.

        If one cannot be read, the error is returned and not raised: from another process, its message would contain a
        traceback.
        """
        try:
            return collate([self._item(*place) for place in places])
        except DatasetError as error:
            return error

    def _item(self, epoch: int, index: int) -> Item:
        """Return a photo in an epoch, tokens of some of its captions, 1 for each tag in any of them, and its index."""
        photo, settings = self._photos[index], self._settings
        random = np.random.default_rng((settings.seed, epoch, index))
        said = frozenset().union(*photo.words)
        late = epoch >= settings.epochs - settings.late_epochs
        image = augment(
            photo.open(),
            settings.late_size if late and settings.late_size else settings.image_size,
            settings.smallest_crop,
            settings.colour,
            not settings.no_flip and _SIDES.isdisjoint(said),
            random,
        )
        wanted, there = settings.captions_per_image, len(photo.words)
        chosen = random.choice(there, wanted, replace=wanted > there)
        tokens = [[START, *self._vocabulary.ids(photo.words[i][:_MOST_WORDS]), END] for i in chosen]
        return image, tokens, [float(tag in said) for tag in self._tags], index


def training_batches(photos: TrainingPhotos, settings: Settings, epoch: int, start: int) -> Iterator[Batch]:
    """Return the batches of an epoch, without the `start` first.

    Raises:
        DatasetError: a photo cannot be read.
    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(photos)).tolist()
    size = settings.batch_size
    places = [[(epoch, index) for index in order[i : i + size]] for i in range(start * size, len(order), size)]
    loader: DataLoader[Batch | DatasetError] = DataLoader(
        photos,
        # Batches are made by the dataset.
        batch_size=None,
        sampler=places,
        num_workers=settings.workers,
        worker_init_fn=interrupt.ignore,
        # The loader draws a seed for its processes. Drawn from the global generator, it would change the dropout.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


def steps_in_epoch(photos: TrainingPhotos, settings: Settings) -> int:
    """Return how many batches an epoch has."""
    return -(-len(photos) // settings.batch_size)


def collate(items: Sequence[Item]) -> Batch:
    """Join photos into a batch. The captions of a photo are consecutive rows, padded to the longest."""
    images, tokens, words, photos = zip(*items, strict=True)
    rows = [torch.tensor(row) for captions in tokens for row in captions]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return Batch(stack(images), padded, torch.tensor(words), photos)


def squashed_batches(photos: Sequence[Photo], size: int, batch: int = 50) -> Iterator[Tensor]:
    """Yield photos in order, scaled for captioning: bytes of shape (batch, 3, size, size)."""
    for start in range(0, len(photos), batch):
        yield stack([squash(photo.open(), size) for photo in photos[start : start + batch]])
