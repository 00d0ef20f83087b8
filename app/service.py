"""The use case: one image or document in, text out. Knows no Flask.

A request is a generator of steps: how far it is, and at last its result. Whoever wants the result alone lets the steps
pass; whoever shows progress sends them on; whoever closes the generator cancels what is still to do.
"""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from app import errors
from app.answers import Made, describe, document, image_info, listed, milliseconds, of_pages, warnings_of
from app.compose import ALT_TEXT, AltText, OneModel
from app.config import Settings
from app.decoding.documents import Limits, Pages, open_pages
from app.decoding.pool import Cage
from app.engine.base import Engine
from app.exports import EXPORTS
from app.fetching.client import Fetcher
from app.jobs import Jobs, Steps, finish
from app.results import Results
from app.schemas import (
    Answer,
    GenerateOptions,
    Health,
    ModelInfo,
    ModelList,
    TagAnswer,
    TagOptions,
    TagTimings,
    Timings,
)
from app.storage.base import Store
from app.waiting import Waiting
from models.base import InvalidJob, Job, ModelError, ModelUnavailable, Task, UnknownModel
from models.registry import TAGGER, Entry, Registry, State

_RETRY_BUSY_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One image or document, as bytes or as a URL, and what is asked of it.

    `format` is `json` or a name of EXPORTS. A patient caller is shown progress, and waits for a model that has to be
    downloaded first. A fresh answer is made anew, whatever is known.
    """

    id: str
    image: bytes | None
    image_url: str | None
    options: GenerateOptions
    format: str = "json"
    patient: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, and the same in the format that was asked for, where that is not JSON."""

    answer: Answer
    export: bytes | None


