"""A model that says nothing of any image: what is left is the time for all the rest."""

from collections.abc import Sequence
from pathlib import Path

from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task


class Nothing(Model):
    """Takes an image, and says the same of each."""

    task = Task.CAPTION
    accepts = ("image",)

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedNothing()


class LoadedNothing(Loaded):
    device = "cpu"
    precision = "float32"

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return [Prediction("nothing") for _ in jobs]


MODELS = (Nothing("nothing", Source(directory=Path(__file__).parent)),)
