"""The registry: every model by name, where its weights are, and the one copy of it in memory.

Adding a family means adding a module beside this one: whatever module of this package has a `MODELS` tuple is found.
"""

import importlib
import json
import logging
import pkgutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import models
from models import hub
from models.base import Loaded, Model, ModelUnavailable, Placement, Source, UnknownModel

log = logging.getLogger(__name__)

DEFAULT_ORDER = ("blip-large", "blip-base", "kosmos-2", "rapidocr")
"""What `auto` means for the default model: the first of these whose weights are on this machine."""
TAGGER_ORDER = ("t5-tags",)
"""What `auto` means for the tagger."""
RETRY_LOAD_AFTER = 30.0
"""Seconds in which a model that failed to load is not tried again."""


class State(StrEnum):
    """Where a model is on its way into memory."""

    ABSENT = "absent"
    DOWNLOADING = "downloading"
    ON_DISK = "on_disk"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Entry:
    """A model, its state, and once it is loaded the one copy of it."""

    def __init__(self, model: Model, placement: Placement) -> None:
        self.model = model
        self.loaded: Loaded | None = None
        self.progress: float | None = None
        self.error: str | None = None
        self._placement = placement
        self._busy: State | None = None
        self._retry_at = 0.0
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        if self.loaded is not None:
            return State.READY
        if self._busy is not None:
            return self._busy
        if self.error is not None:
            return State.FAILED
        return State.ON_DISK if hub.find(self.model.source) else State.ABSENT

    @property
    def on_machine(self) -> bool:
        """True when a job can be answered, or will be as soon as the model is in memory."""
        return self.state in (State.ON_DISK, State.LOADING, State.READY)

    def load(self) -> Loaded:
        """Return the model in memory; download and load it first where that is still to do, once for all callers.

        Raises:
            ModelUnavailable: it cannot be had, or failed a moment ago and is not tried again yet.
        """
        with self._lock:
            if self.loaded is None:
                self.refuse_if_failed()
                try:
                    self.loaded = self._load()
                except Exception as error:
                    raise self._failed(error) from error
                finally:
                    self._busy = self.progress = None
                self.error = None
            return self.loaded

    def refuse_if_failed(self) -> None:
        """Raise what the last attempt failed with, while it is too early for another."""
        wait = self._retry_at - time.monotonic()
        if self.error is not None and wait > 0:
            raise ModelUnavailable(f"{self.model.name}: {self.error}", wait)

    def retry_now(self) -> None:
        """Forget a failure, because someone asks to try again."""
        self._retry_at = 0.0

    def _load(self) -> Loaded:
        path = hub.find(self.model.source)
        # After a failure the files are compared with the hub's again, which mends a set that is incomplete.
        if path is None or (self.error is not None and self.model.source.directory is None):
            self._busy, self.progress = State.DOWNLOADING, 0.0
            log.info("%s: downloading %s", self.model.name, self.model.source.hub_id)
            path = hub.download(self.model.source, self._report)
        self._busy, started = State.LOADING, time.monotonic()
        loaded = self.model.load(path, self._placement)
        log.info(
            "%s: loaded in %.1f s on %s in %s",
            self.model.name,
            time.monotonic() - started,
            loaded.device,
            loaded.precision,
        )
        return loaded

    def _report(self, fraction: float) -> None:
        self.progress = fraction

    def _failed(self, error: Exception) -> ModelUnavailable:
        if isinstance(error, ModelUnavailable):
            self.error, wait = str(error), error.retry_after
            log.warning("%s: %s", self.model.name, error)
        else:
            self.error, wait = "its weights could not be loaded; the log says why", RETRY_LOAD_AFTER
            log.error("%s: loading failed", self.model.name, exc_info=error)
        self._retry_at = time.monotonic() + wait
        return ModelUnavailable(f"{self.model.name}: {self.error}", wait)


class Registry:
    """All models by name. Making one imports the families' declarations, and no network library."""

    def __init__(self, known: Iterable[Model], placement: Placement) -> None:
        self._entries = {model.name: Entry(model, placement) for model in known}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def entry(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises:
            UnknownModel: there is none.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownModel(f"there is no model {name!r}; known: {', '.join(self._entries)}") from None

    def first_on_machine(self, names: Iterable[str]) -> Entry | None:
        """Return the first of `names` that can answer here and now."""
        known = (self._entries[name] for name in names if name in self._entries)
        return next((entry for entry in known if entry.on_machine), None)


def discover() -> dict[str, Model]:
    """Return the models that the modules of this package declare, by name, in alphabetical order of the modules."""
    found: dict[str, Model] = {}
    for module in pkgutil.iter_modules(models.__path__):
        if not module.ispkg:
            for model in getattr(importlib.import_module(f"models.{module.name}"), "MODELS", ()):
                found[model.name] = model
    return found


def with_local_paths(known: Mapping[str, Model], paths: Mapping[str, Path]) -> dict[str, Model]:
    """Return `known` with the named models read from local directories; a new name is a model of its own.

    Raises:
        ValueError: a directory is not there, or does not hold a checkpoint of a known family.
    """
    result = dict(known)
    for name, directory in paths.items():
        source = Source(revision=None, directory=directory)
        family = _family(name, directory, {type(model) for model in known.values()})
        if name in result:
            if not isinstance(result[name], family):
                raise ValueError(f"{name}: {directory} holds a {family.model_type} model, which is of another family")
            source = replace(result[name].source, directory=directory)
        result[name] = family(name, source)
    return result


def _family(name: str, directory: Path, families: Iterable[type[Model]]) -> type[Model]:
    try:
        model_type = json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name}: {directory} has no config.json that names its model_type") from error
    for family in families:
        if family.model_type == model_type:
            return family
    raise ValueError(f"{name}: {directory} holds a {model_type} model, which no family here can load")


def check_placement(placement: Placement) -> None:
    """Refuse a device that is not on this machine. Only a GPU that is asked for by name costs importing torch.

    Raises:
        ValueError: with what is there instead.
    """
    if placement.device not in ("auto", "cpu"):
        from models.runtime import torch as runtime

        runtime.place(placement)
