"""`i2t models`: which there are, where they lie, and how they come and go."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import click

from app.cli.exits import CommandError, Exit, NoModel
from app.cli.progress import Progress
from app.config import Settings, SettingsError
from models import downloads, weights
from models.base import Model
from models.discovery import discover, with_local_paths, with_revisions
from models.errors import ModelUnavailable


def show_all() -> int:
    """Print a table of all models."""
    known = _known()
    width = max(map(len, known))
    for name, model in known.items():
        directory = weights.find(model.source, model.files)
        here = "here" if directory else "absent"
        click.echo(f"{name:{width}}  {model.task:16}  {here:6}  {_size(model, directory):>8}  {_license(model)}")
    return Exit.DONE


def show(name: str) -> int:
    """Print what is known of one model."""
    model = _model(name)
    directory = weights.find(model.source, model.files)
    facts = {
        "name": model.name,
        "task": ", ".join(model.tasks),
        "takes": ", ".join(model.accepts),
        "options": ", ".join(sorted(model.options)) or "none",
        "licence": _license(model),
        "repository": model.source.hub_id or "comes with the project, or from a directory",
        "revision": model.source.revision or "none",
        "size": _size(model, directory),
        "lies in": str(directory or "nowhere yet: i2t models download " + name),
    }
    for fact, value in facts.items():
        click.echo(f"{fact:10}  {value}")
    return Exit.DONE


def download(name: str) -> int:
    """Download a model, or complete it.

    Raises:
        NoModel: the hub cannot be reached, or does not have it.
    """
    model = _model(name)
    if weights.find(model.source, model.files):
        click.echo(f"{name} is here already", err=True)
        return Exit.NOTHING_TO_DO
    fraction, failed = [0.0], []

    def fetch() -> None:
        try:
            downloads.download(model.source, lambda done: fraction.__setitem__(0, done), model.files)
        except ModelUnavailable as error:
            failed.append(error)

    # A daemon, so that Ctrl-C ends the command: the next one goes on from there.
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    with Progress() as progress:
        said = 0.0
        while thread.is_alive():
            thread.join(0.2)
            if time.monotonic() > said + 5:
                said = time.monotonic()
                progress.say(f"{name}: {fraction[0]:.0%} of {_size(model, None)}")
    if failed:
        raise NoModel(f"{name}: {failed[0]}") from failed[0]
    click.echo(str(weights.find(model.source, model.files)))
    return Exit.DONE


def remove(name: str) -> int:
    """Remove a model's files from the hub's cache.

    Raises:
        CommandError: they are not there, or not the hub's.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    model = _model(name)
    if model.source.hub_id is None or model.source.directory is not None:
        raise CommandError(f"{name} does not come from the hub: remove its directory by hand, and from MODEL_PATHS")
    try:
        cache = scan_cache_dir()
    except CacheNotFound as error:
        raise CommandError(f"{name} is not on this machine") from error
    revisions = [
        revision.commit_hash
        for repository in cache.repos
        if repository.repo_id == model.source.hub_id
        for revision in repository.revisions
    ]
    if not revisions:
        raise CommandError(f"{name} is not on this machine")
    strategy = cache.delete_revisions(*revisions)
    strategy.execute()
    click.echo(f"{strategy.expected_freed_size_str} freed", err=True)
    return Exit.DONE


def _known() -> Mapping[str, Model]:
    try:
        settings = Settings.read()
        return with_revisions(with_local_paths(discover(), settings.model_paths), settings.model_revisions)
    except (SettingsError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _model(name: str) -> Model:
    known = _known()
    if name not in known:
        raise click.UsageError(f"there is no model {name}; there are {', '.join(known)}")
    return known[name]


def _license(model: Model) -> str:
    return model.source.license or "unknown licence"


def _size(model: Model, directory: Path | None) -> str:
    size = weights.size(directory) if directory else model.source.size_bytes
    return f"{size / 1e6:.0f} MB" if size else "-"
