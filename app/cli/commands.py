"""`i2t caption`, `read`, `tags`, `alt` and `run`: what was asked becomes inputs, an answerer and outputs, and a run."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import click
from pydantic import ValidationError

from app.api.options import GenerateOptions, sentence_of
from app.cli import atomic, watch
from app.cli.asked import Asked
from app.cli.estimate import estimate
from app.cli.exits import Exit, NoOutput, ReaderGone
from app.cli.inputs import STDIN, Finder, Item, listed
from app.cli.journal import Journal
from app.cli.metadata import ExifTool
from app.cli.places import journal_path, outputs_for, rendered_formats
from app.cli.progress import Progress
from app.cli.running import Run, arriving, stopping
from app.cli.tasks import TASKS, Task
from app.cli.work import Answerer, Work
from app.config import SettingsError
from app.errors import ServiceError


def execute(name: str, asked: Asked) -> int:
    """Run a command and return its exit status.

    Raises:
        click.UsageError: what is asked makes no sense.
        CommandError: it cannot be done.
    """
    logging.basicConfig(level=logging.ERROR, format="i2t: %(message)s")
    if not (asked.paths or asked.files_from or asked.watch):
        raise click.UsageError("name a PATH, or say --files-from or --watch")
    task, stopped = TASKS[name], threading.Event()
    with stopping(stopped), Progress(asked.quiet) as progress:
        status = _run(task, asked, stopped, progress)
    if stopped.is_set():
        # Models may be loading or predicting, in threads that cannot be stopped.
        sys.stdout.flush()
        os._exit(status)
    return status


def _run(task: Task, asked: Asked, stopped: threading.Event, progress: Progress) -> Exit:
    with ExitStack() as stack:
        journal = _journal(asked)
        stack.callback(journal.close)
        finder = Finder(
            task.suffixes,
            asked.recursive,
            asked.include,
            asked.exclude,
            asked.follow_symlinks,
            asked.shard,
            journal.is_result,
        )
        items, several = _inputs(asked, finder, progress, stopped)
        outputs = [] if asked.dry_run else outputs_for(task, asked, journal, several)
        journal.begin()
        answerer = _answerer(task, asked, progress.note, stopped)
        stack.callback(answerer.close)
        if asked.dry_run:
            return estimate(items, answerer, journal, stopped)
        has_caption = None
        if asked.only_missing:
            exiftool = ExifTool()
            stack.callback(exiftool.close)
            has_caption = exiftool.has
        formats = rendered_formats(asked)
        work = Work(answerer, journal, outputs, task, formats, asked.retry_failed, has_caption)
        run = Run(work, answerer.parallel, outputs, journal, task, progress, stopped, asked.fail_fast, asked.limit)
        stack.callback(run.close)
        progress.begin()
        try:
            if asked.ray:
                from app.cli.clustered import Clustered
                from app.cli.local import Local

                assert isinstance(answerer, Local)
                clustered = Clustered(answerer, work, formats, asked.ray_workers, stopped)
                run.take_done(clustered.outcomes(items))
            else:
                run.take(items)
        except ReaderGone:
            stopped.set()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.DONE
        for output in outputs:
            output.finish()
        if asked.failed:
            _list_failures(Path(asked.failed), run.failures, asked.null)
        if run.left_elsewhere:
            progress.note(f"{run.left_elsewhere} are in work in another process")
        if several:
            progress.note(progress.summary())
    return _status(progress, stopped, bool(asked.watch))


def _journal(asked: Asked) -> Journal:
    path = journal_path(asked)
    if asked.dry_run:
        # Nothing is written, and none is begun.
        return Journal(path if path and path.exists() else None, reading=True)
    return Journal(path)


def _status(progress: Progress, stopped: threading.Event, watching: bool) -> Exit:
    if stopped.is_set() and not watching:
        return Exit.INTERRUPTED
    if progress.failed:
        return Exit.SOME_FAILED
    return Exit.DONE if progress.done or watching else Exit.NOTHING_TO_DO


def _inputs(
    asked: Asked, finder: Finder, progress: Progress, stopped: threading.Event
) -> tuple[Iterable[Item | None], bool]:
    """Return the inputs, and whether there may be several. Those of a pipe are taken as they come."""
    named, find = asked.paths, finder.find
    if asked.ray:
        from app.cli.objects import Objects

        find = Objects(finder).find
    if asked.files_from is None and not asked.watch:
        found = list(find(named))
        progress.found, progress.all_found = len(found), True
        return found, len(found) > 1 or any(os.path.isdir(path) for path in named)
    try:
        paths: Iterable[str] = chain(named, listed(asked.files_from, asked.null) if asked.files_from else ())
        if asked.files_from not in (None, STDIN):
            paths = [*paths]
    except OSError as error:
        raise click.UsageError(f"--files-from {asked.files_from}: {error.strerror}") from error
    items: Iterator[Item | None] = arriving(find(paths), stopped)
    if asked.watch:
        items = chain(items, watch.arrivals(asked.watch, finder, stopped))
    return items, True


def _answerer(task: Task, asked: Asked, say: Callable[[str], None], stopped: threading.Event) -> Answerer:
    given = {name: value for name, value in {**asked.options, **task.asks}.items() if value not in (None, False)}
    if asked.options.get("model"):
        given["model"] = asked.options["model"]
        if task.name == "read":
            given["task"] = "read"
    try:
        if "schema" in given:
            given["schema"] = _text_of("--schema", given["schema"])
        options = GenerateOptions(**given).to_options()
        if asked.ray and (asked.server is not None or asked.watch or STDIN in asked.paths):
            raise click.UsageError("--ray goes with files that are there: without --server, --watch and -")
        if asked.server is not None:
            from app.cli.remote import Remote

            key = None if asked.api_key is None else _text_of("--api-key", asked.api_key)
            return Remote(asked.server, key, asked.jobs, given, say, stopped)
        from app.cli.local import Local, settings_for

        settings = settings_for(asked.max_pages, asked.max_mb, asked.max_pixels)
        return Local(settings, options, say, stopped, load=not asked.ray or asked.dry_run)
    except ValidationError as error:
        sentences = (sentence_of(dict(each), GenerateOptions).partition(":") for each in error.errors())
        mistakes = (f"--{name.replace('_', '-')}:{what}" for name, _, what in sentences)
        raise click.UsageError("; ".join(mistakes)) from error
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except ServiceError as error:
        raise click.UsageError(error.detail) from error


def _text_of(option: str, given: str) -> str:
    """Return the value of an option, or the text of the file that `@FILE` names."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{option}: {given[1:]} cannot be read") from error


def _list_failures(path: Path, failures: list[str], null: bool) -> None:
    end = b"\0" if null else b"\n"
    try:
        atomic.write(path, b"".join(os.fsencode(each) + end for each in failures))
    except OSError as error:
        raise NoOutput(f"--failed: {path} cannot be written ({error.strerror})") from error