class Service:
    """Answers requests with the models of a registry.

    Its methods raise ServiceError, with what is wrong and the status for it.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        engine: Engine,
        store: Store | None,
        fetcher: Fetcher,
        cage: Cage,
    ) -> None:
        self.store = store
        self.in_work = 0
        self._settings = settings
        self._registry = registry
        self._engine = engine
        self._fetcher = fetcher
        self._cage = cage
        self._limits = Limits(settings.image_formats, settings.max_image_pixels, settings.max_pages, settings.pdf_dpi)
        self._results = Results(settings.result_cache_bytes)
        self._draining = False
        self._lock = threading.Lock()
        self._waiting = Waiting(engine, max(1, settings.max_requests // 4))

    def preload(self, names: Iterable[str]) -> None:
        """Start downloading and loading models, and what decodes, without waiting for them."""
        self._cage.warm()
        for name in names:
            self._engine.prepare(name, until_loaded=True)

    def tidy(self) -> None:
        """Do what is to be done once in a while: let old images go."""
        if self.store is not None:
            self.store.tidy()

    def drain(self) -> None:
        """Be not ready, and take no more requests; those in work go on."""
        self._draining = True
        self._waiting.end()

    def close(self) -> None:
        """Answer what still waits, and take nothing more."""
        self.drain()
        self._engine.close()
        self._cage.close()

    # What people ask for

    def generate(self, request: GenerateRequest) -> Steps[Result]:
        """Turn one image or document into text."""
        with self._admitted(), _as_service_errors():
            options = request.options
            composition = self._composition(options)
            tagger = self._tagger(options.tagger, of_image=True) if options.tags else None
            for entry in composition.entries:
                yield from self._waiting.available(entry, request.patient)
                if request.image is None:
                    # Before an image is fetched in vain.
                    self._engine.refuse_if_full(entry.model.name)

            clock = _Clock()
            data = self._bytes(request)
            fetched = clock.lap()
            upload = _Upload(request, data, hashlib.sha256(data).hexdigest())
            with _blaming_the_url(request.image_url):
                made, known = yield from self._made(composition, upload)
            tags = (yield from self._tags(made, tagger, upload)) if options.tags else _Tags()
            if known:
                made = replace(made, decode=0, queue=0, inference=0)
            with self._kept(upload, made.format) as saved_as:
                image = image_info(made, upload.sha256, saved_as)
            answer = Answer(
                id=request.id,
                text=made.said.text,
                model=made.said.model,
                tags=tags.tags,
                tag_scores=tags.scores,
                tagger=tags.tagger,
                **of_pages(made.said),
                parts=made.said.parts,
                cached=(known and (tags.known or not options.tags)) or None,
                image=image,
                timings_ms=Timings(
                    fetch=fetched if request.image is None else 0,
                    decode=made.decode,
                    queue=made.queue + tags.queue,
                    inference=made.inference + tags.inference,
                    total=clock.total(),
                ),
                # Each once: twenty lines may have the same to say.
                warnings=list(dict.fromkeys([*composition.warnings, *warnings_of(options, made), *tags.warnings])),
            )
            export = EXPORTS.get(request.format)
            if export is None:
                return Result(answer, None)
            # Decoded anew where it is only remembered, or was decoded just well enough for a model.
            pages = made.pages if made.pages and not composition.side else self._pages(upload, composition)
            return Result(answer, export.render(document(made.said, pages)))

    def tag(self, request_id: str, options: TagOptions, fresh: bool = False) -> TagAnswer:
        """Turn a text into tags, anew if `fresh`, whatever is known."""
        with self._admitted(), _as_service_errors():
            clock = _Clock()
            tagger = self._tagger(options.tagger, of_image=False) or self._registry.entry(TAGGER)
            finish(self._waiting.available(tagger, patient=False))
            tags = finish(self._tagged(options.text, tagger, fresh))
            return TagAnswer(
                id=request_id,
                tags=tags.tags or [],
                tag_scores=tags.scores,
                tagger=tagger.model.name,
                cached=tags.known or None,
                timings_ms=TagTimings(queue=tags.queue, inference=tags.inference, total=clock.total()),
                warnings=list(tags.warnings),
            )

    def models(self) -> ModelList:
        """Describe all models and their states."""
        return ModelList(models=[describe(entry) for entry in self._registry], default=self._default().model.name)

    def load(self, name: str) -> ModelInfo:
        """Start downloading and loading a model, also one that failed a moment ago."""
        with _as_service_errors():
            entry = self._registry.entry(name)
            if entry.state is not State.READY:
                entry.forget_failure()
                self._engine.prepare(name)
            return describe(entry)

    def readiness(self) -> Health:
        """Say which model answers by default.

        Raises:
            Unavailable: none can yet, or the service is shutting down.
        """
        if self._draining or not self._engine.ready():
            raise errors.Unavailable("the service is shutting down", _RETRY_BUSY_AFTER)
        with _as_service_errors():
            entry = self._default()
            if not entry.on_machine:
                reason = f": {entry.error}" if entry.error else ""
                raise errors.Unavailable(f"{entry.model.name} is {entry.state}{reason}", _RETRY_BUSY_AFTER)
            return Health(status="ready", model=entry.model.name)

    # The steps of a request

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a request as in work, or refuse it: each holds a thread of the server."""
        with self._lock:
            if self._draining:
                raise errors.Unavailable("the service is shutting down", _RETRY_BUSY_AFTER)
            if self.in_work >= self._settings.max_requests:
                raise errors.QueueFull(f"{self.in_work} requests are in work already", _RETRY_BUSY_AFTER)
            self.in_work += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_work -= 1

    def _composition(self, options: GenerateOptions) -> OneModel | AltText:
        if options.model == ALT_TEXT:
            return AltText(self._registry, options)
        if options.model in (None, "auto"):
            return OneModel(self._registry, self._default(), options)
        try:
            entry = self._registry.entry(str(options.model))
        except UnknownModel as error:
            raise UnknownModel(f"{error}; and {ALT_TEXT}, which is two of them together") from None
        return OneModel(self._registry, entry, options)

    def _default(self) -> Entry:
        if self._settings.default_model != "auto":
            return self._registry.entry(self._settings.default_model)
        return self._registry.default_captioner()

    def _tagger(self, name: str | None, of_image: bool) -> Entry | None:
        """Return the tagger asked for, of an image and what was said of it, or of a text alone; None when any would do
        and none is on this machine."""
        if name in (None, "auto"):
            tagger = self._registry.default_tagger()
            return tagger or (self._registry.default_image_tagger() if of_image else None)
        entry = self._registry.entry(str(name))
        if entry.model.tags_images and not of_image:
            raise errors.InvalidOption(f"{name} tags images, not texts: use POST /generate-text with tags=true")
        if entry.model.task is not Task.TAG and not entry.model.tags_images:
            raise errors.InvalidOption(f"{name} is not a tagger")
        return entry

    def _bytes(self, request: GenerateRequest) -> bytes:
        data = request.image if request.image is not None else self._fetcher.fetch(request.image_url or "")
        if len(data) > self._settings.max_upload_bytes:
            raise errors.TooLarge.image(self._settings.max_upload_bytes)
        return data

    def _pages(self, upload: "_Upload", composition: OneModel | AltText, side: int | None = None) -> Pages:
        return open_pages(upload.data, self._limits, self._cage, composition.reads_documents, side)

    def _made(self, composition: OneModel | AltText, upload: "_Upload") -> Steps[tuple[Made, bool]]:
        """Return what the models say of a file, and whether that was known already."""
        question = upload.sha256, composition.question
        make = partial(self._make, composition, upload)
        return (yield from self._results.of(question, make, _lasting, upload.request.fresh))

    def _make(self, composition: OneModel | AltText, upload: "_Upload") -> Steps[Made]:
        """Decode an image or open a document, and let the models say what they do of it."""
        for entry in composition.entries:
            self._engine.refuse_if_full(entry.model.name)
        clock = _Clock()
        pages = self._pages(upload, composition, composition.side)
        decoded = clock.lap()
        jobs = Jobs(self._engine, self._settings.request_timeout)
        # On disk before the models work, so that a full one is found out first.
        with self._kept(upload, pages.format):
            said = yield from composition.run(jobs, pages)
        queue, inference = milliseconds(jobs.queue_seconds), milliseconds(jobs.inference_seconds)
        return Made(said, pages.format, pages.count, pages, decoded, queue, inference)

    @contextmanager
    def _kept(self, upload: "_Upload", format: str) -> Iterator[str | None]:
        """Keep an image if the block ends well, and say under which path it can be had then."""
        if self.store is None:
            yield None
            return
        with self.store.keep(upload.data, upload.sha256, format) as name:
            yield f"images/{name}"

    def _tags(self, made: Made, tagger: Entry | None, upload: "_Upload") -> Steps["_Tags"]:
        """Tag what was said, or the image; where that fails, the text is still worth an answer, and a warning says why
        it has no tags."""
        if tagger is None:
            why = f"no tags: no tagger is on this machine; POST /models/{TAGGER}/load fetches one"
            return _Tags(warnings=(why,), known=True)
        if not made.said.text and not tagger.model.tags_images:
            return _Tags(tags=[], tagger=tagger.model.name, known=True)
        try:
            with _as_service_errors():
                yield from self._waiting.available(tagger, patient=False)
                if tagger.model.tags_images:
                    return (yield from self._tagged_image(made, tagger, upload))
                return (yield from self._tagged(made.said.text, tagger, upload.request.fresh))
        except errors.ServiceError as error:
            return _Tags(warnings=(f"no tags: {error.detail}",))

    def _tagged_image(self, made: Made, tagger: Entry, upload: "_Upload") -> Steps["_Tags"]:
        """Tag the image with a captioner that is on the machine, unless it is the one that has spoken."""
        known = made.said.model == tagger.model.name
        if not known:
            captioner = OneModel(self._registry, tagger, GenerateOptions.model_validate({}))
            made, known = yield from self._made(captioner, upload)
        said = made.said.pages[0].prediction
        queue, inference = (0, 0) if known else (made.queue, made.inference)
        return _Tags(list(said.tags or ()), listed(said.tag_scores), tagger.model.name, (), queue, inference, known)

    def _tagged(self, text: str, tagger: Entry, fresh: bool) -> Steps["_Tags"]:
        """Tag a text with a tagger that is on the machine."""

        def make() -> Steps[_Tags]:
            jobs = Jobs(self._engine, self._settings.request_timeout)
            said = yield from jobs.run(tagger, Job(text=text))
            queue, inference = milliseconds(jobs.queue_seconds), milliseconds(jobs.inference_seconds)
            scores = listed(said.tag_scores)
            return _Tags(list(said.tags or ()), scores, tagger.model.name, said.warnings, queue, inference)

        tags, known = yield from self._results.of((text, tagger.identity), make, lambda tags: tags, fresh)
        return replace(tags, known=True, queue=0, inference=0) if known else tags


