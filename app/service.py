"""The service: turns an image or a document into an answer. Ordinary blocking code that knows nothing of HTTP."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from app import context, errors, exporting, metrics
from app.availability import Availability, refuse_download
from app.cache import Cache, ResultCache
from app.clock import Clock
from app.config import Settings
from app.decoding.documents import Limits, open_pages
from app.decoding.pool import DecodingPool
from app.decoding.selection import furthest, selected
from app.engine.base import Engine
from app.fetching.client import Fetcher
from app.jobs import JobRunner
from app.pipelines import Pipeline, choose
from app.placing import placed
from app.storage.base import Store
from app.tagging import Tagging, tag_warnings
from app.types import (
    Answer,
    ImageInfo,
    IsCancelled,
    Progress,
    ReportProgress,
    Request,
    RequestOptions,
    TagRequest,
    Tags,
    Timings,
)
from app.upload import Upload, as_url_errors, receive
from models.registry import Entry, Registry, State


class Service:
    """Answers requests with the models of a registry.

    Its methods raise ServiceError, which says what is wrong and has an HTTP status.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        engine: Engine,
        store: Store | None,
        fetcher: Fetcher,
        pool: DecodingPool,
        cache: Cache | None = None,
    ) -> None:
        self.store = store
        self._settings = settings
        self._registry = registry
        self._engine = engine
        self._fetcher = fetcher
        self._pool = pool
        self._limits = Limits(settings.image_formats, settings.max_image_pixels, settings.max_pages, settings.pdf_dpi)
        self._cache = cache or ResultCache(settings.result_cache_bytes)
        self._availability = Availability(engine, max(1, settings.max_requests // 4))
        self._tagging = Tagging(registry, self._availability, self._cache)

    def generate(
        self,
        request: Request,
        progress: ReportProgress = lambda progress: None,
        cancelled: IsCancelled = lambda: False,
    ) -> Answer:
        """Turn one image or document into text.

        Args:
            request: the image and what is asked of it.
            progress: is called with the progress of the request.
            cancelled: is called between steps, and returns whether the request is cancelled.
        """
        with errors.as_service_errors(), as_url_errors(request.image_url):
            clock, options = Clock(), request.options
            pipeline, tagger = self.plan(options)
            context.current().model = pipeline.name
            runner = self._runner(progress, cancelled, request.may_download)
            for entry in pipeline.entries:
                self._availability.require(entry, runner, request.wait_for_download)
                # Refuse before the image is fetched and decoded in vain.
                self._engine.refuse_if_full(entry.model.name)

            # Time spent on a model's download does not count as fetching.
            clock.lap()
            upload = receive(request, self._fetcher, self._settings.max_upload_bytes)
            fetched = clock.lap() if request.image is None else 0
            answer = self._answer(upload, pipeline, runner)
            again = partial(self._answer, upload)
            tags = self._tagging.of_answer(answer, tagger, runner, request.fresh, again) if options.tags else None

            timings = answer.timings if tags is None else answer.timings.plus(tags.timings)
            warnings = [*pipeline.warnings, *answer.warnings, *tag_warnings(options, tags)]
            answer = replace(
                answer,
                tags=tags,
                cached=answer.cached and (tags is None or tags.cached),
                # Keep each warning once: twenty lines may have the same one.
                warnings=tuple(dict.fromkeys(warnings)),
            )
            file = None
            if request.export:
                file = self.export(answer, request.export, upload.data, runner.stop_if_cancelled)
            timings = replace(timings, fetch=fetched, total=clock.total())
            return replace(answer, timings=timings, export=file, export_as=request.export)

    def plan(self, options: RequestOptions) -> tuple[Pipeline, Entry | None]:
        """Return the pipeline that answers a request with these options, and the tagger where tags are asked for and
        there is one."""
        with errors.as_service_errors():
            pipeline = choose(self._registry, options, self.default)
            tagger = self._tagging.choose(options.tagger, of_image=True) if options.tags else None
        return pipeline, tagger

    def export(self, answer: Answer, format: str, data: bytes, before_page: Callable[[], None] = lambda: None) -> bytes:
        """Render what was said of a file in a format of EXPORTS. The PDF asks for pixels: the file is decoded again
        for them, and `before_page` is called before each page."""
        pages = partial(open_pages, data, self._limits, self._pool)
        with metrics.timed("export"):
            return exporting.export(answer, format, data, pages, before_page)

    def tag(
        self,
        request: TagRequest,
        progress: ReportProgress = lambda progress: None,
        cancelled: IsCancelled = lambda: False,
    ) -> Tags:
        """Turn a text into tags.

        Args:
            request: the text and what is asked of it.
            progress: is called with the progress of the request.
            cancelled: is called between steps, and returns whether the request is cancelled.
        """
        with errors.as_service_errors():
            clock = Clock()
            runner = self._runner(progress, cancelled, request.may_download)
            chosen = self._tagging.choose(request.tagger, of_image=False)
            context.current().model = chosen.model.name if chosen else ""
            tags = self._tagging.of_text(request.text, chosen, request.fresh, runner)
            return replace(tags, timings=replace(tags.timings, total=clock.total()))

    # Operating the service

    def models(self) -> list[Entry]:
        """Return the entries of all models."""
        return list(self._registry)

    def default(self) -> Entry:
        """Return the model that answers requests that name none."""
        if self._settings.default_model != "auto":
            return self._registry.entry(self._settings.default_model)
        return self._registry.default_captioner()

    def load(self, name: str, may_download: frozenset[str] | None = None) -> Entry:
        """Start downloading and loading a model, also one that failed a moment ago.

        Args:
            name: of the model.
            may_download: the models that may be downloaded; None for any.

        Raises:
            ModelNotFound: there is none of that name.
            DownloadForbidden: it would have to be downloaded, and may not.
        """
        with errors.as_service_errors():
            entry = self._registry.entry(name)
        refuse_download(entry, may_download)
        if entry.state is not State.READY:
            entry.forget_failure()
            self._engine.load(entry.model.name)
        return entry

    def unload(self, name: str) -> Entry:
        """Take a model out of memory, or stop its download.

        Raises:
            ModelBusy: it is in use.
        """
        with errors.as_service_errors():
            entry = self._registry.entry(name)
        if not self._engine.unload(entry.model.name):
            raise errors.ModelBusy(f"{entry.model.name} is in use: try again later", errors.RETRY_AFTER)
        return entry

    def queued(self, entry: Entry) -> int:
        """Return how many jobs wait for a model."""
        return self._engine.queued(entry.model.name)

    def idle_in(self, entry: Entry) -> float | None:
        """Return in how many seconds a model leaves memory if nobody asks for it; None for never."""
        seconds = entry.used_at + self._settings.model_idle_seconds - time.monotonic()
        return max(seconds, 0.0) if math.isfinite(seconds) else None

    def check_ready(self) -> Entry:
        """Return the default model if it answers requests.

        Raises:
            Unavailable: it is not on the machine, or the service is shutting down.
        """
        if not self._engine.ready():
            raise errors.ShuttingDown
        entry = self.default()
        if not entry.on_machine:
            reason = f": {entry.error}" if entry.error else ""
            raise errors.Unavailable(f"{entry.model.name} is {entry.state}{reason}", errors.RETRY_AFTER)
        return entry

    def preload(self, names: Iterable[str]) -> None:
        """Start downloading and loading models, and start a decoding worker, without waiting for them."""
        self._pool.warm()
        for name in names:
            entry = self.default() if name == "auto" else self._registry.entry(name)
            self._engine.load(entry.model.name, until_loaded=True)

    def tidy(self) -> None:
        """Remove images that are too old or too many."""
        if self.store is not None:
            self.store.tidy()

    def stop_waiting(self) -> None:
        """Refuse requests that wait for downloads."""
        self._availability.close()

    def close(self) -> None:
        """End waiting jobs with an error, and refuse new ones."""
        self.stop_waiting()
        self._engine.close()
        self._pool.close()

    # The steps of a request

    def _runner(
        self, progress: ReportProgress, cancelled: IsCancelled, may_download: frozenset[str] | None
    ) -> JobRunner:
        return JobRunner(self._engine, self._settings.request_timeout, progress, cancelled, may_download)

    def _answer(self, upload: Upload, pipeline: Pipeline, runner: JobRunner) -> Answer:
        answer = self._cached(upload, pipeline)
        if answer is None:
            return self._computed(upload, pipeline, runner)
        runner.progress(Progress("queued", position=0))
        return answer

    def _cached(self, upload: Upload, pipeline: Pipeline) -> Answer | None:
        answer: Answer | None = None if upload.request.fresh else self._cache.get(upload.key(pipeline.key))
        if answer is None or answer.image is None:
            return None
        # Store the image again: it may have been removed since.
        with self._kept(upload, answer.image.format) as saved_as:
            image = replace(answer.image, saved_as=saved_as)
        return replace(answer, image=image, cached=True, timings=Timings())

    def _computed(self, upload: Upload, pipeline: Pipeline, runner: JobRunner) -> Answer:
        """Decode the file, run the pipeline, and cache its answer."""
        clock = Clock()
        options = upload.request.options
        count_to = None if options.pages is None else furthest(options.pages, self._limits.max_pages)
        # For a region, decode at full size: reduced for the whole image, the region would have too few pixels.
        side = None if options.region else pipeline.side
        documents = pipeline.reads_documents
        with open_pages(upload.data, self._limits, self._pool, documents, side, count_to) as file:
            pages = selected(file, options.pages, options.region, self._limits.max_pages)
            decoded = clock.lap()
            # A store on disk writes the image here, so that a full disk fails before the models run.
            with self._kept(upload, pages.format) as saved_as:
                answer = placed(pipeline.run(runner, pages), pages.numbers, options.region)
        page = answer.pages[0]
        answer = replace(
            answer,
            image=ImageInfo(page.width, page.height, pages.format, upload.sha256, saved_as),
            warnings=(*pages.warnings, *answer.warnings),
            timings=runner.timings(decoded),
        )
        if answer.complete:
            self._cache.put(upload.key(pipeline.key), answer, clock.started)
        return answer

    @contextmanager
    def _kept(self, upload: Upload, format: str) -> Iterator[str | None]:
        """Store the image if the block succeeds. Yield the path under which the service then serves it, or None."""
        if self.store is None or not upload.request.store:
            yield None
            return
        with self.store.keep(upload.data, upload.sha256, format) as name:
            yield f"images/{name}"
