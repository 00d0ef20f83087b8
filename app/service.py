"""The use case: one image in, text out. Knows no Flask."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from app import errors
from app.config import Settings
from app.engine.base import Engine, Ticket
from app.fetch import Fetcher
from app.images import DecodedImage, decode
from app.schemas import (
    Answer,
    GenerateOptions,
    Health,
    ImageInfo,
    ModelInfo,
    ModelList,
    TagAnswer,
    TagOptions,
    TagTimings,
    Timings,
)
from app.storage.base import Store
from models.base import InvalidJob, Job, Model, ModelError, ModelUnavailable, Options, Prediction, Task, UnknownModel
from models.registry import DEFAULT_ORDER, TAGGER_ORDER, Entry, Registry, State

_RETRY_BUSY_AFTER = 5.0
_RETRY_ABSENT_AFTER = 15.0
_MODEL_OPTIONS = ("prompt", "detail", "min_new_tokens", "max_new_tokens", "num_beams")


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One image, as bytes or as a URL, and what is asked of it."""

    id: str
    image: bytes | None
    image_url: str | None
    options: GenerateOptions


class Service:
    """Answers requests with the models of a registry.

    Its methods raise ServiceError, with what is wrong and the status for it.
    """

    def __init__(
        self, settings: Settings, registry: Registry, engine: Engine, store: Store | None, fetcher: Fetcher
    ) -> None:
        self.store = store
        self.in_work = 0
        self._settings = settings
        self._registry = registry
        self._engine = engine
        self._fetcher = fetcher
        self._draining = False
        self._lock = threading.Lock()

    def preload(self, names: Iterable[str]) -> None:
        """Start downloading and loading models, without waiting for them."""
        for name in names:
            self._engine.prepare(name)

    def drain(self) -> None:
        """Be not ready, and take no more requests; those in work go on."""
        self._draining = True

    def close(self) -> None:
        """Answer what still waits, and take nothing more."""
        self.drain()
        self._engine.close()

    # What people ask for

    def generate(self, request: GenerateRequest) -> Answer:
        """Turn one image into text."""
        with self._admitted(), _as_service_errors():
            clock = _Clock()
            entry = self._captioner_or_reader(request.options.model)
            options, warnings = _options_for(entry.model, request.options)
            entry.model.check(options)
            tagger = self._tagger(request.options.tagger) if request.options.tags else None
            self._start_if_absent(entry)

            data = self._bytes(request)
            fetched = clock.lap()
            image = self._decode(request, data)
            decoded = clock.lap()
            ticket = self._engine.submit(entry.model.name, Job(image.image, options=options))
            prediction = ticket.result(self._settings.request_timeout)
            tags = self._tags(prediction.text, tagger) if request.options.tags else _Tags()
            saved_as = self._save(data, image)
            return Answer(
                id=request.id,
                text=prediction.text,
                model=entry.model.name,
                confidence=prediction.confidence,
                tags=tags.tags,
                tag_scores=tags.scores,
                tagger=tags.tagger,
                entities=_plain(prediction.entities),
                lines=_plain(prediction.lines),
                image=ImageInfo(
                    width=image.image.width,
                    height=image.image.height,
                    format=image.format,
                    sha256=image.sha256,
                    saved_as=saved_as,
                ),
                timings_ms=Timings(
                    fetch=fetched if request.image is None else 0,
                    decode=decoded,
                    queue=_ms(ticket.waited) + tags.queue_ms,
                    inference=_ms(ticket.ran) + tags.inference_ms,
                    total=clock.total(),
                ),
                warnings=[*warnings, *prediction.warnings, *tags.warnings],
            )

    def tag(self, request_id: str, options: TagOptions) -> TagAnswer:
        """Turn a text into tags."""
        with self._admitted(), _as_service_errors():
            clock = _Clock()
            tagger = self._tagger(options.tagger)
            if tagger is None:
                raise errors.Unavailable("no tagger is on this machine: load t5-tags first", _RETRY_ABSENT_AFTER)
            self._start_if_absent(tagger)
            ticket = self._engine.submit(tagger.model.name, Job(text=options.text))
            prediction = ticket.result(self._settings.request_timeout)
            return TagAnswer(
                id=request_id,
                tags=list(prediction.tags or ()),
                tag_scores=_listed(prediction.tag_scores),
                tagger=tagger.model.name,
                timings_ms=TagTimings(queue=_ms(ticket.waited), inference=_ms(ticket.ran), total=clock.total()),
                warnings=list(prediction.warnings),
            )

    def models(self) -> ModelList:
        """Describe all models and their states."""
        return ModelList(models=[_describe(entry) for entry in self._registry])

    def load(self, name: str) -> ModelInfo:
        """Start downloading and loading a model, also one that failed a moment ago."""
        with _as_service_errors():
            entry = self._registry.entry(name)
            if entry.state is not State.READY:
                entry.retry_now()
                self._engine.prepare(name)
            return _describe(entry)

    def readiness(self) -> Health:
        """Say which model answers by default.

        Raises:
            Unavailable: none can yet, or the service is shutting down.
        """
        if self._draining or not self._engine.ready():
            raise errors.Unavailable("the service is shutting down", _RETRY_BUSY_AFTER)
        with _as_service_errors():
            entry = self._default()
            if entry.state not in (State.ON_DISK, State.READY):
                raise errors.Unavailable(f"{entry.model.name} is {entry.state}", _RETRY_BUSY_AFTER)
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

    def _default(self) -> Entry:
        if self._settings.default_model != "auto":
            return self._registry.entry(self._settings.default_model)
        entry = self._registry.first_on_machine(DEFAULT_ORDER)
        if entry is None:
            raise errors.Unavailable("no model is on this machine yet", _RETRY_ABSENT_AFTER)
        return entry

    def _captioner_or_reader(self, name: str | None) -> Entry:
        entry = self._default() if name in (None, "auto") else self._registry.entry(str(name))
        if "image" not in entry.model.accepts:
            raise errors.InvalidOption(f"{name} takes a text, not an image: use POST /generate-tags")
        return entry

    def _tagger(self, name: str | None) -> Entry | None:
        """Return the tagger asked for; None when any would do and none is on this machine."""
        if name in (None, "auto"):
            return self._registry.first_on_machine(TAGGER_ORDER)
        entry = self._registry.entry(str(name))
        if entry.model.task is not Task.TAG:
            raise errors.InvalidOption(f"{name} is not a tagger")
        return entry

    def _start_if_absent(self, entry: Entry) -> None:
        """Start fetching what is missing, and refuse the request: nobody waits an hour for an answer."""
        if entry.on_machine:
            return
        entry.refuse_if_failed()
        self._engine.prepare(entry.model.name)
        done = f" ({entry.progress:.0%} done)" if entry.progress else ""
        raise errors.Unavailable(
            f"{entry.model.name} is being downloaded and loaded{done}: try again later", _RETRY_ABSENT_AFTER
        )

    def _bytes(self, request: GenerateRequest) -> bytes:
        data = request.image if request.image is not None else self._fetcher.fetch(request.image_url or "")
        if len(data) > self._settings.max_upload_bytes:
            raise errors.TooLarge(f"the image is larger than {self._settings.max_upload_bytes} bytes")
        return data

    def _decode(self, request: GenerateRequest, data: bytes) -> DecodedImage:
        try:
            return decode(data, self._settings.image_formats, self._settings.max_image_pixels)
        except errors.UnsupportedMedia as error:
            if (request.image_url or "").lower().startswith("http"):
                raise errors.UnusableUrl(f"what the URL leads to is not an image: {error.detail}") from error
            raise

    def _tags(self, text: str, tagger: Entry | None) -> "_Tags":
        """Tag a text; where that fails, the text is still worth an answer, and a warning says why it has no tags."""
        if tagger is None:
            return _Tags(warnings=("no tags: no tagger is on this machine; POST /models/t5-tags/load fetches one",))
        if not text:
            return _Tags(tags=[], tagger=tagger.model.name)
        try:
            with _as_service_errors():
                self._start_if_absent(tagger)
                ticket = self._engine.submit(tagger.model.name, Job(text=text))
                prediction = ticket.result(self._settings.request_timeout)
        except errors.ServiceError as error:
            return _Tags(warnings=(f"no tags: {error.detail}",))
        return _Tags.of(tagger.model.name, prediction, ticket)

    def _save(self, data: bytes, image: DecodedImage) -> str | None:
        return f"images/{self.store.put(data, image.sha256, image.format)}" if self.store else None


