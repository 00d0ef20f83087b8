"""The types that the model families and the service share. This module imports no network library.

Boxes are `(x0, y0, x1, y1)`, polygons four `(x, y)` points clockwise from the top left: fractions of the upright image.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from PIL import Image

from models import languages
from models.errors import BudgetExhausted as BudgetExhausted
from models.errors import InvalidJob as InvalidJob
from models.errors import ModelError as ModelError
from models.errors import ModelUnavailable as ModelUnavailable
from models.errors import UnknownModel as UnknownModel
from models.errors import is_out_of_memory as is_out_of_memory

Needs = tuple[tuple[str, ...], ...]
"""The files that a checkpoint needs: at least one of each tuple."""
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Polygon = tuple[Point, Point, Point, Point]
Detail = Literal["detailed", "full"]
"""How much longer than briefly a model describes."""

WHOLE_IMAGE: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
LINE_MARGIN = 0.15
"""The margin around a line that a segmenter cuts out, in heights of the line, for readers that want no other."""


class Task(StrEnum):
    """What a model does."""

    CAPTION = "caption"
    GROUNDED_CAPTION = "grounded-caption"
    DETECT = "detect"
    READ_LINE = "read-line"
    READ_PAGE = "read-page"
    SEGMENT = "segment"
    TAG = "tag"
    ALT_TEXT = "alt-text"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a job; None stands for the model's default, and for the first of its tasks."""

    task: Task | None = None
    prompt: str | None = None
    detail: Detail | None = None
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    num_beams: int | None = None
    segment: str | None = None
    layout: str | None = None
    schema: str | None = None
    """The JSON schema of the answer, as a text."""
    output_language: str | None = None
    language: tuple[str, ...] | None = None
    """The languages of the text, as tags of BCP 47; None where they are not known."""
    line_margin: float = LINE_MARGIN
    """Of a segmenter: the margin around each line."""


@dataclass(frozen=True, slots=True)
class Job:
    """One input of a model, an upright RGB image (for a tagger, a text), and its options."""

    image: Image.Image | None = None
    text: str | None = None
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Entity:
    """A phrase of the text, `text[span[0]:span[1]]`, and the boxes of the objects that it names."""

    phrase: str
    span: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a line's text that stands apart on the image, or a cell of a table, whose `column` counts from 0."""

    text: str
    confidence: float
    polygon: Polygon
    column: int = 0


@dataclass(frozen=True, slots=True)
class Checkbox:
    """A check box on the image: ☐ or ☑ in the text."""

    state: Literal["selected", "unselected"]
    polygon: Polygon


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text on the image. `confidence` is between 0 and 1; paragraphs count from 0 in reading order.

    `parts` are the runs of text that the line is made of, from its start to its end, where there are several or the
    line is the row of a table. All lines of a paragraph are rows of one table, or none is.
    """

    text: str
    confidence: float
    polygon: Polygon
    paragraph: int = 0
    parts: tuple[Part, ...] = ()
    is_row: bool = False
    checkboxes: tuple[Checkbox, ...] = ()


class CutWarning(str):
    """The warning that a text reached its limit of tokens before its end, which some protocols have a word for."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The output of a model for a job. None means that the model has no such output; an empty tuple, that it found
    nothing."""

    text: str
    confidence: float | None = None
    tags: tuple[str, ...] | None = None
    tag_scores: tuple[float, ...] | None = None
    entities: tuple[Entity, ...] | None = None
    lines: tuple[Line, ...] | None = None
    crops: tuple[Image.Image, ...] | None = None
    """Only from a segmenter: an upright image of each line."""
    warnings: tuple[str, ...] = ()
    tokens: int = 0
    """How many tokens were generated; 0 from a model that generates none."""
    script: str | None = None
    """The script of the page (ISO 15924), where it is one that the reader does not know."""

    @classmethod
    def of_lines(cls, lines: Sequence[Line], warnings: Sequence[str] = ()) -> "Prediction":
        """Make the prediction of a reader. The text has a line for each line, with a blank line between paragraphs. The
        confidence is the mean of the lines', weighted by their numbers of characters."""
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
    """The device, number format and backend that a user asks for; `auto` leaves the choice to `models.backends`.

    `cache` is the directory of converted networks; without one, they are converted at each load.
    """

    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    cache: Path | None = None


class Loaded(Protocol):
    """A model in memory. One worker thread calls `predict`."""

    device: str
    precision: str

    def prepare(self, job: Job) -> Job:
        """Do the part of `predict` that concerns this job alone, such as scaling its image, and return the job with the
        result. Several threads may call this at once. `predict` takes jobs prepared or not.

        Raises:
            InvalidJob: the model cannot do this job.
        """
        return job

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Return a prediction for each job, in the same order.

        Raises:
            InvalidJob: the model cannot do one of the jobs.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """Where weights come from: a repository on the hub, or a directory on this machine, which takes precedence.

    `revision` is a branch, a tag or a commit hash; `fallback` is the revision to take if the hub does not have it.
    `size_bytes` is the size of the download, if known.
    """

    hub_id: str | None = None
    revision: str | None = "main"
    license: str | None = None
    size_bytes: int | None = None
    directory: Path | None = None
    fallback: str | None = None
    install: str | None = None
    """What to do where the directory is missing, as a sentence."""


