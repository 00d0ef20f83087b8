"""The requests and answers of the service, which all front doors share.

Plain dataclasses: no HTTP, no validation. A front door converts the requests of its protocol to a `Request`, and an
`Answer` to those of its protocol. Boxes and polygons are in fractions of the upright image, as in `models.found`.
"""

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from models.base import Detail
from models.found import Box, Entity, Line

Ocr = Literal["auto", "always", "never"]
PageRanges = tuple[tuple[int, int | None], ...]
"""First and last pages of a document, counted from 1; None as a last page is the end of the document."""
Stage = Literal["queued", "downloading", "loading", "lines", "pages"]
Wanted = Literal["caption", "ground", "read", "detect", "tag", "alt-text"]
"""What a request asks of a model that does several things."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The options of a request. None leaves the choice to the model or the service."""

    model: str | None = None
    task: Wanted | None = None
    prompt: str | None = None
    tags: bool = False
    tagger: str | None = None
    detail: Detail | None = None
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    num_beams: int | None = None
    segment: str | None = None
    layout: str | None = None
    schema: str | None = None
    """The JSON schema of the answer, as a text."""
    output_language: str | None = None
    ocr: Ocr | None = None
    """Whether pages are read: `auto` takes the text that a PDF holds, where it says what is on the page."""
    language: tuple[str, ...] | None = None
    """The languages of the text, as tags of BCP 47."""
    max_length: int | None = None
    pages: PageRanges | None = None
    region: Box | None = None
    """The part of each page to use, in fractions of the page."""


@dataclass(frozen=True)
class Request:
    """One image or document, as bytes or as a URL, and what is asked of it.

    `export` is the name in `app.exports.EXPORTS` of a format in which the answer is also rendered. With
    `wait_for_download` the request waits for a model that is not on the machine; otherwise it is refused. A `fresh`
    answer is computed even if one is cached. `store` is whether the image may be kept. `may_download` has the
    models that may be downloaded for it; None for any.
    """

    image: bytes | None = None
    image_url: str | None = None
    options: RequestOptions = RequestOptions()
    export: str | None = None
    wait_for_download: bool = False
    fresh: bool = False
    store: bool = True
    may_download: frozenset[str] | None = None

    @cached_property
    def sha256(self) -> str | None:
        """The hash of the image's bytes in hexadecimal digits; None for a URL."""
        return None if self.image is None else hashlib.sha256(self.image).hexdigest()

    @property
    def key(self) -> Hashable:
        """Equal for requests that have the same answer."""
        return (
            self.sha256,
            self.image_url,
            self.options,
            self.export,
            self.wait_for_download,
            self.store,
            self.may_download,
        )


@dataclass(frozen=True)
class TagRequest:
    """A text to turn into tags. `tagger` is the name of one, None for the best on this machine; `fresh` and
    `may_download` as in `Request`."""

    text: str
    tagger: str | None = None
    fresh: bool = False
    may_download: frozenset[str] | None = None

    @property
    def key(self) -> Hashable:
        """Equal for requests that have the same answer."""
        return ("tags", self.text, self.tagger, self.may_download)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a request.

    `done` of `found` are lines, pages, loaded models, or percent of a download. For `queued`, `position` is that of the
    job in its queue, counted from 1; 0 while it runs; None while the queue is full, or where the engine cannot tell.
    """

    stage: Stage
    done: int = 0
    found: int = 0
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The answer for one page of `width` x `height` pixels.

    `number` is that of the page in its file, counted from 0. `points` is its size on paper in 1/72 inch, if known.
    `is_read` is false for a page whose text was in its file.
    """

    width: int
    height: int
    text: str
    confidence: float | None = None
    lines: tuple[Line, ...] | None = None
    entities: tuple[Entity, ...] | None = None
    points: tuple[float, float] | None = None
    number: int = 0
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class AltTextParts:
    """The parts of an alt text: the caption and the words on the image, each with the model that it comes from."""

    caption: str | None
    captioner: str | None
    words: str | None
    reader: str | None


@dataclass(frozen=True, slots=True)
class Timings:
    """The duration of the steps of a request, in milliseconds.

    `decode` lasts until the first page is decoded, or until the sizes of a PDF's pages are known; further pages are
    decoded while models work, and counted only in `total`. `load` is the wait until models were in memory, `queue` the
    wait for busy models.
    """

    fetch: int = 0
    decode: int = 0
    load: int = 0
    queue: int = 0
    inference: int = 0
    total: int = 0

    def plus(self, other: "Timings") -> "Timings":
        """Return the sum of both for the steps that models take."""
        return replace(
            self,
            load=self.load + other.load,
            queue=self.queue + other.queue,
            inference=self.inference + other.inference,
        )


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags of an image or a text, with a score for each where the tagger has them. `names` is None where none could be
    made; `warnings` say why. `cached` is true where nothing had to be computed."""

    names: tuple[str, ...] | None = None
    scores: tuple[float, ...] | None = None
    tagger: str | None = None
    warnings: tuple[str, ...] = ()
    timings: Timings = Timings()
    cached: bool = False


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The image as it was decoded: the format by Pillow's name, the hash of the bytes, and the path under which the
    service keeps it, if it does."""

    width: int
    height: int
    format: str
    sha256: str
    saved_as: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for an image or a document.

    A pipeline fills in the outputs of the models. The service adds the image, tags, timings and the export. An answer
    that is not `complete` lacks the output of a model that failed, and is not cached.
    """

    text: str
    model: str
    pages: tuple[Page, ...]
    tags: Tags | None = None
    parts: AltTextParts | None = None
    warnings: tuple[str, ...] = ()
    complete: bool = True
    cached: bool = False
    image: ImageInfo | None = None
    timings: Timings = Timings()
    export: bytes | None = None
    export_as: str | None = None
    """The format of the export, by its name in `app.exports.EXPORTS`."""


ReportProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]
