"""The registry: every model by name, where its weights are, and the one copy of it in memory.

Adding a family means adding a module to `models/families`: each module there that has a `MODELS` tuple is found.
"""

import importlib
import json
import logging
import pkgutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from models import backends, families, weights
from models.base import (
    Loaded,
    Model,
    ModelUnavailable,
    NoRoom,
    Placement,
    Source,
    Task,
    UnknownModel,
    is_out_of_memory,
)
from models.budget import Memory

log = logging.getLogger(__name__)

CAPTIONER_ORDER = ("blip-large", "blip-base", "kosmos-2", "flickr8k-gru")
"""What `auto` means for the default model and the captioner: the first of these whose weights are on this machine. The
last comes with the project."""
TAGGER = "t5-tags"
"""The tagger of texts that `auto` means where it is on the machine."""
RESERVED = ("auto", "alt-text")
"""Names that stand for a choice or a composition of models."""
RETRY_AFTER, LONGEST_RETRY_AFTER = 30.0, 1800.0
"""Seconds in which a model that failed is not tried again: twice as long after each failure, up to the longest."""


class State(StrEnum):
    """Where a model is on its way into memory."""

    ABSENT = "absent"
    DOWNLOADING = "downloading"
    ON_DISK = "on_disk"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Entry:
    """A model, its state, and while it is loaded the one copy of it."""

    def __init__(self, model: Model, placement: Placement, memory: Memory | None = None) -> None:
        self.model = model
        self.progress: float | None = None
        self.error: str | None = None
        self._placement = placement
        self._busy: State | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._lock = threading.Lock()
        self._memory = memory or Memory()
        self._place = self._memory.place(model.name)

    @property
    def loaded(self) -> Loaded | None:
        """The model, while it is in memory."""
        return self._place.loaded

    @property
    def loaded_at(self) -> float:
        """When it was loaded last, in seconds of the monotonic clock."""
        return self._place.loaded_at

    @property
    def state(self) -> State:
        if self.loaded is not None:
            return State.READY
        if self._busy is not None:
            return self._busy
        if self.error is not None:
            return State.FAILED
        return State.ON_DISK if weights.find(self.model.source, self.model.files) else State.ABSENT

    @property
    def identity(self) -> tuple[object, ...]:
        """What a prediction depends on besides the job: the name, the weights, and in what number format they run."""
        return self.model.name, self.model.source, self._placement

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
            loaded = self.loaded
            if loaded is None:
                self.refuse_if_failed()
                try:
                    loaded = self._load()
                except NoRoom:
                    # No failure of its own: it is tried again with the next request.
                    raise
                except BaseException as error:
                    # Not only an Exception: what ends the thread would leave all that wait for the model without word.
                    self._memory.free(self._place)
                    raise self._failed(error) from error
                finally:
                    self._busy = self.progress = None
                self.forget_failure()
            return loaded

    @contextmanager
    def in_use(self) -> Iterator[Loaded]:
        """Load the model as `load` does, and keep it in memory as long as the block lasts."""
        with self._memory.using(self._place):
            yield self.load()

    def unload(self, idle: float = 0.0) -> bool:
        """Take the model out of memory if nobody has used it for so many seconds, and say whether that was done."""
        return self._memory.unload(self._place, idle)

    @property
    def used_at(self) -> float:
        """When it was used last, in seconds of the monotonic clock."""
        return self._place.used_at

    def refuse_if_failed(self) -> None:
        """Raise what the last attempt failed with, while it is too early for another."""
        if self.retry_in:
            raise ModelUnavailable(f"{self.model.name}: {self.error}", self.retry_in)

    def forget_failure(self) -> None:
        """Let the next one to ask try again at once."""
        self.error = None
        self._failures = 0

    @property
    def retry_in(self) -> float:
        """Seconds until another attempt makes sense; 0 for now."""
        return max(self._retry_at - time.monotonic(), 0.0) if self.error is not None else 0.0

    def _load(self) -> Loaded:
        path = weights.find(self.model.source, self.model.files)
        if path is None:
            self._busy, self.progress = State.DOWNLOADING, 0.0
            path = weights.download(self.model.source, self._report, self.model.files)
        self._busy, started = State.LOADING, time.monotonic()
        weights.verify(path)
        self._memory.make_room(self._place, path)
        loaded = self.model.load(path, self._placement)
        self._memory.fill(self._place, loaded)
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

    def _failed(self, error: BaseException) -> ModelUnavailable:
        known = isinstance(error, ModelUnavailable)
        why = "there is not enough memory for it" if is_out_of_memory(error) else "its weights could not be loaded"
        what = str(error) if known else why
        message = what if known else f"{what}; the log says more"
        if message != self.error:
            # Once: a hub that is away for a night is not worth a line a minute.
            reason = f" ({error.__cause__})" if known and error.__cause__ else ""
            log.warning("%s: %s%s", self.model.name, what, reason, exc_info=None if known else error)
        self._failures += 1
        wait = min(RETRY_AFTER * 2 ** min(self._failures - 1, 10), LONGEST_RETRY_AFTER)
        self.error, self._retry_at = message, time.monotonic() + wait
        return ModelUnavailable(f"{self.model.name}: {message}", wait)


