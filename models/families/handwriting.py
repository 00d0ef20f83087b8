"""handwriting: reads lines of handwriting with a small network that comes with the project.

It is RapidOCR's recogniser, fine-tuned on IAM and on letters of J. D. Hooker (`models/shipped/handwriting/README.md`).
The recogniser of print as it comes also reads the beginning of a line that this one is not sure of, and the whole line
if it is surer there. The surer of the two counts, so that print among handwriting is not lost.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.families.rapidocr import package_directory, pixels_of
from models.found import WHOLE_IMAGE, Line

if TYPE_CHECKING:
    from models.reading.crops import Pixels
    from models.reading.ctc import Reading

NAME = "handwriting"
PRINT_IS_SURER = 0.05
"""By how much the recogniser of print must be surer: fine-tuned on a few hands, the other is less sure of itself. With
0.03, the recogniser of print also takes lines of handwriting; with 0.1, it loses much print."""
BEGINNING = 4
"""Line heights that print reads first. With 6, little more print is found; with 3, some is lost."""


class Handwriting(Model):
    """The shipped reader of handwriting."""

    task = Task.READ_LINE
    accepts = ("image",)
    model_type = "handwriting-ctc"
    scripts = frozenset({"Latn"})
    # Of 13 pages of IAM, 7.5 to 7.8 % of the characters are wrong without a margin, 10 to 14 % with that of others.
    line_margin = 0.0

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedHandwriting(directory, placement)


class LoadedHandwriting(Loaded):
    # As RapidOCR's, on OpenVINO on the CPU whatever the placement.
    device = "cpu"

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.reading.recogniser import Recogniser

        self._hand = Recogniser(package_directory(), directory, respace=False, precision=placement.precision)
        self._print = Recogniser(package_directory(), precision=placement.precision)
        self.precision = self._hand.precision

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return [self._predict(job) for job in jobs]

    def _predict(self, job: Job) -> Prediction:
        crop = pixels_of(job)
        reading = self._hand.read(crop)
        # If this reader is nearly certain, print cannot be surer by the margin.
        if reading.confidence + PRINT_IS_SURER < 1 and self._begins_as_print(crop, reading):
            printed = self._print.read(crop)
            reading = printed if printed.confidence > reading.confidence + PRINT_IS_SURER else reading
        text, confidence = reading.text, reading.confidence
        lines = (Line(text, confidence, WHOLE_IMAGE),) if text else ()
        return Prediction(text, confidence=confidence, lines=lines)

    def _begins_as_print(self, crop: "Pixels", reading: "Reading") -> bool:
        """Return whether the recogniser of print is surer of the beginning of a line; of a short line, always. Most
        lines of handwriting are thus spared a second reading."""
        height, width = crop.shape[:2]
        beginning = BEGINNING * height
        if width <= beginning:
            return True
        printed = self._print.read(crop[:, :beginning])
        return printed.confidence > reading.part(0, beginning / width).confidence


_DIRECTORY = Path(__file__).parents[1] / "shipped" / NAME

MODELS = (
    Handwriting(
        NAME,
        Source(
            directory=_DIRECTORY,
            license="Apache-2.0; trained on IAM, for non-commercial research, and on letters under CC BY-SA 4.0",
            size_bytes=6_500_000,
        ),
    ),
)
