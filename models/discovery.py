"""Which models there are: those that the families declare, and those that users name.

Each module of `models/families` with a `MODELS` tuple adds its models, so that a new family is a new module.
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import families, weights
from models.base import Model, Source

RESERVED = ("auto", "alt-text")
"""Names that are not names of models: `auto` chooses one, and `alt-text` combines two."""


def discover() -> dict[str, Model]:
    """Return the models of all families by name, in alphabetical order of the modules. Imports no network library."""
    found: dict[str, Model] = {}
    for module in pkgutil.iter_modules(families.__path__):
        for model in getattr(importlib.import_module(f"models.families.{module.name}"), "MODELS", ()):
            found[model.name] = model
    return found


def with_local_paths(known: Mapping[str, Model], paths: Mapping[str, Path]) -> dict[str, Model]:
    """Return `known` with the named models read from local directories. A new name adds a model.

    Raises:
        ValueError: a directory is missing, or is not a whole checkpoint of a known family.
    """
    result = dict(known)
    present = {alias: model.name for model in known.values() for alias in model.aliases}
    for given, directory in paths.items():
        name = present.get(given, given)
        if name in RESERVED:
            raise ValueError(f"{name}: this name is reserved: choose another")
        source = Source(revision=None, directory=directory)
        family, config = _family(name, directory)
        if name in result:
            if not isinstance(result[name], family):
                raise ValueError(
                    f"{name}: {directory} holds a {config['model_type']} model, which is of another family"
                )
            source = replace(result[name].source, directory=directory)
        if not weights.has_weights(directory):
            raise ValueError(f"{name}: {directory} has no model.safetensors or pytorch_model.bin, whole or in shards")
        result[name] = (
            replace(result[name], source=source) if name in result else family.of_checkpoint(name, source, config)
        )
    return result


def with_revisions(known: Mapping[str, Model], revisions: Mapping[str, str]) -> dict[str, Model]:
    """Return `known` with the named models at a commit, tag or branch of their repositories on the hub.

    Raises:
        ValueError: no model has the name, or it does not come from the hub.
    """
    result = dict(known)
    for name, revision in revisions.items():
        if name not in result or result[name].source.hub_id is None:
            raise ValueError(f"{name}: no model of that name comes from the hub")
        result[name] = replace(result[name], source=replace(result[name].source, revision=revision, fallback=None))
    return result


def _family(name: str, directory: Path) -> tuple[type[Model], Mapping[str, Any]]:
    """Return the family of a checkpoint, and its `config.json`."""
    if not directory.is_dir():
        raise ValueError(f"{name}: {directory} is not a directory")
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        model_type = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        # A training writes its best checkpoint into this folder.
        best = f"; {directory / 'best'} has" if (directory / "best" / "config.json").is_file() else ""
        raise ValueError(f"{name}: {directory} has no config.json that names its model_type{best}") from error
    # The families of one architecture come before those that take whatever transformers loads.
    for family in sorted(_families(Model), key=lambda family: family.model_type is None):
        if family.recognises(config):
            return family, config
    raise ValueError(f"{name}: {directory} holds a {model_type} model, which no family here can load")


def _families(base: type[Any]) -> Iterator[type[Model]]:
    """Yield all subclasses that `discover` has imported, including those of families. A family comes after its own
    subclasses, because they are more specific."""
    for family in base.__subclasses__():
        yield from _families(family)
        yield family
