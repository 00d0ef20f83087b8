"""tesseract: reads lines of print in the scripts that RapidOCR does not know, where the program is installed.

https://github.com/tesseract-ocr/tesseract. Its program runs once for all lines of a batch, with the languages that are
asked for. Pages are cut into lines by `rapidocr-lines`, which finds text of any script: tesseract's own analysis of
pages loses lines.
"""

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from models import languages
from models.backends import tesseract
from models.base import (
    WHOLE_IMAGE,
    InvalidJob,
    Job,
    Line,
    Loaded,
    Model,
    Part,
    Placement,
    Prediction,
    Source,
    Task,
)

NAME = "tesseract"
_HEIGHT = 64  # pixels of a line: smaller ones are enlarged, since tesseract knows letters of some 30 pixels
_SECONDS_A_LINE = 20.0  # after which the program is ended
_BORDER = 10  # pixels of paper that tesseract wants around a line
_WORD = "5"  # the level of words in tesseract's tables
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # of direction; what remains is in logical order


class Tesseract(Model):
    """tesseract with the files of its languages."""

    task = Task.READ_LINE
    accepts = ("image",)
    options = frozenset({"language"})
    batch_size = 32

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedTesseract(directory)

    @property
    def languages(self) -> tuple[str, ...]:
        directory = self.source.directory
        return tuple(sorted(set(_installed(directory)))) if directory and directory.is_dir() else ()

    def unread(self, tags: Sequence[str]) -> list[str]:
        here = self.languages
        return [tag for tag in tags if tag not in here]


class LoadedTesseract(Loaded):
    device = "cpu"
    precision = "float32"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names = _installed(directory)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        predictions: list[Prediction | None] = [None] * len(jobs)
        for wanted in dict.fromkeys(job.options.language or () for job in jobs):
            numbers = [number for number, job in enumerate(jobs) if (job.options.language or ()) == wanted]
            for number, prediction in zip(numbers, self._read([jobs[n] for n in numbers], wanted), strict=True):
                predictions[number] = prediction
        return [prediction for prediction in predictions if prediction is not None]

    def _read(self, jobs: Sequence[Job], wanted: tuple[str, ...]) -> list[Prediction]:
        """Read lines in some languages."""
        if lacking := [tag for tag in wanted if tag not in self._names]:
            raise InvalidJob(f"tesseract lacks {', '.join(lacking)}: install Debian's {languages.packages(lacking)}")
        names = [self._names[tag] for tag in wanted or self._names]
        with tempfile.TemporaryDirectory(prefix="i2t-") as folder:
            sizes = [_write(job, Path(folder) / f"{number:04}.pgm") for number, job in enumerate(jobs)]
            files = sorted(Path(folder).glob("*.pgm"))
            (Path(folder) / "list").write_text("".join(f"{file}\n" for file in files))
            tesseract.read_lines(Path(folder), self._directory, "+".join(names), _SECONDS_A_LINE * len(jobs))
            texts = (Path(folder) / "out.txt").read_text(encoding="utf-8").split("\f")
            words = _words((Path(folder) / "out.tsv").read_text(encoding="utf-8"))
        return [
            _prediction(text, words.get(number, []), size)
            for number, (text, size) in enumerate(zip(texts, sizes, strict=False), 1)
        ]


def _write(job: Job, file: Path) -> tuple[int, int]:
    """Write the image of a line for tesseract, and return its size without the border."""
    assert job.image is not None
    image = job.image.convert("L")
    if image.height < _HEIGHT:
        image = image.resize((max(1, round(image.width * _HEIGHT / image.height)), _HEIGHT), Image.Resampling.BICUBIC)
    paper = sorted(image.resize((16, 4)).tobytes())[48]
    sheet = Image.new("L", (image.width + 2 * _BORDER, image.height + 2 * _BORDER), paper)
    sheet.paste(image, (_BORDER, _BORDER))
    sheet.save(file)
    return image.size


def _words(table: str) -> dict[int, list[Mapping[str, str]]]:
    """Return the words of each image, counted from 1, in reading order."""
    found: dict[int, list[Mapping[str, str]]] = {}
    for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == _WORD and _MARKS.sub("", row["text"]).strip():
            found.setdefault(int(row["page_num"]), []).append(row)
    return found


def _prediction(text: str, words: Sequence[Mapping[str, str]], size: tuple[int, int]) -> Prediction:
    """Return the text of a line, and its words as parts."""
    line = " ".join(_MARKS.sub("", text).split())
    parts = tuple(_parts(line, words, size))
    letters = sum(len(part.text) for part in parts)
    if not letters:
        return Prediction("", confidence=0.0, lines=())
    confidence = sum(part.confidence * len(part.text) for part in parts) / letters
    return Prediction(line, confidence=confidence, lines=(Line(line, confidence, WHOLE_IMAGE, parts=parts),))


def _parts(line: str, words: Sequence[Mapping[str, str]], size: tuple[int, int]) -> Iterator[Part]:
    """Yield the words of a line. What tesseract's table tells apart and its text does not, as in Thai, is one word."""
    rest = list(words)
    for word in line.split():
        pieces: list[Mapping[str, str]] = []
        while rest and len("".join(_plain(piece) for piece in pieces)) < len(word):
            pieces.append(rest.pop(0))
        if pieces:
            yield _part(word, pieces, size)


def _plain(row: Mapping[str, str]) -> str:
    return "".join(_MARKS.sub("", row["text"]).split())


def _part(word: str, pieces: Sequence[Mapping[str, str]], size: tuple[int, int]) -> Part:
    boxes = [[int(piece[name]) for name in ("left", "top", "width", "height")] for piece in pieces]
    left, top = min(box[0] for box in boxes) - _BORDER, min(box[1] for box in boxes) - _BORDER
    right = max(box[0] + box[2] for box in boxes) - _BORDER
    bottom = max(box[1] + box[3] for box in boxes) - _BORDER
    x0, x1 = (min(max(value / size[0], 0.0), 1.0) for value in (left, right))
    y0, y1 = (min(max(value / size[1], 0.0), 1.0) for value in (top, bottom))
    confidence = min(float(piece["conf"]) for piece in pieces) / 100
    return Part(word, min(max(confidence, 0.0), 1.0), ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def _installed(directory: Path) -> dict[str, str]:
    """Return the languages that a directory has files of: tag -> tesseract's name."""
    tags = {file.stem: languages.tag_of_tesseract(file.stem) for file in sorted(directory.glob("*.traineddata"))}
    return {tag: name for name, tag in tags.items() if tag is not None}


MODELS = (
    Tesseract(
        NAME,
        Source(
            revision=None,
            license="Apache-2.0",
            directory=tesseract.directory(),
            install="it is not on this machine: install Debian's tesseract-ocr and the packages of languages, such as "
            "tesseract-ocr-rus, and start the service again",
        ),
    ),
)
