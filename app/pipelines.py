"""Pipelines: which models answer a request, and in which order they run.

The `run` of a `Pipeline` takes the jobs of a request and the pages of its file, and returns an `Answer`. `choose`
returns the pipeline for a request.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from app import alt_text
from app.decoding.documents import Pages, Text
from app.errors import InvalidOption
from app.jobs import Jobs
from app.tasks import OPTIONS, taken_options, task_of
from app.types import AltTextParts, Answer, Ocr, Page, Progress, RequestOptions, Tags, Wanted
from models.base import Job, Options, Prediction, Task, UnknownModel
from models.reading.known import lines_of
from models.reading.layout import layout_of
from models.registry import READER, SEGMENTER, Entry, Registry

ALT_TEXT = "alt-text"
"""The model name that stands for a captioner and a reader together."""
_ALT_TEXT_LENGTH = 250
_UNSOUND = "the text that it holds does not say all that is on it, or not in letters; ocr=auto reads it"
_BETTER_CAPTIONER = "blip-base"
_LEAST_CONFIDENCE = 0.5
"""An alt text leaves a caption out that is more likely wrong than right."""
_LEAST_TAG_SCORE = 0.6
"""It then names the tags that are more likely right than this."""


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
    if options.model in (None, "auto"):
        return of_model(registry, _able(registry, default(), options.task), options)
    try:
        entry = registry.entry(str(options.model))
    except UnknownModel as error:
        raise UnknownModel(f"{error}; and {ALT_TEXT}, which is two of them together") from None
    return of_model(registry, entry, options)


def _able(registry: Registry, default: Entry, wanted: Wanted | None) -> Entry:
    """Return the default model if it does what is wanted, else one that is on this machine and does it.

    Raises:
        InvalidOption: none on this machine does.
    """
    if _does(default, wanted) and wanted != "read":
        return default
    able = [entry.model.name for entry in registry if _does(entry, wanted)]
    found = registry.first_on_machine(sorted(able, key=lambda name: name != READER))
    if found is None:
        raise InvalidOption(
            f"no model on this machine does {wanted}: POST /models/NAME/load fetches one of {', '.join(able)}"
        )
    return found


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
        raise InvalidOption(f"{model.name} does not do {options.task}, but {', '.join(model.tasks)}")
    taken, warnings = taken_options(model, task, options)
    ocr: Ocr = options.ocr or "auto"
    model.check(taken)
    entries: tuple[Entry, ...] = (entry,)
    run: Callable[[Jobs, Pages], Answer]
    if task is Task.READ_LINE and options.segment != "none":
        segmenter = registry.entry(SEGMENTER)
        entries, run = (entry, segmenter), partial(read_lines, segmenter, entry, taken, ocr)
    elif task in (Task.READ_LINE, Task.READ_PAGE):
        run = partial(read_pages, entry, taken, ocr)
    elif task is Task.GROUNDED_CAPTION and Task.CAPTION in model.tasks and not taken.prompt:
        run = partial(caption_and_ground, entry, taken)
    else:
        run = partial(caption, entry, taken)
    reads = task in (Task.READ_LINE, Task.READ_PAGE)
    key = (*(each.identity for each in entries), taken, ocr)
    return Pipeline(model.name, entries, run, key, reads, model.input_side, tuple(warnings))


def caption(entry: Entry, options: Options, jobs: Jobs, pages: Pages) -> Answer:
    """Describe the first page, or find the objects on it."""
    return _of_first_page(entry, jobs.run(entry, Job(pages.image(0), options=options)), pages)


def caption_and_ground(entry: Entry, options: Options, jobs: Jobs, pages: Pages) -> Answer:
    """Describe the first page, then look for the phrases of the description, with a model that does one at a time."""
    image = pages.image(0)
    described = jobs.run(entry, Job(image, options=replace(options, task=Task.CAPTION)))
    if not described.text:
        return _of_first_page(entry, replace(described, entities=()), pages)
    # The limits of the length are those of the description.
    looking = Options(Task.GROUNDED_CAPTION, described.text, num_beams=options.num_beams)
    found = jobs.run(entry, Job(image, options=looking))
    return _of_first_page(entry, replace(found, warnings=(*described.warnings, *found.warnings)), pages)


def _of_first_page(entry: Entry, prediction: Prediction, pages: Pages) -> Answer:
    name = entry.model.name
    return Answer(
        prediction.text,
        name,
        (_page(pages, 0, prediction),),
        tags=None if prediction.tags is None else Tags(prediction.tags, prediction.tag_scores, name),
        warnings=(*prediction.warnings, *_first_page_only(name, pages)),
    )


def read_pages(entry: Entry, options: Options, ocr: Ocr, jobs: Jobs, pages: Pages) -> Answer:
    """Read every page with a model that takes whole pages."""
    return _read(entry, options, ocr, jobs, pages, lambda image: jobs.run(entry, Job(image, options=options)))


def read_lines(segmenter: Entry, entry: Entry, options: Options, ocr: Ocr, jobs: Jobs, pages: Pages) -> Answer:
    """Cut every page into lines with one model, and read the lines with another."""
    line_options = replace(options, segment=None, layout=None)
    segmenting = Options(segment=options.segment, layout=options.layout)

    def read(image: Image.Image) -> Prediction:
        layout = jobs.run(segmenter, Job(image, options=segmenting))
        crops = layout.crops or ()
        texts = jobs.run_lines(entry, [Job(crop, options=line_options) for crop in crops])
        lines = [
            replace(line, text=prediction.text, confidence=prediction.confidence or 0.0)
            for line, prediction in zip(layout.lines or (), texts, strict=True)
            if prediction.text
        ]
        return Prediction.of_lines(lines, [warning for prediction in texts for warning in prediction.warnings])

    return _read(entry, options, ocr, jobs, pages, read)


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


def _choose_alt_text(registry: Registry, options: RequestOptions) -> Pipeline:
    captioner, reader = registry.default_captioner(), registry.entry(READER)
    length = options.max_length or _ALT_TEXT_LENGTH
    ignored = tuple(f"{ALT_TEXT} does not take {name}: ignored" for name in OPTIONS if getattr(options, name))
    return Pipeline(
        ALT_TEXT,
        (reader,),
        partial(describe_for_alt, captioner, reader, length),
        (ALT_TEXT, reader.identity, captioner.identity, length),
        warnings=ignored,
    )


def _read(
    entry: Entry,
    options: Options,
    ocr: Ocr,
    jobs: Jobs,
    pages: Pages,
    read: Callable[[Image.Image], Prediction],
) -> Answer:
    """Take the text of each page from the file, or read the page; one is in memory at a time."""
    done: list[Page] = []
    warnings: list[str] = []
    for number in range(pages.count):
        jobs.stop_if_cancelled()
        held = _held(pages, number, ocr)
        # Do not bind the image to a name: it would stay in memory while the next page is decoded.
        prediction = (
            read(pages.image(number))
            if held is None
            else Prediction.of_lines(lines_of(held.rows, held.size, layout_of(options)))
        )
        done.append(replace(_page(pages, number, prediction), is_read=held is None))
        warnings += prediction.warnings
        if held is not None and not held.is_sound:
            warnings.append(f"page {pages.numbers[number] + 1}: {_UNSOUND}")
        if pages.count > 1:
            jobs.progress(Progress("pages", len(done), pages.count))
    text = "\n\n".join(page.text for page in done if page.text)
    return Answer(text, entry.model.name, tuple(done), warnings=tuple(warnings))


def _held(pages: Pages, number: int, ocr: Ocr) -> Text | None:
    """Return the text of a page that is taken from its file; None for a page that is read.

    Raises:
        InvalidOption: no page may be read, and the file is an image.
    """
    if ocr == "always":
        return None
    text = pages.text(number)
    if ocr == "never" and text is None:
        raise InvalidOption("ocr=never takes the text that a PDF holds, and this file is an image: ask with ocr=auto")
    return text if text is not None and (text.is_sound or ocr == "never") else None


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
        yield f"{name} describes one image: only the first page was used; model={READER} reads them all"