@dataclass(frozen=True, slots=True)
class _Tags:
    """What an answer says of tags."""

    tags: list[str] | None = None
    scores: list[float] | None = None
    tagger: str | None = None
    queue_ms: int = 0
    inference_ms: int = 0
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, tagger: str, prediction: Prediction, ticket: Ticket) -> "_Tags":
        return cls(
            list(prediction.tags or ()),
            _listed(prediction.tag_scores),
            tagger,
            _ms(ticket.waited),
            _ms(ticket.ran),
            prediction.warnings,
        )


class _Clock:
    """Milliseconds since it was made, and since the last lap."""

    def __init__(self) -> None:
        self._start = self._lap = time.monotonic()

    def lap(self) -> int:
        last, self._lap = self._lap, time.monotonic()
        return _ms(self._lap - last)

    def total(self) -> int:
        return _ms(time.monotonic() - self._start)


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


def _options_for(model: Model, asked: GenerateOptions) -> tuple[Options, list[str]]:
    """Return what a model takes of the options asked for, and a warning for each that it does not."""
    taken: dict[str, Any] = {}
    warnings = []
    for name in _MODEL_OPTIONS:
        value = getattr(asked, name)
        if value is None or value is False:
            continue
        if model.takes(name):
            taken[name] = value
        else:
            warnings.append(f"{model.name} does not take {name}: ignored")
    if asked.tagger is not None and not asked.tags:
        warnings.append("tagger has no effect without tags=true")
    return Options(**taken), warnings


def _describe(entry: Entry) -> ModelInfo:
    model, loaded = entry.model, entry.loaded
    return ModelInfo(
        name=model.name,
        task=model.task,
        accepts=list(model.accepts),
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


def _listed(values: Iterable[float] | None) -> list[float] | None:
    return None if values is None else list(values)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