class Registry:
    """All models by name. Making one imports the families' declarations, and no network library."""

    def __init__(self, known: Iterable[Model], placement: Placement, memory: Memory | None = None) -> None:
        memory = memory or Memory()
        self._entries = {model.name: Entry(model, placement, memory) for model in known}

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

    def default_captioner(self) -> Entry:
        """Return the captioner that `auto` means: the best on the machine."""
        return self.first_on_machine(CAPTIONER_ORDER) or self._entries[CAPTIONER_ORDER[-1]]

    def default_tagger(self) -> Entry | None:
        """Return the tagger of texts that `auto` means: the published one, else one that the user added."""
        return self.first_on_machine([TAGGER, *(entry.model.name for entry in self if entry.model.task is Task.TAG)])

    def default_image_tagger(self) -> Entry | None:
        """Return the model that tags images where no tagger of texts is on the machine."""
        return self.first_on_machine(entry.model.name for entry in self if entry.model.tags_images)

    def first_on_machine(self, names: Iterable[str]) -> Entry | None:
        """Return the first of `names` that can answer here and now."""
        known = (self._entries[name] for name in names if name in self._entries)
        return next((entry for entry in known if entry.on_machine), None)


def discover() -> dict[str, Model]:
    """Return the models that the modules of `models.families` declare, by name, in the modules' alphabetical order."""
    found: dict[str, Model] = {}
    for module in pkgutil.iter_modules(families.__path__):
        for model in getattr(importlib.import_module(f"models.families.{module.name}"), "MODELS", ()):
            found[model.name] = model
    return found


def with_local_paths(known: Mapping[str, Model], paths: Mapping[str, Path]) -> dict[str, Model]:
    """Return `known` with the named models read from local directories; a new name is a model of its own.

    Raises:
        ValueError: a directory is not there, or does not hold a checkpoint of a known family with its weights.
    """
    result = dict(known)
    for name, directory in paths.items():
        if name in RESERVED:
            raise ValueError(f"{name}: this name has a meaning of its own: choose another")
        source = Source(revision=None, directory=directory)
        family = _family(name, directory)
        if name in result:
            if not isinstance(result[name], family):
                raise ValueError(f"{name}: {directory} holds a {family.model_type} model, which is of another family")
            source = replace(result[name].source, directory=directory)
        if not weights.has_weights(directory):
            raise ValueError(f"{name}: {directory} has no model.safetensors or pytorch_model.bin, whole or in shards")
        result[name] = family(name, source)
    return result


def with_revisions(known: Mapping[str, Model], revisions: Mapping[str, str]) -> dict[str, Model]:
    """Return `known` with the named models taken from a commit, tag or branch of their repositories on the hub.

    Raises:
        ValueError: there is no such model, or it does not come from the hub.
    """
    result = dict(known)
    for name, revision in revisions.items():
        if name not in result or result[name].source.hub_id is None:
            raise ValueError(f"{name}: no model of that name comes from the hub")
        result[name] = replace(result[name], source=replace(result[name].source, revision=revision, fallback=None))
    return result


def _family(name: str, directory: Path) -> type[Model]:
    if not directory.is_dir():
        raise ValueError(f"{name}: {directory} is not a directory")
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        model_type = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        # What a training leaves in its own directory.
        best = f"; {directory / 'best'} has" if (directory / "best" / "config.json").is_file() else ""
        raise ValueError(f"{name}: {directory} has no config.json that names its model_type{best}") from error
    # Every class that `discover` has imported: a family need not have a checkpoint of its own.
    for family in Model.__subclasses__():
        if family.recognises(config):
            return family
    raise ValueError(f"{name}: {directory} holds a {model_type} model, which no family here can load")


def check_placement(placement: Placement) -> None:
    """Refuse a device or a number format that is not on this machine. A GPU that is asked for by name costs importing
    torch; a number format that is not for CPUs, only where there may be a GPU.

    Raises:
        ValueError: with what is there instead.
    """
    if placement.device in ("auto", "cpu") and placement.precision in ("auto", *backends.CPU_PRECISIONS):
        return
    if backends.on_openvino(placement):
        backends.check_cpu_precision(placement.precision)
    else:
        from models.backends import torch

        torch.place(placement)
