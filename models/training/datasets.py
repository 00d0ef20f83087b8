"""Captions of the usual datasets, by image, cleaned, and split.

A row that cannot be read is reported with its file and line, and skipped.
"""

import logging
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.formats import DatasetError, rows

log = logging.getLogger(__name__)

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
# Flickr's captions separate some endings from their words: `the dog 's ball`.
_ENDING = re.compile(r"\s+'(s|t|d|m|re|ve|ll)\b")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was skipped. Lines are counted from 1; in JSON it is the number of the entry."""

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def words(caption: str) -> list[str]:
    """Return a caption's words in lower case, without punctuation but what is inside a word: `man's`, `t-shirt`."""
    text = unicodedata.normalize("NFKC", caption).replace("’", "'").lower()
    return _WORD.findall(_ENDING.sub(r"'\1", text))


def read_captions(
    file: Path, report: Callable[[BadRow], None] = lambda bad: log.warning("%s", bad)
) -> dict[str, list[str]]:
    """Return the captions of each image, as they are written, by the image's file name.

    Args:
        file: captions in one of the formats of models/training/formats.py.
        report: is called with each row that is skipped.

    Raises:
        DatasetError: there is no such file, it is in none of the formats, or no row of it can be used.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    if not data.strip():
        raise DatasetError(f"{file} is empty")
    captions: dict[str, list[str]] = defaultdict(list)
    for line, name, caption in rows(file, data):
        if name is None:
            report(BadRow(file, line, caption))
        elif not words(caption):
            report(BadRow(file, line, f"{name} has a caption without words"))
        else:
            captions[name].append(caption.strip())
    if not captions:
        raise DatasetError(f"{file} holds no caption that can be used")
    return dict(captions)


def read_split(file: Path, captions: Mapping[str, object]) -> list[str]:
    """Return the names that a split file lists, one a line, in its order, once each.

    Raises:
        DatasetError: the file cannot be read, names an image without captions, or lists nothing.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read: {error}") from error
    names = dict.fromkeys(line.strip() for line in lines if line.strip())
    if not names:
        raise DatasetError(f"{file} lists no image: the split is empty")
    if lacking := [name for name in names if name not in captions]:
        raise DatasetError(f"{file} lists {lacking[0]}, which has no caption{_and_more(lacking)}")
    return list(names)


def split(names: Iterable[str], seed: int = 0, dev: float = 0.125, test: float = 0.0) -> dict[str, list[str]]:
    """Divide names at random into `train`, `dev` and `test`. The same names and seed give the same split.

    Args:
        names: images, in any order.
        seed: of the random division.
        dev: fraction of the names; at least one name where it is not 0.
        test: the same for `test`.

    Raises:
        DatasetError: too few names for every part that is asked for.
    """
    shuffled = sorted(set(names))
    random.Random(seed).shuffle(shuffled)
    held_dev, held_test = (max(1, round(part * len(shuffled))) if part else 0 for part in (dev, test))
    if held_dev + held_test >= len(shuffled):
        raise DatasetError(f"{len(shuffled)} images are too few to split: the train split would be empty")
    return {
        "dev": shuffled[:held_dev],
        "test": shuffled[held_dev : held_dev + held_test],
        "train": shuffled[held_dev + held_test :],
    }


def image_paths(directory: Path, names: Sequence[str]) -> list[Path]:
    """Return the paths of images in a directory.

    Raises:
        DatasetError: the directory, or one of them, is not there.
    """
    check_folder(directory)
    paths = [directory / name for name in names]
    if missing := [path for path in paths if not path.is_file()]:
        raise DatasetError(f"{missing[0]} is not there, but has captions{_and_more(missing)}")
    return paths


def check_folder(folder: Path) -> None:
    """Refuse what is no folder with a DatasetError."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")


def _and_more(found: Sequence[object]) -> str:
    return f" ({len(found) - 1} more like it)" if len(found) > 1 else ""
