"""Files that a training leaves: the state to resume from, and models to serve."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import Vocabulary
from models.training.record import LOG
from models.training.settings import TrainingError

STATE = "state.pt"
BEST, LAST = "best", "last"


def holds_run(directory: Path) -> bool:
    """Return whether the directory contains the state, the models or the log of a run."""
    return any((directory / name).exists() for name in (STATE, BEST, LAST, LOG))


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Write the state of a training. If the process is killed meanwhile, the previous state stays."""
    new = directory / f"{STATE}.new"
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / STATE)


def load_state(directory: Path) -> dict[str, Any] | None:
    """Read the state that a training was in when it was last saved; None when it was killed before that.

    Raises:
        TrainingError: the file is damaged, or missing although the training has left others.
    """
    file = directory / STATE
    if not file.is_file():
        if holds_run(directory):
            raise TrainingError(f"{file} is missing, so the run cannot be resumed: use another --out for a new run")
        return None
    try:
        # Tensors and numbers only: no code from the file is run.
        state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:
        # What torch raises depends on where the file was cut off.
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"{file} cannot be read, another --out starts anew: {reason}") from error
    return state


def export(network: RecurrentCaptioner, vocabulary: Vocabulary, directory: Path) -> None:
    """Write a model that the registry can serve: its weights in half precision, its configuration, its words."""
    new = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    copy.deepcopy(network).to("cpu", torch.float16).save_pretrained(new)  # type: ignore[arg-type]
    vocabulary.save(new)
    for file in new.iterdir():
        # Safetensors are written for their owner alone, whatever the umask says.
        shutil.copymode(new / "config.json", file)
    shutil.rmtree(directory, ignore_errors=True)
    new.rename(directory)
