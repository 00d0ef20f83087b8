"""RapidOCR: reads pages of print, and handwriting less well, with networks that come inside its package.

PP-OCR's detector and recogniser (Cui et al., https://arxiv.org/abs/2507.05595 and its successors) as packaged by
https://github.com/RapidAI/RapidOCR, on OpenVINO. `rapidocr` reads a page; what it is not sure of it reads again, with
weights for small print that come with the project (`models/shipped/print/README.md`). `rapidocr-lines` cuts a page into
lines for a model that reads only one.
"""

import importlib.util
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.backends import allocator
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.found import Checkbox, Line, Part, Polygon
from models.languages import LATIN_AND_HAN

if TYPE_CHECKING:
    from models.reading import reader
    from models.reading.crops import Floats, Pixels


class RapidOCR(Model):
    """The OCR engine for whole pages."""

    task = Task.READ_PAGE
    accepts = ("image",)
    options = frozenset({"layout", "language"})
    scripts = LATIN_AND_HAN
    # Pages are read one after the other. In a batch, all would wait for the last.
    batch_size = 1

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRapidOCR(directory, placement)


class RapidOCRLines(Model):
    """Cuts a page into lines, in reading order."""

    task = Task.SEGMENT
    accepts = ("image",)
    options = frozenset({"segment", "layout"})
    batch_size = 1

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRapidOCRLines(directory, placement)


class _OnOpenVINO(Loaded):
    # Whatever the placement, these small networks run on OpenVINO on the CPU, which is fast enough.
    device = "cpu"

    def __init__(self, directory: Path, placement: Placement) -> None:
        from models.reading.reader import PageReader

        self._reader = PageReader(directory, placement.precision)
        self.precision = self._reader.precision

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        predictions = [self._predict(job) for job in jobs]
        # What a page frees lies in pieces into which the next one seldom fits: 200 MB after some pages.
        allocator.trim()
        return predictions

    @abstractmethod
    def _predict(self, job: Job) -> Prediction:
        """Do one job."""


class LoadedRapidOCR(_OnOpenVINO):
    def _predict(self, job: Job) -> Prediction:
        """Read a page. Of text in a script that the recogniser does not know, only the script is told."""
        from models.reading.layout import layout_of

        sheet = self._reader.lay_out(pixels_of(job))
        if sheet.script is not None and job.options.language is None:
            return Prediction("", lines=(), script=sheet.script)
        return Prediction.of_lines([_line(line) for line in self._reader.read_sheet(sheet, layout_of(job.options))])


class LoadedRapidOCRLines(_OnOpenVINO):
    def _predict(self, job: Job) -> Prediction:
        """Return the lines of a page without their text, and a crop of each."""
        from PIL import Image

        from models.reading.crops import cut
        from models.reading.layout import layout_of

        sheet = self._reader.lay_out(pixels_of(job), may_be_one_line=job.options.segment != "lines")
        found = sheet.lines(layout_of(job.options, "columns"))
        lines = tuple(Line("", 0.0, _polygon(sheet.fractions(line.polygon)), line.paragraph) for line in found)
        crops = (cut(sheet.image, line.polygon, job.options.line_margin) for line in found)
        images = tuple(Image.fromarray(crop[:, :, ::-1].copy()) for crop in crops)
        return Prediction("", lines=lines, crops=images, script=sheet.script)


def _line(line: "reader.Line") -> Line:
    """Return a line of the reader's as the service knows it. A line of one part needs no parts, but for a table's."""
    parts = tuple(Part(part.text, part.confidence, _polygon(part.polygon), part.column) for part in line.parts)
    kept = parts if len(parts) > 1 or line.is_row else ()
    boxes = tuple(
        Checkbox("selected" if ticked else "unselected", _polygon(polygon)) for ticked, polygon in line.checkboxes
    )
    return Line(line.text, line.confidence, _polygon(line.polygon), line.paragraph, kept, line.is_row, boxes)


def pixels_of(job: Job) -> "Pixels":
    """Return a job's image as (height, width, 3) in OpenCV's order of channels, as in the networks' training."""
    import numpy as np

    assert job.image is not None
    return np.ascontiguousarray(np.asarray(job.image)[:, :, ::-1])


def _polygon(points: "Floats") -> Polygon:
    a, b, c, d = ((min(max(float(x), 0.0), 1.0), min(max(float(y), 0.0), 1.0)) for x, y in points)
    return (a, b, c, d)


def package_directory() -> Path:
    """Return the directory of RapidOCR's networks."""
    # Do not import the package: it would import OpenCV and OpenVINO at each start.
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models"


def _weights() -> Source:
    directory = package_directory()
    own = Path(__file__).parents[1] / "shipped" / "print"  # the weights for small print
    files = (*directory.glob("*.onnx"), *own.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    return Source(revision=None, license="Apache-2.0", size_bytes=size, directory=directory)


MODELS = (RapidOCR("rapidocr", _weights()), RapidOCRLines("rapidocr-lines", _weights()))