@dataclass(frozen=True, slots=True)
class _Upload:
    """The file that came with a request, or that its URL led to."""

    request: GenerateRequest
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class _Tags:
    """What an answer says of tags."""

    tags: list[str] | None = None
    scores: list[float] | None = None
    tagger: str | None = None
    warnings: Sequence[str] = ()
    queue: int = 0
    inference: int = 0
    """In milliseconds, as `queue` is."""
    known: bool = False
    """Whether nothing had to be computed for them."""


def _lasting(made: Made) -> Made | None:
    """Return what is remembered: nothing where a model failed that may not the next time, and never the image."""
    return replace(made, pages=None) if made.said.complete else None


class _Clock:
    """Milliseconds since it was made, and since the last lap."""

    def __init__(self) -> None:
        self._start = self._lap = time.monotonic()

    def lap(self) -> int:
        last, self._lap = self._lap, time.monotonic()
        return milliseconds(self._lap - last)

    def total(self) -> int:
        return milliseconds(time.monotonic() - self._start)


@contextmanager
def _blaming_the_url(url: str | None) -> Iterator[None]:
    """Say of what is not an image that the URL led there. Others may share the result who sent the same as a file."""
    try:
        yield
    except errors.UnsupportedMedia as error:
        if (url or "").lower().startswith("http"):
            raise errors.UnusableUrl(f"what the URL leads to is not an image: {error.detail}") from error
        raise


@contextmanager
def _as_service_errors() -> Iterator[None]:
    """Say what a model refuses as an error with a status."""
    try:
        yield
    except UnknownModel as error:
        raise errors.UnknownModel(str(error)) from error
    except ModelUnavailable as error:
        raise errors.Unavailable(str(error), error.retry_after) from error
    except InvalidJob as error:
        raise errors.InvalidOption(str(error)) from error
    except ModelError as error:
        raise errors.PredictionFailed(str(error)) from error
