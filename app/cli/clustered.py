"""The work on many inputs by a Ray cluster: Ray Data hands files to processes that each hold the service, and the
results come back to this one, whose journal and outputs are those of every run.

A process may die: Ray gives its files to another. This one may be killed: what it had written is in the journal, and
the same command does the rest.
"""

import hashlib
import logging
import math
import os
import pickle
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import click

from app.cli import inputs, objects, records
from app.cli.formats import RENDERED
from app.cli.inputs import Item
from app.cli.local import Local
from app.cli.outputs import ItemFailed
from app.cli.work import Outcome, State, Work
from app.config import Settings
from app.types import RequestOptions

_CHUNK = 100_000
"""How many inputs are given to the cluster at a time; the processes start anew for each."""
_BLOCK = 32
"""How many inputs come back together: as many are worked on again where a run was killed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an input at a process of the cluster: its content and the answer, or the reason of a failure."""

    item: Item
    content: str = ""
    size_and_time: tuple[int, int] | None = None
    answer: str = ""
    rendered: Mapping[str, bytes] | None = None
    reason: str = ""
    lasting: bool = False


class Worker:
    """A process of the cluster, with the service and its models in memory. Ray Data makes the object."""

    def __init__(self, settings: Settings, options: RequestOptions, formats: Sequence[str], cpus: float) -> None:
        from models.backends import threads

        threads.limit(cpus)
        self._formats = formats
        self._local = Local(settings, options, lambda said: None, threading.Event())
        self._threads = ThreadPoolExecutor(self._local.parallel)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Work on a batch of pickled items, several at once; return what came of each, pickled."""
        items = [pickle.loads(each) for each in batch["item"]]
        return {"done": [pickle.dumps(done) for done in self._threads.map(self._do, *zip(*items, strict=True))]}

    def _do(self, item: Item, path: str) -> Done:
        content, size_and_time = "", None
        try:
            content, data, size_and_time = self._read(item, path)
            answer = self._local.answer(item, data)
            rendered = {name: self._local.export(answer, RENDERED[name], item, data or b"") for name in self._formats}
            return Done(item, content, size_and_time, records.packed(answer), rendered)
        except Exception as error:
            failed = ItemFailed.of(error)
            return Done(item, content, size_and_time, reason=str(failed), lasting=failed.lasting)

    def _read(self, item: Item, path: str) -> tuple[str, bytes | None, tuple[int, int] | None]:
        if item.is_url:
            return f"url:{item.path}", None, None
        if item.is_object:
            return f"url:{item.path}{item.stamp}", objects.read(item, self._local.most_bytes), None
        before = os.stat(path)
        data = inputs.read(path, self._local.most_bytes)
        return hashlib.sha256(data).hexdigest(), data, (before.st_size, before.st_mtime_ns)


class Clustered:
    """Has inputs worked on by the cluster."""

    def __init__(
        self, local: Local, work: Work, formats: Sequence[str], workers: int | None, stopped: threading.Event
    ) -> None:
        """Join the cluster.

        Raises:
            click.UsageError: Ray is not installed, or there is no cluster.
        """
        from app.engine import ray_cluster

        self._local = local
        self._work = work
        self._formats = formats
        self._stopped = stopped
        settings = local.settings
        cpus = settings.ray_cpus.get(local.model, settings.ray_cpus.get("*", 1.0))
        gpus = settings.ray_gpus.get(local.model, settings.ray_gpus.get("*", 0.0))
        self._takes = {"num_cpus": cpus, "num_gpus": gpus or None}
        try:
            ray_cluster.connect(settings.ray_address)
        except ImportError as error:
            raise click.UsageError("--ray needs Ray: pip install 'image-to-text[ray]'") from error
        except ConnectionError as error:
            raise click.UsageError(f"--ray: no cluster answers at RAY_ADDRESS {settings.ray_address}") from error
        self._workers = workers or ray_cluster.room_for(cpus, gpus)

    def outcomes(self, items: Iterable[Item | None]) -> Iterator[Outcome]:
        """Yield the outcome of each input, in whatever order, as it comes."""
        waiting = iter(items)
        while chunk := [item for item in islice(waiting, _CHUNK) if item is not None]:
            todo = []
            for item in chunk:
                if (early := self._work.early(item)) is None:
                    todo.append(item)
                else:
                    yield early
            if todo:
                yield from map(self._outcome, self._done(todo))

    def _outcome(self, done: Done) -> Outcome:
        content, key = done.content, None
        if content:
            content, key = self._work.remember(done.item, content, done.size_and_time)
        if key is None or not done.answer:
            return Outcome(done.item, State.FAILED, reason=done.reason, key=key, lasting=done.lasting)
        return self._work.done(done.item, content, key, records.unpacked(done.answer), done.rendered or {})

    def _done(self, todo: Sequence[Item]) -> Iterator[Done]:
        import ray

        # Of what it does, i2t tells itself.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        blocks = math.ceil(len(todo) / _BLOCK)
        workers = min(self._workers, blocks)
        results = ray.data.from_items(
            [{"item": pickle.dumps((item, _absolute(item)))} for item in todo], override_num_blocks=blocks
        ).map_batches(
            Worker,
            fn_constructor_args=(
                self._local.settings,
                self._local.options,
                tuple(self._formats),
                self._takes["num_cpus"],
            ),
            batch_size=_BLOCK,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            **self._takes,
        )
        for row in results.iter_rows():
            if self._stopped.is_set():
                return
            yield pickle.loads(row["done"])


def _absolute(item: Item) -> str:
    """Return where an input is for a process that runs in another directory."""
    return os.path.abspath(item.path) if item.is_file else item.path
