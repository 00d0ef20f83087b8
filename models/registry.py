"""The registry: all models by name, with their states and the one copy of each in memory."""

import logging
import threading
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from models import downloads, weights
from models.base import Loaded, Model, Placement, Task
from models.budget import MemoryBudget
from models.errors import BudgetExhausted, ModelUnavailable, UnknownModel, is_out_of_memory
from models.roles import CAPTIONER_ORDER, TAGGER

log = logging.getLogger(__name__)

RETRY_AFTER, LONGEST_RETRY_AFTER = 30.0, 1800.0
"""Seconds until a model that failed is tried again: they double with each failure, up to the longest."""


class State(StrEnum):
    """The state of a model between the hub and memory."""

    ABSENT = "absent"
    DOWNLOADING = "downloading"
    ON_DISK = "on_disk"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Entry:
    """A model, its state, and its one copy in memory while it is loaded."""

    def __init__(self, model: Model, placement: Placement, budget: MemoryBudget | None = None) -> None:
        self.model = model
        self.progress: float | None = None
        self.error: str | None = None
        self.load_seconds: float | None = None
        """How long it took to load last, downloads not counted."""
        self._placement = placement
        self._busy: State | None = None
        self._elsewhere: tuple[State, float] | None = None
        self._stopped = False
        self._downloaded = False
        self._weights: Hashable = None
        """Which weights are in memory, or were found when it was asked first."""
        self._failures = 0
        self._retry_at = 0.0
        self._lock = threading.Lock()
        self._budget = budget or MemoryBudget()
        self._share = self._budget.add(model.name)

    @property
    def loaded(self) -> Loaded | None:
        """The model if it is in memory."""
        return self._share.loaded

    @property
    def loaded_at(self) -> float:
        """When it was loaded last, in seconds of the monotonic clock."""
        return self._share.loaded_at if self._elsewhere is None else self._elsewhere[1]

    @property
    def size(self) -> int:
        """Bytes of its weights, as on disk, while it is in memory; else 0."""
        return self._share.size

    @property
    def state(self) -> State:
        if self._elsewhere is not None:
            return self._elsewhere[0]
        if self.loaded is not None:
            return State.READY
        if self._busy is not None:
            return self._busy
        if self.error is not None:
            return State.FAILED
        return State.ON_DISK if self.has_weights else State.ABSENT

    def note_elsewhere(self, state: State | None, error: str | None = None) -> None:
        """Take note that the model is loaded in other processes, and in which state it is there; None for no more."""
        loaded_at = time.monotonic() if state is State.READY else 0.0
        self.error = error
        self._elsewhere = None if state is None else (state, loaded_at)

    @property
    def has_weights(self) -> bool:
        """True if the model can be loaded without a download."""
        return weights.find(self.model.source, self.model.files) is not None

    @property
    def identity(self) -> tuple[object, ...]:
        """All that a prediction depends on besides the job: the name, the weights and the placement."""
        if self._weights is None:
            self._weights = weights.identity(self.model.source)
        return self.model.name, self._weights, self._placement

    @property
    def on_machine(self) -> bool:
        """True if the model is in memory, or can be loaded without a download."""
        return self.state in (State.ON_DISK, State.LOADING, State.READY)

    @property
    def is_new(self) -> bool:
        """True for a model that this process has downloaded, until it was loaded once."""
        return self._downloaded and not self.loaded_at

    def load(self) -> Loaded:
        """Return the model in memory. If it is not there, download and load it first, once for all callers.

        Raises:
            ModelUnavailable: it cannot be loaded, or it failed and is not tried again yet.
        """
        with self._lock:
            loaded = self.loaded
            if loaded is None:
                self.refuse_if_failed()
                try:
                    loaded = self._load()
                except BudgetExhausted:
                    # The model has not failed, so the next request tries again.
                    raise
                except BaseException as error:
                    # BaseException, because one that is no Exception would otherwise end the thread, and waiting jobs
                    # would get no answer.
                    self._budget.release(self._share)
                    if self._stopped:
                        raise ModelUnavailable(f"{self.model.name}: its download was stopped") from error
                    raise self._failed(error) from error
                finally:
                    self._busy = self.progress = None
                self.forget_failure()
            return loaded

    @contextmanager
    def in_use(self) -> Iterator[Loaded]:
        """Load the model as `load` does, and keep it in memory while the block runs."""
        with self._budget.in_use(self._share):
            yield self.load()

    def unload(self, idle: float = 0.0) -> bool:
        """Unload the model if nobody has used it for `idle` seconds. Return whether it was unloaded."""
        return self._budget.unload(self._share, idle)

    def stop_download(self) -> bool:
        """Stop the current download, which the next one resumes. Return whether there was one."""
        self._stopped = self._busy is State.DOWNLOADING
        return self._stopped

    @property
    def used_at(self) -> float:
        """When it was used last, in seconds of the monotonic clock."""
        return self._share.used_at

    def refuse_if_failed(self) -> None:
        """Raise the error of the last attempt to load while it is too early for another."""
        if self.retry_in:
            raise ModelUnavailable(f"{self.model.name}: {self.error}", self.retry_in)

    def forget_failure(self) -> None:
        """Allow another attempt at once."""
        self.error = None
        self._failures = 0

    @property
    def retry_in(self) -> float:
        """Seconds until the next attempt; 0 for now."""
        return max(self._retry_at - time.monotonic(), 0.0) if self.error is not None else 0.0

    def _load(self) -> Loaded:
        self._stopped = False
        path = weights.find(self.model.source, self.model.files)
        if path is None:
            self._busy, self.progress = State.DOWNLOADING, 0.0
            path = downloads.download(self.model.source, self._report, self.model.files)
            self._downloaded = True
        self._busy, started = State.LOADING, time.monotonic()
        weights.verify(path)
        self._weights = weights.identity(self.model.source)
        self._budget.reserve(self._share, path)
        loaded = self.model.load(path, self._placement)
        self._budget.set_loaded(self._share, loaded)
        self.load_seconds = time.monotonic() - started
        log.info(
            "%s: loaded in %.1f s on %s in %s",
            self.model.name,
            self.load_seconds,
            loaded.device,
            loaded.precision,
        )
        return loaded

    def _report(self, fraction: float) -> None:
        if self._stopped:
            # The hub's client has no other way to be stopped.
            raise InterruptedError("the download was stopped")
        self.progress = fraction

    def _failed(self, error: BaseException) -> ModelUnavailable:
        known = isinstance(error, ModelUnavailable)
        why = "there is not enough memory for it" if is_out_of_memory(error) else "its weights could not be loaded"
        what = str(error) if known else why
        message = what if known else f"{what}; the log says more"
        if message != self.error:
            # Log each message once: a hub may be unreachable for a night.
            reason = f" ({error.__cause__})" if known and error.__cause__ else ""
            log.warning("%s: %s%s", self.model.name, what, reason, exc_info=None if known else error)
        self._failures += 1
        wait = min(RETRY_AFTER * 2 ** min(self._failures - 1, 10), LONGEST_RETRY_AFTER)
        if isinstance(error, ModelUnavailable):
            # The hub may ask for a longer one.
            wait = max(wait, error.retry_after)
        self.error, self._retry_at = message, time.monotonic() + wait
        return ModelUnavailable(f"{self.model.name}: {message}", wait)


