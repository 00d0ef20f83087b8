"""The service with a model that does what its prompt says: `python -m tests.odd`, for what real models do too rarely.

`sleep SECONDS`, `raise`, `memory` and `memory early` (more than there is), `crash` (what `except Exception` does not
catch) and `clock SECONDS` (the clock jumps); any other prompt is the answer.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.cli.main import main
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.families import rapidocr


class Odd(Model):
    """A captioner that obeys."""

    task = Task.CAPTION
    accepts = ("image", "prompt")
    batch_size = 4

    def load(self, directory: Path, placement: Placement) -> Loaded:
        time.sleep(0.2)
        return LoadedOdd()


class Heavy(Odd):
    """One that does not fit into memory."""

    def load(self, directory: Path, placement: Placement) -> Loaded:
        np.ones(1 << 50)
        return LoadedOdd()


class Broken(Odd):
    """One that raises whatever it is asked, for clients that send no prompt."""

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedBroken()


class LoadedOdd(Loaded):
    device = "cpu"
    precision = "float32"

    def prepare(self, job: Job) -> Job:
        if job.options.prompt == "memory early":
            np.ones(1 << 50)
        return job

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return [Prediction(self._obey(job.options.prompt or "")) for job in jobs]

    def _obey(self, prompt: str) -> str:
        what, _, amount = prompt.partition(" ")
        if what == "sleep":
            time.sleep(float(amount))
        elif what == "raise":
            raise RuntimeError("/a/secret/path of 127.0.0.1")
        elif what == "memory":
            np.ones(1 << 50)
        elif what == "crash":
            # As libraries in Rust end a thread: not an Exception.
            raise SystemExit("/a/secret/path")
        elif what == "clock":
            real = time.time
            time.time = lambda: real() + float(amount)
        return prompt


class LoadedBroken(LoadedOdd):
    def _obey(self, prompt: str) -> str:
        return super()._obey("raise")


class Slow(Odd):
    """One that takes its time, for clients that send no prompt."""

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedSlow()


class LoadedSlow(LoadedOdd):
    def _obey(self, prompt: str) -> str:
        return super()._obey("sleep 1.2")


class Late(Odd):
    """One that takes its time, and raises."""

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedLate()


class LoadedLate(LoadedSlow):
    def _obey(self, prompt: str) -> str:
        super()._obey(prompt)
        return super(LoadedSlow, self)._obey("raise")


if __name__ == "__main__":
    source = Source(directory=Path(__file__).parent)
    # Among the models of a module that the registry finds.
    models = {
        "odd": Odd, "odd-too": Odd, "heavy": Heavy, "broken": Broken, "slow": Slow, "late": Late,
    }  # fmt: skip
    rapidocr.MODELS += tuple(kind(name, source) for name, kind in models.items())  # type: ignore[assignment]
    sys.exit(main(["serve"]))
