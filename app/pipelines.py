"""Pipelines: which models answer a request, and in which order they run.

The `run` of a `Pipeline` takes the runner of a request and the pages of its file, and returns an `Answer`. `choose`
returns the pipeline for a request.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from app import alt_text, scripts
from app.decoding.documents import Pages
from app.errors import InvalidOption
from app.jobs import JobRunner
from app.reading import in_its_script, page_of, read_lines, read_pages
from app.tasks import OPTIONS, taken_options, task_of, wanted_of
from app.types import AltTextParts, Answer, Ocr, RequestOptions, Tags, Wanted
from models.base import Job, Options, Prediction, Task
from models.errors import UnknownModel
from models.registry import Entry, Registry
from models.roles import READER, SEGMENTER

ALT_TEXT = "alt-text"
"""The model name that stands for a captioner and a reader together."""
_ALT_TEXT_LENGTH = 250
_BETTER_CAPTIONER = "blip-base"
_LEAST_CONFIDENCE = 0.5  # of a caption in an alt text
_LEAST_TAG_SCORE = 0.6  # of a tag that replaces the caption


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The models that answer a request, and how.

    Attributes:
        name: of the model that is asked for, or `alt-text`.
        entries: the models that the answer requires.
        run: runs the models' jobs, and returns the answer.
        key: all that the answer depends on, besides the image.
        reads_documents: whether it reads all pages of a document. If not, it uses the first page of images only.
        side: the side in pixels of the square that the models scale an image to; None if they need all its pixels.
        warnings: for the client, such as options that are ignored.
    """

    name: str
    entries: tuple[Entry, ...]
    run: Callable[[JobRunner, Pages], Answer]
    key: Hashable
    reads_documents: bool = False
    side: int | None = None
    warnings: tuple[str, ...] = ()


def choose(registry: Registry, options: RequestOptions, default: Callable[[], Entry]) -> Pipeline:
    """Return the pipeline that a request asks for. A request that names no model gets that of `default()`.

    Raises:
        UnknownModel: there is no model of that name.
        InvalidOption: the model takes no image.
        InvalidJob: the model can never do what is asked.
    """
    if options.model == ALT_TEXT:
        return _choose_alt_text(registry, options)
    if options.model in (None, "auto"):
        return _choose_by_task(registry, options, default())
    try:
        entry = registry.entry(str(options.model))
    except UnknownModel as error:
        raise UnknownModel(f"{error}; and {ALT_TEXT}, which is two of them together") from None
    return of_model(registry, entry, options)


def _choose_by_task(registry: Registry, options: RequestOptions, default: Entry) -> Pipeline:
    """Return the pipeline of the default model if it does what is wanted, else of one on this machine that does it.

    Raises:
        InvalidOption: none on this machine does.
    """
    wanted = options.task
    # A model that also reads does so worse than the reader.
    if _does(default, wanted) and (wanted != "read" or default.model.task in (Task.READ_LINE, Task.READ_PAGE)):
        return of_model(registry, default, options)
    able = [entry.model.name for entry in registry if _does(entry, wanted)]
    found = registry.first_on_machine(sorted(able, key=lambda name: name != READER))
    if found is not None:
        return of_model(registry, found, options)
    if wanted == ALT_TEXT:
        return _choose_alt_text(registry, options)
    instead = "; tags=true asks for tags beside a caption" if wanted == "tag" else ""
    raise InvalidOption(
        f"no model on this machine does {wanted}: POST /models/NAME/load fetches one of {', '.join(able)}{instead}"
    )


def _does(entry: Entry, wanted: Wanted | None) -> bool:
    return task_of(entry.model, wanted) is not None and entry.model.turns_image_into_text


def of_model(registry: Registry, entry: Entry, options: RequestOptions) -> Pipeline:
    """Return the pipeline of one model, by its task.

    Raises:
        InvalidOption: the model takes no image.
        InvalidJob: the model can never do what is asked.
    """
    model = entry.model
    if "image" not in model.accepts:
        raise InvalidOption(f"{model.name} takes a text, not an image: use POST /generate-tags")
    if model.task is Task.SEGMENT:
        raise InvalidOption(f"{model.name} only cuts pages into lines, for trocr-* with segment=lines")
    task = task_of(model, options.task)
    if task is None:
        raise InvalidOption(f"{model.name} does not do {options.task}, but {', '.join(wanted_of(model))}")
    reads = task in (Task.READ_LINE, Task.READ_PAGE)
    if reads:
        entry = scripts.reader_of(registry, entry, options.language)
        model = entry.model
        task = task_of(model, options.task) or task
    taken, warnings = taken_options(model, task, options)
    ocr: Ocr = options.ocr or "auto"
    model.check(taken)
    entries: tuple[Entry, ...] = (entry,)
    run: Callable[[JobRunner, Pages], Answer]
    if task is Task.READ_LINE and options.segment != "none":
        entries, run = (entry, registry.entry(SEGMENTER)), partial(read_lines, registry, entry, taken, ocr)
    elif reads:
        run = partial(read_pages, registry, entry, taken, ocr)
    elif task is Task.GROUNDED_CAPTION and Task.CAPTION in model.tasks and not taken.prompt:
        run = partial(caption_and_ground, entry, taken)
    else:
        run = partial(caption, entry, taken)
    key = (*(each.identity for each in entries), taken, ocr, scripts.languages_here(registry) if reads else ())
    return Pipeline(model.name, entries, run, key, reads, model.input_side, tuple(warnings))


