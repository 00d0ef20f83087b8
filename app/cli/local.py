"""Answers from the service in this process: its own pipelines, engine and limits, without HTTP."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

from app import build_service
from app.cli.exits import NoModel
from app.cli.inputs import Item
from app.cli.outputs import ItemFailed
from app.config import Settings
from app.errors import ClientGone, ServiceError
from app.pipelines import Pipeline
from app.service import Service
from app.types import Answer, Request, RequestOptions
from models.backends.threads import cores
from models.base import Placement
from models.errors import ModelError
from models.registry import Entry

_ATTEMPTS = 20
_LONGEST_PAUSE = 5.0
_FOREVER = 10.0 * 365 * 86_400
NO_LIMIT = 1_000_000_000


class Local:
    """The service in this process. Its models are loaded once, before the first input."""

    def __init__(
        self,
        settings: Settings,
        options: RequestOptions,
        say: Callable[[str], None],
        stopped: threading.Event,
        load: bool = True,
    ) -> None:
        """Args:
        settings: of `settings_for`.
        options: what is asked of each input.
        say: is told what takes long.
        stopped: set when nobody wants answers any more.
        load: False where others answer, with the same settings.

        Raises:
            SettingsError: the service cannot be built.
            ServiceError: the options ask for what there is not.
            NoModel: a model cannot be had.
        """
        self.settings = settings
        self.options = options
        self._stopped = stopped
        self._service: Service = build_service(settings)
        pipeline, tagger = self._service.plan(options)
        self.identity = _identity(pipeline, tagger, options)
        self.most_bytes = settings.max_upload_bytes
        batch = max(entry.model.batch_size for entry in pipeline.entries)
        # Two batches, so that one gathers while another runs, and some that are being decoded.
        self.parallel = cores() + 2 * batch
        self.model = pipeline.entries[0].model.name
        for entry in dict.fromkeys((*pipeline.entries, *((tagger,) if tagger else ()))) if load else ():
            _load(entry, say, stopped)

    def answer(self, item: Item, data: bytes | None) -> Answer:
        """Answer one input: its bytes, or None for those at its URL.

        Raises:
            ItemFailed: the input is refused.
        """
        request = Request(data, None if data is not None else item.path, self.options)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._service.generate(request, cancelled=self._stopped.is_set)
            except ClientGone:
                raise ItemFailed("interrupted") from None
            except ServiceError as error:
                busy = error.retry_after is not None and error.status in (429, 503)
                if not busy or attempt == _ATTEMPTS or self._stopped.is_set():
                    raise ItemFailed(error.detail, lasting=error.status < 500 and error.status != 429) from error
                self._stopped.wait(min(error.retry_after or 0, _LONGEST_PAUSE))
        raise AssertionError("the last attempt returns or raises")

    def export(self, answer: Answer, format: str, item: Item, data: bytes) -> bytes:
        """Render an answer in a format of EXPORTS.

        Raises:
            ItemFailed: the file cannot be decoded for it.
        """
        try:
            return self._service.export(answer, format, data)
        except ServiceError as error:
            raise ItemFailed(error.detail) from error

    def close(self) -> None:
        """End the models and what decodes."""
        self._service.close()


def settings_for(max_pages: int | None, max_megabytes: float | None, max_pixels: int | None) -> Settings:
    """Return the settings of the service for somebody's own files: those of the environment, without what protects it
    from strangers, and with limits where they are given.

    Raises:
        SettingsError: a setting of the environment makes no sense.
    """
    limits = {"max_upload_mb": max_megabytes, "max_image_pixels": max_pixels}
    return Settings.read(
        save_uploads=False,
        engine="local",
        result_cache="memory",
        preload=(),
        result_cache_mb=0,
        queue_size=NO_LIMIT,
        request_timeout=_FOREVER,
        model_idle_minutes=0,
        max_pages=max_pages or NO_LIMIT,
        **{name: value for name, value in limits.items() if value is not None},
    )


def _load(entry: Entry, say: Callable[[str], None], stopped: threading.Event) -> None:
    """Download and load a model.

    Raises:
        NoModel: it cannot be had.
    """
    name, failed = entry.model.name, []

    def load() -> None:
        try:
            entry.load()
        except ModelError as error:
            failed.append(error)

    thread = threading.Thread(target=load, name=f"load-{name}", daemon=True)
    thread.start()
    begun = said = time.monotonic()
    while thread.is_alive() and not stopped.is_set():
        thread.join(0.1)
        if entry.progress is not None and time.monotonic() > said + 2:
            said = time.monotonic()
            say(f"{name}: {entry.progress:.0%} downloaded")
    if failed:
        raise NoModel(str(failed[0])) from failed[0]
    if (seconds := time.monotonic() - begun) > 10:
        say(f"{name}: loaded in {seconds:.0f} s")


def _identity(pipeline: Pipeline, tagger: Entry | None, options: RequestOptions) -> str:
    asked = (options.tags, options.pages, options.region)
    return repr(_stable((pipeline.key, tagger and tagger.identity, asked)))


def _stable(value: Any) -> Any:
    """Return what a value stands for in all processes and on all machines."""
    if isinstance(value, Placement):
        return value.device, value.precision, value.runtime
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: given for name, given in dataclasses.asdict(value).items() if given}
    return tuple(map(_stable, value)) if isinstance(value, tuple) else value
