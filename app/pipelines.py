"""Pipelines: which models answer a request, and in which order they run.

The `run` of a `Pipeline` takes the jobs of a request and the pages of its file, and returns an `Answer`. `choose`
returns the pipeline for a request.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from app import alt_text, scripts
from app.decoding.documents import Pages
from app.errors import InvalidOption
from app.jobs import Jobs
from app.placing import with_words
from app.types import AltTextParts, Answer, Page, Progress, RequestOptions, Tags
from models.base import Job, Model, Options, Prediction, Task, UnknownModel
from models.registry import Entry, Registry

ALT_TEXT = "alt-text"
"""The model name that stands for a captioner and a reader together."""
_READER = scripts.READER
_SEGMENTER = "rapidocr-lines"
_ALT_TEXT_LENGTH = 250
_BETTER_CAPTIONER = "blip-base"
_LEAST_CONFIDENCE = 0.5
"""An alt text leaves a caption out that is more likely wrong than right."""
_LEAST_TAG_SCORE = 0.6
"""It then names the tags that are more likely right than this."""
_MODEL_OPTIONS = (
    "prompt",
    "detail",
    "min_new_tokens",
    "max_new_tokens",
    "num_beams",
    "segment",
    "layout",
    "language",
)


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
    run: Callable[[Jobs, Pages], Answer]
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
    try:
        entry = default() if options.model in (None, "auto") else registry.entry(str(options.model))
    except UnknownModel as error:
        raise UnknownModel(f"{error}; and {ALT_TEXT}, which is two of them together") from None
    return of_model(registry, entry, options)


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
    reads = model.task in (Task.READ_LINE, Task.READ_PAGE)
    if reads:
        entry = scripts.reader_of(registry, entry, options.language)
        model = entry.model
    taken, warnings = _options_of(model, options)
    model.check(taken)
    entries: tuple[Entry, ...] = (entry,)
    run: Callable[[Jobs, Pages], Answer]
    if model.task is Task.READ_LINE and options.segment != "none":
        segmenter = registry.entry(_SEGMENTER)
        entries, run = (entry, segmenter), partial(read_lines, registry, entry, taken)
    elif reads:
        run = partial(read_pages, registry, entry, taken)
    else:
        run = partial(caption, entry, taken)
    key = (*(each.identity for each in entries), taken, scripts.languages_here(registry) if reads else ())
    return Pipeline(model.name, entries, run, key, reads, model.input_side, tuple(warnings))


def caption(entry: Entry, options: Options, jobs: Jobs, pages: Pages) -> Answer:
    """Describe the first page."""
    prediction = jobs.run(entry, Job(pages.image(0), options=options))
    name = entry.model.name
    return Answer(
        prediction.text,
        name,
        (_page(pages, 0, prediction),),
        tags=None if prediction.tags is None else Tags(prediction.tags, prediction.tag_scores, name),
        warnings=(*prediction.warnings, *_first_page_only(name, pages)),
    )


def read_pages(registry: Registry, entry: Entry, options: Options, jobs: Jobs, pages: Pages) -> Answer:
    """Read every page with a model that takes whole pages, or one in a script that it does not know with another."""

    def read(image: Image.Image) -> Prediction:
        prediction = jobs.run(entry, Job(image, options=options))
        if prediction.script is None:
            return prediction
        language = scripts.language_of(registry, prediction.script)
        if language is None:
            return scripts.not_read(prediction.script)
        other = registry.entry(scripts.SCRIPT_READER)
        found = _lines_of(registry, other, Options(layout=options.layout, language=(language,)), jobs, image)
        return replace(found, warnings=(*found.warnings, scripts.guessed(prediction.script, language)))

    return _read(entry, jobs, pages, read)


def read_lines(registry: Registry, entry: Entry, options: Options, jobs: Jobs, pages: Pages) -> Answer:
    """Cut every page into lines with one model, and read the lines with another."""
    return _read(entry, jobs, pages, partial(_lines_of, registry, entry, options, jobs))


def _lines_of(registry: Registry, entry: Entry, options: Options, jobs: Jobs, image: Image.Image) -> Prediction:
    """Cut a page into lines, and read them. The language of a script that the reader does not know is guessed."""
    margin = entry.model.line_margin
    segmenting = Options(segment=options.segment, layout=options.layout, line_margin=margin)
    layout = jobs.run(registry.entry(_SEGMENTER), Job(image, options=segmenting))
    notes: tuple[str, ...] = ()
    options = replace(options, segment=None, layout=None)
    if options.language is None and (script := layout.script) is not None:
        language = scripts.language_of(registry, script)
        if entry.model.name != scripts.SCRIPT_READER or language is None:
            return scripts.not_read(script)
        options, notes = replace(options, language=(language,)), (scripts.guessed(script, language),)
    crops = layout.crops or ()
    texts = jobs.run_lines(entry, [Job(crop, options=options) for crop in crops])
    lines = [
        with_words(
            replace(line, text=prediction.text, confidence=prediction.confidence or 0.0),
            prediction.lines or (),
            crop.size,
            margin,
        )
        for line, crop, prediction in zip(layout.lines or (), crops, texts, strict=True)
        if prediction.text
    ]
    return Prediction.of_lines(lines, [*notes, *(warning for prediction in texts for warning in prediction.warnings)])


def describe_for_alt(captioner: Entry, reader: Entry, max_length: int, jobs: Jobs, pages: Pages) -> Answer:
    """Say one sentence fit for an `alt` attribute: what a captioner sees and what a reader reads, asked together.

    A captioner that fails leaves the words, with a warning. One that is not sure of its sentence leaves the things that
    it is sure of, and the words.
    """
    image = pages.image(0)
    words, described = jobs.run_together([(reader, Job(image)), (captioner, Job(image))])
    if isinstance(words, Exception):
        raise words
    says, things, warnings = _sure_of(captioner, described)
    text = (
        alt_text.list_sure(things, words.text, max_length)
        if things is not None
        else alt_text.compose(says, words.text, max_length)
    )
    return Answer(
        text,
        ALT_TEXT,
        (_page(pages, 0, Prediction(text)),),
        parts=AltTextParts(says or None, captioner.model.name if says else None, words.text, reader.model.name),
        warnings=(*warnings, *_first_page_only(ALT_TEXT, pages)),
        complete=not isinstance(described, Exception),
    )


def _sure_of(captioner: Entry, described: Prediction | Exception) -> tuple[str, list[str] | None, tuple[str, ...]]:
    """Return the caption, "" for none; the things to name instead of it, if it is too doubtful; and warnings."""
    if isinstance(described, Exception):
        return "", None, (f"no caption: {described}",)
    confidence = described.confidence
    if confidence is None or confidence >= _LEAST_CONFIDENCE:
        return described.text, None, ()
    things = zip(described.tags or (), described.tag_scores or (), strict=True)
    warning = (
        f"the caption of {captioner.model.name} was left out, because it is probably wrong (confidence "
        f"{confidence:.2f}); {_BETTER_CAPTIONER} knows more, and comes with i2t models download {_BETTER_CAPTIONER} or "
        f"POST /models/{_BETTER_CAPTIONER}/load"
    )
    return "", [name for name, score in things if score >= _LEAST_TAG_SCORE], (warning,)


def tag_text(entry: Entry, text: str, jobs: Jobs) -> Tags:
    """Tag a text."""
    prediction = jobs.run(entry, Job(text=text))
    return Tags(prediction.tags or (), prediction.tag_scores, entry.model.name, prediction.warnings)


def options_of(model: Model) -> frozenset[str]:
    """Return the names of the options that a model takes, alone or in its pipeline."""
    also = {"segment", "layout", "language"} if model.task is Task.READ_LINE else set()
    return frozenset(also | {name for name in _MODEL_OPTIONS if model.takes(name)})


def _choose_alt_text(registry: Registry, options: RequestOptions) -> Pipeline:
    captioner, reader = registry.default_captioner(), registry.entry(_READER)
    length = options.max_length or _ALT_TEXT_LENGTH
    ignored = tuple(f"{ALT_TEXT} does not take {name}: ignored" for name in _MODEL_OPTIONS if getattr(options, name))
    return Pipeline(
        ALT_TEXT,
        (reader,),
        partial(describe_for_alt, captioner, reader, length),
        (ALT_TEXT, reader.identity, captioner.identity, length),
        warnings=ignored,
    )


def _read(entry: Entry, jobs: Jobs, pages: Pages, read: Callable[[Image.Image], Prediction]) -> Answer:
    """Read page by page; one page is in memory at a time."""
    done: list[Page] = []
    warnings: list[str] = []
    for number in range(pages.count):
        jobs.stop_if_cancelled()
        # Do not bind the image to a name: it would stay in memory while the next page is decoded.
        prediction = read(pages.image(number))
        done.append(_page(pages, number, prediction))
        warnings += prediction.warnings
        if pages.count > 1:
            jobs.progress(Progress("pages", len(done), pages.count))
    text = "\n\n".join(page.text for page in done if page.text)
    return Answer(text, entry.model.name, tuple(done), warnings=tuple(warnings))


def _page(pages: Pages, number: int, prediction: Prediction) -> Page:
    width, height = pages.size(number)
    return Page(
        width,
        height,
        prediction.text,
        prediction.confidence,
        prediction.lines,
        prediction.entities,
        pages.points(number),
        number,
    )


def _first_page_only(name: str, pages: Pages) -> Iterator[str]:
    if pages.count > 1:
        # The warning gives no number of pages, because counting those of a TIFF stops at MAX_PAGES.
        yield f"{name} describes one image: only the first page was used; model={_READER} reads them all"


def _options_of(model: Model, options: RequestOptions) -> tuple[Options, list[str]]:
    """Return the options that a model takes, and a warning for each other option that is set."""
    known = options_of(model)
    taken: dict[str, object] = {}
    warnings = []
    for name in (*_MODEL_OPTIONS, "max_length"):
        value = getattr(options, name)
        if value is None or value is False:
            continue
        if name in known:
            taken[name] = value
        else:
            warnings.append(f"{model.name} does not take {name}: ignored")
    return Options(**taken), warnings  # type: ignore[arg-type]