@dataclass(frozen=True)
class Model(ABC):
    """A model that can be loaded: its name and where its weights come from. Cheap to make.

    A subclass is a family. Its class attributes say what its models do and accept; `load` loads one.
    """

    name: str
    source: Source
    aliases: tuple[str, ...] = ()
    """Former names, which requests and settings may still use. The engine knows only `name`."""

    files: ClassVar[Needs] = ()
    """The files that a checkpoint needs besides `config.json` and weights."""
    task: ClassVar[Task]
    other_tasks: ClassVar[tuple[Task, ...]] = ()
    """What its models do besides, for jobs that ask for it."""
    accepts: ClassVar[tuple[str, ...]]
    """Which of `image`, `text`, `prompt` and `instruction` a job for this family may have. A prompt is the beginning of
    the text, or an instruction or a question that the text answers."""
    options: ClassVar[frozenset[str]] = frozenset()
    """The fields of `Options` besides `prompt` and `task` that this family uses."""
    only_for: ClassVar[Mapping[str, frozenset[Task]]] = {}
    """The tasks that an option is for, where that is not all."""
    model_type: ClassVar[str | None] = None
    """The family's `model_type` in `config.json`, to recognise checkpoints that users name."""
    input_side: ClassVar[int | None] = None
    """The side in pixels of the square that images are scaled to, so that larger ones need not be decoded in full size.
    None for families that need all pixels."""
    max_new_tokens: ClassVar[int | None] = None
    """The most tokens of a text for callers that give no limit."""
    special_tokens: ClassVar[re.Pattern[str] | None] = None
    """Matches the special tokens that a prompt may not contain."""
    tags_images: ClassVar[bool] = False
    """True if predictions for images have tags, so that the model can replace a tagger of texts."""
    batch_size: ClassVar[int] = 8
    """The most jobs in a call of `predict`."""
    line_margin: ClassVar[float] = LINE_MARGIN
    """The margin with which a reader of lines reads best, in heights of the line."""
    scripts: ClassVar[frozenset[str]] = frozenset()
    """The scripts that a reader knows (ISO 15924)."""

    @property
    def turns_image_into_text(self) -> bool:
        return "image" in self.accepts and self.task is not Task.SEGMENT

    @property
    def follows_instructions(self) -> bool:
        """Whether a prompt is an instruction or a question, instead of the beginning of the text."""
        return "instruction" in self.accepts

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What its models do; the first is what they do unless a job asks for another."""
        return (self.task, *self.other_tasks)

    def takes(self, option: str, task: Task | None = None) -> bool:
        """Return whether an option has an effect, for a task; None for any of them."""
        if option == "task":
            return bool(self.other_tasks)
        if option == "prompt" and self.follows_instructions:
            option = "instruction"
        fits = task is None or task in self.only_for.get(option, self.tasks)
        return fits and (option in self.options or option in self.accepts)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that a reader reads, as tags of BCP 47; of one that goes by scripts, the most used."""
        return tuple(tag for tag in languages.USUAL if languages.script_of(tag) in self.scripts)

    def unread(self, tags: Sequence[str]) -> list[str]:
        """Return which of some languages a reader does not read."""
        return [tag for tag in tags if languages.script_of(tag) not in self.scripts]

    def check(self, options: Options) -> None:
        """Check options before a job is queued.

        Raises:
            InvalidJob: the family can never do what they ask for.
        """
        # Tokenizers normalise: a special token in full-width characters is a special token.
        prompt = unicodedata.normalize("NFKC", options.prompt or "")
        if self.special_tokens and (found := self.special_tokens.search(prompt)):
            raise InvalidJob(f"a prompt may not contain the special token {found[0]}")
        most, least = options.max_new_tokens or self.max_new_tokens, options.min_new_tokens
        if most is not None and least is not None and least > most:
            raise InvalidJob(f"min_new_tokens ({least}) exceeds max_new_tokens ({most}): raise max_new_tokens too")

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """Return True for the `config.json` of a checkpoint of this family."""
        return cls.model_type is not None and config.get("model_type") == cls.model_type

    @classmethod
    def of_checkpoint(cls, name: str, source: Source, config: Mapping[str, Any]) -> "Model":
        """Return a model of this family for the checkpoint that has this `config.json`."""
        return cls(name, source)

    @abstractmethod
    def load(self, directory: Path, placement: Placement) -> Loaded:
        """Load the weights in `directory`."""
