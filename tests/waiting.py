"""A model that does what a job's text says, wherever its engine runs it: what it waits for and what it tells are files.

`sleep SECONDS`, `wait FILE` (until the file is there; FILE.begun says that it has begun), `raise`, `invalid`, `exit`
(the process ends), `who` (the answer is its process id), and `cut` (crops, with the middle of the image); any other
text is the answer.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.errors import InvalidJob


@dataclass(frozen=True)
class Waiting(Model):
    """Takes texts and images. `batches` gets a line for each batch; `seconds` is how long each takes."""

    batches: str = ""
    seconds: float = 0.0
    load_seconds: float = 0.0
    fails_to_load: bool = False

    task = Task.TAG
    accepts = ("text", "image")
    batch_size = 4

    def load(self, directory: Path, placement: Placement) -> Loaded:
        time.sleep(self.load_seconds)
        if self.fails_to_load:
            raise OSError("/a/secret/path is corrupt")
        return LoadedWaiting(self)


class LoadedWaiting(Loaded):
    device = "cpu"
    precision = "float32"

    def __init__(self, model: Waiting) -> None:
        self._model = model

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        if self._model.batches:
            with open(self._model.batches, "a", encoding="utf-8") as file:
                file.write("|".join(str(job.text) for job in jobs) + "\n")
        time.sleep(self._model.seconds)
        return [_obey(job) for job in jobs]


def _obey(job: Job) -> Prediction:
    what, _, argument = (job.text or "").partition(" ")
    if what == "sleep":
        time.sleep(float(argument))
    elif what == "wait":
        Path(argument + ".begun").touch()
        while not Path(argument).exists():
            time.sleep(0.01)
    elif what == "raise":
        raise RuntimeError("/a/secret/path")
    elif what == "invalid":
        raise InvalidJob("too long")
    elif what == "who":
        return Prediction(str(os.getpid()))
    elif what == "exit":
        os._exit(1)
    elif what == "cut" and job.image is not None:
        width, height = job.image.size
        middle = job.image.crop((width // 4, height // 4, width * 3 // 4, height * 3 // 4))
        return Prediction("", crops=(middle, job.image))
    return Prediction(job.text or "")


def waiting(**options: object) -> Waiting:
    """Make such a model."""
    return Waiting("waiting", Source(directory=Path(__file__).parent), **options)  # type: ignore[arg-type]


MODEL = waiting()