def caption(entry: Entry, options: Options, runner: JobRunner, pages: Pages) -> Answer:
    """Describe the first page, or find the objects on it."""
    return _of_first_page(entry, runner.run(entry, Job(pages.image(0), options=options)), pages)


def caption_and_ground(entry: Entry, options: Options, runner: JobRunner, pages: Pages) -> Answer:
    """Describe the first page, then look for the phrases of the description, with a model that does one at a time."""
    image = pages.image(0)
    described = runner.run(entry, Job(image, options=replace(options, task=Task.CAPTION)))
    if not described.text:
        return _of_first_page(entry, replace(described, entities=()), pages)
    # The limits of the length are those of the description.
    looking = Options(Task.GROUNDED_CAPTION, described.text, num_beams=options.num_beams)
    found = runner.run(entry, Job(image, options=looking))
    return _of_first_page(entry, replace(found, warnings=(*described.warnings, *found.warnings)), pages)


def _of_first_page(entry: Entry, prediction: Prediction, pages: Pages) -> Answer:
    name = entry.model.name
    return Answer(
        prediction.text,
        name,
        (page_of(pages, 0, prediction),),
        tags=None if prediction.tags is None else Tags(prediction.tags, prediction.tag_scores, name),
        warnings=(*prediction.warnings, *_first_page_only(name, pages)),
    )


def describe_for_alt(
    registry: Registry, captioner: Entry, reader: Entry, max_length: int, runner: JobRunner, pages: Pages
) -> Answer:
    """Say one sentence fit for an `alt` attribute: what a captioner sees and what a reader reads, asked together.

    A captioner that fails leaves the words, with a warning. One that is not sure of its sentence leaves the things that
    it is sure of, and the words.
    """
    image = pages.image(0)
    words, described = runner.run_together([(reader, Job(image)), (captioner, Job(image))])
    if isinstance(words, Exception):
        raise words
    words = in_its_script(registry, words, Options(), runner, image)
    seen = _sure_of(captioner, described)
    text = (
        alt_text.compose(seen.caption, words.text, max_length)
        if seen.things is None
        else alt_text.list_sure(seen.things, words.text, max_length)
    )
    return Answer(
        text,
        ALT_TEXT,
        (page_of(pages, 0, Prediction(text)),),
        parts=AltTextParts(
            seen.caption or None, captioner.model.name if seen.caption else None, words.text, reader.model.name
        ),
        warnings=(*seen.warnings, *words.warnings, *_first_page_only(ALT_TEXT, pages)),
        complete=not isinstance(described, Exception),
    )


@dataclass(frozen=True)
class _Seen:
    """What an alt text says of a picture: a caption, or where it is too doubtful the things that are sure; or neither,
    where the captioner failed."""

    caption: str = ""
    things: Sequence[str] | None = None
    warnings: tuple[str, ...] = ()


def _sure_of(captioner: Entry, described: Prediction | Exception) -> _Seen:
    if isinstance(described, Exception):
        return _Seen(warnings=(f"no caption: {described}",))
    confidence = described.confidence
    if confidence is None or confidence >= _LEAST_CONFIDENCE:
        return _Seen(described.text)
    things = zip(described.tags or (), described.tag_scores or (), strict=True)
    warning = (
        f"the caption of {captioner.model.name} was left out, because it is probably wrong (confidence "
        f"{confidence:.2f}); {_BETTER_CAPTIONER} knows more, and comes with i2t models download {_BETTER_CAPTIONER} or "
        f"POST /models/{_BETTER_CAPTIONER}/load"
    )
    sure = [name for name, score in things if score >= _LEAST_TAG_SCORE]
    return _Seen(things=sure, warnings=(warning,))


def _choose_alt_text(registry: Registry, options: RequestOptions) -> Pipeline:
    captioner, reader = registry.default_captioner(), registry.entry(READER)
    length = options.max_length or _ALT_TEXT_LENGTH
    asked = [name for name in OPTIONS if getattr(options, name) and (name, options.task) != ("task", ALT_TEXT)]
    ignored = tuple(f"{ALT_TEXT} does not take {name}: ignored" for name in asked)
    return Pipeline(
        ALT_TEXT,
        (reader,),
        partial(describe_for_alt, registry, captioner, reader, length),
        (ALT_TEXT, reader.identity, captioner.identity, length, scripts.languages_here(registry)),
        warnings=ignored,
    )


def _first_page_only(name: str, pages: Pages) -> Iterator[str]:
    if pages.count > 1:
        # The warning gives no number of pages, because counting those of a TIFF stops at MAX_PAGES.
        yield f"{name} describes one image: only the first page was used; model={READER} reads them all"
