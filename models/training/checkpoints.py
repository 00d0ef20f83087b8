"""Files that a training leaves: the state to resume from, and models to serve."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import Vocabulary

STATE = "state.pt"


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Write the state of a training; whoever is killed meanwhile leaves the one before."""
    new = directory / f"{STATE}.new"
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / STATE)


def load_state(directory: Path) -> dict[str, Any] | None:
    """Read the state that a training was in when it was last saved; None when it was killed before that."""
    file = directory / STATE
    # Tensors and numbers only: no code from the file is run.
    return torch.load(file, weights_only=True, map_location="cpu") if file.is_file() else None


def export(network: RecurrentCaptioner, vocabulary: Vocabulary, directory: Path) -> None:
    """Write a model that the registry can serve: its weights in half precision, its configuration, its words."""
    new = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    copy.deepcopy(network).to("cpu", torch.float16).save_pretrained(new)  # type: ignore[arg-type]
    vocabulary.save(new)
    shutil.rmtree(directory, ignore_errors=True)
    new.rename(directory)
