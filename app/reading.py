"""Reading pages: as a whole, or line by line; and taking the text that a PDF holds already."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from PIL import Image

from app import scripts
from app.decoding.documents import Pages, Text
from app.errors import InvalidOption
from app.jobs import JobRunner
from app.placing import with_words
from app.types import Answer, Ocr, Page, Progress
from models.base import Job, Options, Prediction
from models.reading.layout import layout_of
from models.reading.text_layer import lines_of
from models.registry import Entry, Registry
from models.roles import SCRIPT_READER, SEGMENTER

_UNSOUND = "the text that it holds does not say all that is on it, or not in letters; ocr=auto reads it"


def read_pages(registry: Registry, entry: Entry, options: Options, ocr: Ocr, runner: JobRunner, pages: Pages) -> Answer:
    """Read every page with a model that takes whole pages, or one in a script that it does not know with another."""

    def read(image: Image.Image) -> Prediction:
        prediction = runner.run(entry, Job(image, options=options))
        return in_its_script(registry, prediction, options, runner, image)

    return _read(entry, options, ocr, runner, pages, read)


def in_its_script(
    registry: Registry, prediction: Prediction, options: Options, runner: JobRunner, image: Image.Image
) -> Prediction:
    """Return what a page was read as; in a script that its reader does not know, what SCRIPT_READER reads."""
    if prediction.script is None:
        return prediction
    languages = scripts.languages_of(registry, prediction.script)
    if not languages:
        return scripts.not_read(prediction.script)
    other = registry.entry(SCRIPT_READER)
    found = _lines_of(registry, other, Options(layout=options.layout, language=languages), runner, image)
    return replace(found, warnings=(*found.warnings, scripts.guessed(prediction.script, languages)))


def read_lines(registry: Registry, entry: Entry, options: Options, ocr: Ocr, runner: JobRunner, pages: Pages) -> Answer:
    """Cut every page into lines with one model, and read the lines with another."""
    return _read(entry, options, ocr, runner, pages, partial(_lines_of, registry, entry, options, runner))


def _lines_of(registry: Registry, entry: Entry, options: Options, runner: JobRunner, image: Image.Image) -> Prediction:
    """Cut a page into lines, and read them. The language of a script that the reader does not know is guessed."""
    margin = entry.model.line_margin
    segmenting = Options(segment=options.segment, layout=options.layout, line_margin=margin)
    layout = runner.run(registry.entry(SEGMENTER), Job(image, options=segmenting))
    notes: tuple[str, ...] = ()
    options = replace(options, segment=None, layout=None)
    if options.language is None and (script := layout.script) is not None:
        languages = scripts.languages_of(registry, script)
        if entry.model.name != SCRIPT_READER or not languages:
            return scripts.not_read(script)
        options, notes = replace(options, language=languages), (scripts.guessed(script, languages),)
    crops = layout.crops or ()
    texts = runner.run_lines(entry, [Job(crop, options=options) for crop in crops])
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


def _read(
    entry: Entry,
    options: Options,
    ocr: Ocr,
    runner: JobRunner,
    pages: Pages,
    read: Callable[[Image.Image], Prediction],
) -> Answer:
    """Take the text of each page from the file, or read the page; one is in memory at a time."""
    done: list[Page] = []
    warnings: list[str] = []
    for number in range(pages.count):
        runner.stop_if_cancelled()
        held = _held(pages, number, ocr)
        # Do not bind the image to a name: it would stay in memory while the next page is decoded.
        prediction = (
            read(pages.image(number))
            if held is None
            else Prediction.of_lines(lines_of(held.rows, held.size, layout_of(options)))
        )
        done.append(replace(page_of(pages, number, prediction), is_read=held is None))
        warnings += prediction.warnings
        if held is not None and not held.is_sound:
            warnings.append(f"page {pages.numbers[number] + 1}: {_UNSOUND}")
        if pages.count > 1:
            runner.progress(Progress("pages", len(done), pages.count))
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


def page_of(pages: Pages, number: int, prediction: Prediction) -> Page:
    """Return what was said of a page."""
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
