"""How models are put together: a page is cut into lines by one and read by another; alt text asks two at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from app import alt_text
from app.decoding.documents import Pages
from app.errors import InvalidOption
from app.jobs import Jobs, Steps
from app.schemas import AltTextParts, GenerateOptions, Progress
from models.base import Job, Model, Options, Prediction, Task
from models.registry import Entry, Registry

ALT_TEXT = "alt-text"
"""The name under which a captioner and a reader are asked together."""
_READER = "rapidocr"
_SEGMENTER = "rapidocr-lines"
_ALT_TEXT_LENGTH = 250
_LINE_TOKENS = 64
"""Tokens of a line that was cut out of a page. TrOCR's own 20 are too few for many a line."""


@dataclass(frozen=True, slots=True)
class SaidOfPage:
    """What was said of one page, and its size in pixels."""

    size: tuple[int, int]
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of an image or a document, and by which model."""

    text: str
    model: str
    pages: Sequence[SaidOfPage]
    parts: AltTextParts | None = None
    warnings: Sequence[str] = ()
    complete: bool = True
    """False when a model failed that may say more the next time."""


class OneModel:
    """One model says it; a reader says it of every page.

    As every composition, it has the `entries` it needs at least; a `question`: all that what it says of an image
    depends on, besides the image; and where an image is only looked at as a small square, the `side` of that.
    """

    def __init__(self, registry: Registry, entry: Entry, asked: GenerateOptions) -> None:
        if "image" not in entry.model.accepts:
            raise InvalidOption(f"{entry.model.name} takes a text, not an image: use POST /generate-tags")
        if entry.model.task is Task.SEGMENT:
            raise InvalidOption(f"{entry.model.name} only cuts pages into lines, for trocr-* with segment=lines")
        cuts_lines = entry.model.task is Task.READ_LINE
        self._entry = entry
        self._options, self.warnings = _options_for(entry.model, asked)
        self._segmenter = registry.entry(_SEGMENTER) if cuts_lines and asked.segment != "none" else None
        entry.model.check(self._options)
        self.entries = [entry, *([self._segmenter] if self._segmenter else [])]
        self.reads_documents = entry.model.task in (Task.READ_LINE, Task.READ_PAGE)
        self.side = entry.model.input_side
        self.question = (*(entry.identity for entry in self.entries), self._options)

    def run(self, jobs: Jobs, pages: Pages) -> Steps[Said]:
        """Say it of the first page, or of all."""
        said: list[SaidOfPage] = []
        count = pages.count if self.reads_documents else 1
        for number in range(count):
            # In no variable, where it would stay while the next is decoded.
            prediction = yield from self._page(jobs, pages.image(number))
            said.append(SaidOfPage(pages.size(number), prediction))
            if count > 1:
                yield Progress(stage="pages", done=len(said), found=count)
        return Said(
            "\n\n".join(page.prediction.text for page in said if page.prediction.text),
            self._entry.model.name,
            said,
            warnings=[warning for page in said for warning in page.prediction.warnings],
        )

    def _page(self, jobs: Jobs, image: Image.Image) -> Steps[Prediction]:
        if self._segmenter is None:
            return (yield from jobs.run(self._entry, Job(image, options=self._options)))
        layout = yield from jobs.run(self._segmenter, Job(image, options=Options(segment=self._options.segment)))
        options = replace(self._options, segment=None)
        crops = layout.crops or ()
        if len(crops) > 1 and options.max_new_tokens is None:
            options = replace(options, max_new_tokens=_LINE_TOKENS)
        read = yield from jobs.in_turn(self._entry, [Job(crop, options=options) for crop in crops])
        lines = [
            replace(line, text=prediction.text, confidence=prediction.confidence or 0.0)
            for line, prediction in zip(layout.lines or (), read, strict=True)
            if prediction.text
        ]
        return Prediction.of_lines(lines, [warning for prediction in read for warning in prediction.warnings])


class AltText:
    """A captioner and a reader, side by side, say one sentence fit for an `alt` attribute."""

    reads_documents = False
    side = None

    def __init__(self, registry: Registry, asked: GenerateOptions) -> None:
        self._captioner = registry.default_captioner()
        self._reader = registry.entry(_READER)
        self._max_length = asked.max_length or _ALT_TEXT_LENGTH
        self.entries = [self._reader]
        self.question = (ALT_TEXT, self._reader.identity, self._captioner.identity, self._max_length)
        self.warnings = [f"{ALT_TEXT} does not take {name}: ignored" for name in _MODEL_OPTIONS if getattr(asked, name)]

    def run(self, jobs: Jobs, pages: Pages) -> Steps[Said]:
        """Describe the first page."""
        image = pages.image(0)
        read, described = yield from jobs.side_by_side([(self._reader, Job(image)), (self._captioner, Job(image))])
        if isinstance(read, Exception):
            raise read
        caption, warnings = "", []
        if isinstance(described, Exception):
            warnings.append(f"no caption: {described}")
        else:
            caption = described.text
        text = alt_text.compose(caption, read.text, self._max_length)
        parts = AltTextParts(
            caption=caption or None,
            captioner=self._captioner.model.name if caption else None,
            words=read.text,
            reader=self._reader.model.name,
        )
        complete = not isinstance(described, Exception)
        return Said(text, ALT_TEXT, [SaidOfPage(image.size, Prediction(text))], parts, warnings, complete)


_MODEL_OPTIONS = ("prompt", "detail", "min_new_tokens", "max_new_tokens", "num_beams", "segment")


def options_of(model: Model) -> frozenset[str]:
    """Return the names of the options that a model takes, alone or in its composition."""
    also = {"segment"} if model.task is Task.READ_LINE else set()
    return frozenset(also | {name for name in _MODEL_OPTIONS if model.takes(name)})


def _options_for(model: Model, asked: GenerateOptions) -> tuple[Options, list[str]]:
    """Return what a model takes of the options asked for; warn of the others."""
    taken: dict[str, object] = {}
    warnings = []
    known = options_of(model)
    for name in (*_MODEL_OPTIONS, "max_length"):
        value = getattr(asked, name)
        if value is None or value is False:
            continue
        if name in known:
            taken[name] = value
        else:
            warnings.append(f"{model.name} does not take {name}: ignored")
    return Options(**taken), warnings  # type: ignore[arg-type]
