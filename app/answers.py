"""What a request came to, in the words of an answer."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from app.compose import Said, options_of
from app.decoding.documents import Pages
from app.exports.base import Document
from app.exports.base import Page as ExportPage
from app.schemas import GenerateOptions, ImageInfo, ModelInfo, Page
from models.registry import Entry


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of an image or a document of some format and number of pages, and the milliseconds it took.

    `pages` is the file itself, until the result is only remembered.
    """

    said: Said
    format: str
    count: int
    pages: Pages | None
    decode: int
    queue: int
    inference: int


def warnings_of(options: GenerateOptions, made: Made) -> Iterator[str]:
    """Yield what a caller should know of an answer."""
    said = made.said
    yield from said.warnings
    if made.count > len(said.pages):
        # Not of how many: those of a TIFF are counted no further than MAX_PAGES.
        yield f"{said.model} describes one image: only the first page was used; model=rapidocr reads them all"
    if options.tagger and not options.tags:
        yield "tagger has no effect without tags=true"


def image_info(made: Made, sha256: str, saved_as: str | None) -> ImageInfo:
    """Return what an answer says of the image itself."""
    width, height = made.said.pages[0].size
    return ImageInfo(width=width, height=height, format=made.format, sha256=sha256, saved_as=saved_as)


def of_pages(said: Said) -> dict[str, Any]:
    """Return the fields of an answer that are those of its one page, or a list of pages."""
    if len(said.pages) == 1:
        only = said.pages[0].prediction
        return {"confidence": only.confidence, "entities": _plain(only.entities), "lines": _plain(only.lines)}
    return {
        "pages": [
            Page(
                page=number,
                width=page.size[0],
                height=page.size[1],
                text=page.prediction.text,
                lines=_plain(page.prediction.lines),
            )
            for number, page in enumerate(said.pages, 1)
        ]
    }


def document(said: Said, pages: Pages) -> Document:
    """Return what was said as a document whose images are decoded when an export asks for them."""
    return Document(
        tuple(
            ExportPage(*page.size, page.prediction.lines or (), partial(pages.image, number), pages.points(number))
            for number, page in enumerate(said.pages)
        ),
        said.text,
        said.model,
    )


def describe(entry: Entry) -> ModelInfo:
    """Return what is said of a model and its state."""
    model, loaded = entry.model, entry.loaded
    return ModelInfo(
        name=model.name,
        task=model.task,
        accepts=list(model.accepts),
        options=sorted(options_of(model)),
        tags_images=model.tags_images,
        hub_id=model.source.hub_id,
        revision=model.source.revision,
        license=model.source.license,
        size_bytes=model.source.size_bytes,
        state=entry.state,
        progress=entry.progress,
        error=entry.error,
        device=loaded.device if loaded else None,
        precision=loaded.precision if loaded else None,
    )


def _plain(items: Iterable[Any] | None) -> Any:
    """Return dataclasses as dictionaries, for the schemas to read."""
    return None if items is None else [asdict(item) for item in items]


def listed(values: Iterable[float] | None) -> list[float] | None:
    """Return values as JSON has them."""
    return None if values is None else list(values)


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(seconds * 1000)
