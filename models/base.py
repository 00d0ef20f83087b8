"""The words that every model family and the service share. Imports no network library.

Boxes are `(x0, y0, x1, y1)` and polygons four `(x, y)` points, clockwise from the top left, both in fractions of the
width and height of the upright image that the job carries.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Protocol

from PIL import Image

Needs = tuple[tuple[str, ...], ...]
"""Files of a checkpoint: one of each tuple must be there."""
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Polygon = tuple[Point, Point, Point, Point]

WHOLE_IMAGE: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Task(StrEnum):
    """What a model is for."""

    CAPTION = "caption"
    GROUNDED_CAPTION = "grounded-caption"
    READ_LINE = "read-line"
    READ_PAGE = "read-page"
    SEGMENT = "segment"
    TAG = "tag"


class ModelError(Exception):
    """A job or a model that cannot be served; the message is fit for a client."""


class UnknownModel(ModelError):
    """No model of that name is in the registry."""


class InvalidJob(ModelError):
    """The job asks for what this model cannot do: a special token in a prompt, more tokens than it has positions."""


class ModelUnavailable(ModelError):
    """The model cannot answer now; it may after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 30.0) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class NoRoom(ModelUnavailable):
    """The memory that models may take is taken by others at work: no failure of this one, which may be tried again."""


_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't alloc",
    "cannot allocate",
    "could not allocate",
    "failed to alloc",
    "bad_alloc",
)
"""What torch and OpenVINO say where memory does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for what Python, torch on a GPU and on the CPU, and OpenVINO raise where memory does not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    return any(words in message for words in _NO_MEMORY)


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may ask of a model; None means the model's own default."""

    prompt: str | None = None
    detail: bool = False
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    num_beams: int | None = None
    segment: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to predict: an upright RGB image (for a tagger, a text) and its options."""

    image: Image.Image | None = None
    text: str | None = None
    options: Options = Options()
    prepared: Any = None
    """What the model's `prepare` made of it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A phrase of the text, `text[span[0]:span[1]]`, and the boxes of what it names."""

    phrase: str
    span: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A run of text on the image; `confidence` is between 0 and 1, paragraphs are counted from 0 in reading order."""

    text: str
    confidence: float
    polygon: Polygon
    paragraph: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of a job. None means that this model does not tell, which an empty tuple does not."""

    text: str
    confidence: float | None = None
    tags: tuple[str, ...] | None = None
    tag_scores: tuple[float, ...] | None = None
    entities: tuple[Entity, ...] | None = None
    lines: tuple[Line, ...] | None = None
    crops: tuple[Image.Image, ...] | None = None
    """From a segmenter: an upright image of each line."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_lines(cls, lines: Sequence[Line], warnings: Sequence[str] = ()) -> "Prediction":
        """Make the prediction of a reader: the lines' text, one below the other, with a blank line between paragraphs;
        and as its confidence the mean over all characters of that of their line."""
        characters = sum(len(line.text) for line in lines)
        paragraphs = (
            "\n".join(line.text for line in group) for _, group in groupby(lines, lambda line: line.paragraph)
        )
        return cls(
            "\n\n".join(paragraphs),
            confidence=sum(line.confidence * len(line.text) for line in lines) / characters if characters else None,
            lines=tuple(lines),
            warnings=tuple(warnings),
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where to run, on what and in what number format, as asked for: `auto` leaves it to the runtime.

    `cache` is the directory where converted networks are kept; without one they are converted at each load. `graphs`
    asks for CUDA graphs, which only CUDA has.
    """

    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    cache: Path | None = None
    graphs: bool = False


class Loaded(Protocol):
    """A model in memory. One worker thread calls `predict`."""

    device: str
    precision: str

    def prepare(self, job: Job) -> Job:
        """Do beforehand what `predict` would do for this job alone, such as scaling its image; any thread may, and
        several at once. `predict` takes jobs prepared or not.

        Raises:
            InvalidJob: a job that this model cannot take.
        """
        return job

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Predict all jobs: as many predictions, in the same order.

        Raises:
            InvalidJob: a job that this model cannot take.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """Where weights come from: a repository on the hub, or a directory on this machine (`directory` wins).

    `revision` is a branch, a tag or a commit hash; `fallback` is the one that is taken where the hub has no such
    revision. `size_bytes` is what has to be downloaded, where that is known.
    """

    hub_id: str | None = None
    revision: str | None = "main"
    license: str | None = None
    size_bytes: int | None = None
    directory: Path | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class Model(ABC):
    """An entry of the registry: a name, and where its weights come from. Cheap to make.

    A subclass is a family. It says what its models do and take, in class attributes, and how one is loaded.
    """

    name: str
    source: Source

    files: ClassVar[Needs] = ()
    """What a checkpoint has to hold besides `config.json` and weights."""
    task: ClassVar[Task]
    accepts: ClassVar[tuple[str, ...]]
    """Of `image`, `text` and `prompt`, what a job for this family may carry."""
    options: ClassVar[frozenset[str]] = frozenset()
    """The fields of `Options`, besides `prompt`, that this family takes."""
    model_type: ClassVar[str | None] = None
    """What `config.json` calls this family, for checkpoints that the user names."""
    input_side: ClassVar[int | None] = None
    """The side in pixels of the square that is all the network sees of an image; a much larger one need not be decoded
    in full. None where it sees more."""
    max_new_tokens: ClassVar[int | None] = None
    """How many tokens a text has at most where the caller does not say."""
    special_tokens: ClassVar[re.Pattern[str] | None] = None
    """What a prompt may not contain, because the tokenizer would take it for more than text."""
    tags_images: ClassVar[bool] = False
    """True for a model whose predictions for an image have tags: it can stand in for a tagger of texts."""
    batch_size: ClassVar[int] = 8
    """How many jobs the worker hands over at once, at most."""

    @property
    def turns_image_into_text(self) -> bool:
        return "image" in self.accepts and self.task is not Task.SEGMENT

    def takes(self, option: str) -> bool:
        return option in self.options or option in self.accepts

    def check(self, options: Options) -> None:
        """Refuse before queueing what the family could never do.

        Raises:
            InvalidJob: with what is wrong.
        """
        # As tokenizers do: the full-width spelling of a token is the token.
        prompt = unicodedata.normalize("NFKC", options.prompt or "")
        if self.special_tokens and (found := self.special_tokens.search(prompt)):
            raise InvalidJob(f"a prompt may not contain the special token {found[0]}")
        most, least = options.max_new_tokens or self.max_new_tokens, options.min_new_tokens
        if most is not None and least is not None and least > most:
            raise InvalidJob(f"min_new_tokens is {least}, more than the {most} that max_new_tokens is: raise that too")

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """True for the `config.json` of a checkpoint of this family."""
        return cls.model_type is not None and config.get("model_type") == cls.model_type

    @abstractmethod
    def load(self, directory: Path, placement: Placement) -> Loaded:
        """Read the weights in `directory` into memory."""