class Registry:
    """All models by name, in one memory budget."""

    def __init__(self, known: Iterable[Model], placement: Placement, budget: MemoryBudget | None = None) -> None:
        budget = budget or MemoryBudget()
        self._entries = {model.name: Entry(model, placement, budget) for model in known}
        self._aliases = {alias: entry.model.name for entry in self for alias in entry.model.aliases}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def entry(self, name: str) -> Entry:
        """Return the entry of that name, or of that former name.

        Raises:
            UnknownModel: there is none.
        """
        try:
            return self._entries[self._aliases.get(name, name)]
        except KeyError:
            raise UnknownModel(f"there is no model {name!r}; known: {', '.join(self._entries)}") from None

    def default_captioner(self) -> Entry:
        """Return the captioner that `auto` means. One that this process downloaded counts once it is loaded, which may
        take a minute."""
        settled = [name for name in CAPTIONER_ORDER if name in self._entries and not self._entries[name].is_new]
        found = self.first_on_machine(settled) or self.first_on_machine(CAPTIONER_ORDER)
        return found or self._entries[CAPTIONER_ORDER[-1]]

    def default_tagger(self) -> Entry | None:
        """Return the tagger of texts that `auto` means: TAGGER, else one that the user added, else None."""
        return self.first_on_machine([TAGGER, *(entry.model.name for entry in self if entry.model.task is Task.TAG)])

    def default_image_tagger(self) -> Entry | None:
        """Return the first model on this machine that tags images."""
        return self.first_on_machine(entry.model.name for entry in self if entry.model.tags_images)

    def first_on_machine(self, names: Iterable[str]) -> Entry | None:
        """Return the first of `names` whose weights are on this machine."""
        known = (self._entries[name] for name in names if name in self._entries)
        return next((entry for entry in known if entry.on_machine), None)
