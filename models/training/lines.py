"""Lines of handwriting with their texts: the list, the pixels, and batches of lines of like width.

A folder has `lines.tsv` (file, source, writer, text, split) and the images that it names.
"""

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Pixels
from models.reading.recognition import CROP_HEIGHT, MARGIN, STEP

POOL = 24  # batches that are filled together, sorted by width: lines of like width need little padding


@dataclass(frozen=True)
class Line:
    """An image of one line, grey (height, width) or coloured (height, width, 3), with its text."""

    image: Pixels
    text: str
    source: str

    @property
    def ratio(self) -> float:
        """The width in heights."""
        return float(self.image.shape[1] / self.image.shape[0])


def read_lines(folder: Path, split: str, shares: Mapping[str, float], chance: random.Random) -> list[Line]:
    """Return lines of one split of a folder: of each source the share that it has in `shares`, 1 where it is not there.

    Raises:
        ValueError: the list lacks a column, or an image cannot be decoded.
        OSError: the list cannot be read.
    """
    with (folder / "lines.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    try:
        kept = [row for row in rows if row["split"] == split and chance.random() < shares.get(row["source"], 1.0)]
        return [Line(_read(folder / row["file"]), " ".join(row["text"].split()), row["source"]) for row in kept]
    except KeyError as error:
        raise ValueError(f"{folder}/lines.tsv has no column {error}") from error


def _read(file: Path) -> Pixels:
    image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"{file} cannot be decoded")
    return image.astype(np.uint8)


def batches(lines: Sequence[Line], size: int, chance: random.Random) -> Iterator[list[Line]]:
    """Yield all lines once, in batches of like width and in random order."""
    shuffled = chance.sample(list(lines), len(lines))
    for start in range(0, len(shuffled), size * POOL):
        pool = sorted(shuffled[start : start + size * POOL], key=lambda line: line.ratio)
        found = [pool[first : first + size] for first in range(0, len(pool), size)]
        yield from chance.sample(found, len(found))


def stack(images: Sequence[Pixels]) -> NDArray[np.float32]:
    """Return images, grey or in OpenCV's colours, each made as high as the recogniser knows lines, as one input
    (rows, 3, 48, width).

    They are placed as `read_crop` places them: with a margin, and the edge repeated to the width of the widest.
    """
    small = [_scaled(image) for image in images]
    width = -(-(max(image.shape[1] for image in small) + 2 * MARGIN) // STEP) * STEP
    padded = [
        cv2.copyMakeBorder(image, 0, 0, MARGIN, width - image.shape[1] - MARGIN, cv2.BORDER_REPLICATE)
        for image in small
    ]
    coloured = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in padded]
    return np.ascontiguousarray(np.stack(coloured).transpose(0, 3, 1, 2), np.float32) / 127.5 - 1


def _scaled(image: Pixels) -> Pixels:
    scale = CROP_HEIGHT / image.shape[0]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (max(round(image.shape[1] * scale), 8), CROP_HEIGHT), interpolation=method).astype(
        np.uint8
    )
