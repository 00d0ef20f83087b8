"""`i2t doctor MODEL`: the service's text beside that of plain transformers, with the real weights, on the samples."""

from pathlib import Path

import click
from PIL import Image

import app
from app import build_service
from app.cli.exits import Exit, NoModel
from app.config import Settings, SettingsError
from app.errors import ServiceError
from app.types import Request, RequestOptions
from models import weights
from models.base import Model
from models.reference import Caption, reference


def compare(name: str) -> int:
    """Print what both say of each sample, and return whether all are the same. Both compute in float32.

    Raises:
        NoModel: the weights are not on this machine, or transformers has no such model.
        click.UsageError: there is no such model.
    """
    try:
        service = build_service(Settings.read(save_uploads=False, preload=(), precision="float32"))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    models = {entry.model.name: entry.model for entry in service.models()}
    if name not in models:
        raise click.UsageError(f"there is no model {name}; there are {', '.join(models)}")
    truth = _reference(models[name])
    different = 0
    for path in _samples():
        # A model of lines takes the whole picture for one, as transformers does.
        segment = "none" if name.startswith("trocr") or models[name].task == "read-line" else None
        try:
            answer = service.generate(Request(path.read_bytes(), options=RequestOptions(model=name, segment=segment)))
        except ServiceError as error:
            raise NoModel(error.detail) from error
        with Image.open(path) as image:
            (expected,) = truth([image.convert("RGB")])
        if answer.text.strip() == expected.strip():
            click.echo(f"same       {path.name}: {answer.text}")
        else:
            different += 1
            click.echo(f"different  {path.name}: {answer.text}\n           transformers: {expected.strip()}")
    service.close()
    return Exit.SOME_FAILED if different else Exit.DONE


def _reference(model: Model) -> Caption:
    directory = weights.find(model.source, model.files)
    if directory is None:
        raise NoModel(f"{model.name} is not on this machine: i2t models download {model.name}")
    try:
        return reference(model.model_type or model.name, directory)
    except LookupError as error:
        raise NoModel(f"transformers has nothing to compare {model.name} with") from error


def _samples() -> list[Path]:
    """Return the pictures that come with the project."""
    directory = Path(app.__file__).parents[1] / "Input"
    return sorted(path for path in directory.iterdir() if path.suffix in (".jpg", ".png"))
