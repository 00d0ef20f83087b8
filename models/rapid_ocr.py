"""RapidOCR: pages of print, and handwriting fairly, with networks that come inside its package.

PP-OCR's detector, direction classifier and recogniser (Cui et al., https://arxiv.org/abs/2507.05595 and its
successors) as packaged by https://github.com/RapidAI/RapidOCR, on OpenVINO.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from models.base import Job, Line, Loaded, Model, Placement, Polygon, Prediction, Source, Task


class RapidOCR(Model):
    """The OCR engine for whole pages."""

    task = Task.READ_PAGE
    accepts = ("image",)

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedRapidOCR(directory)


class LoadedRapidOCR:
    # OpenVINO runs these small networks on the CPU whatever the placement, as fast as they are needed.
    device = "cpu"
    precision = "float32"

    def __init__(self, directory: Path) -> None:
        from rapidocr import EngineType
        from rapidocr import RapidOCR as Engine

        self._engine = Engine(
            params={
                "Global.log_level": "critical",
                "Global.model_root_dir": str(directory),
                "Det.engine_type": EngineType.OPENVINO,
                "Cls.engine_type": EngineType.OPENVINO,
                "Rec.engine_type": EngineType.OPENVINO,
            }
        )

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        return [self._predict(job) for job in jobs]

    def _predict(self, job: Job) -> Prediction:
        import numpy as np
        from rapidocr.utils.output import RapidOCROutput

        assert job.image is not None
        # The engine's networks were trained on OpenCV's channel order.
        found = self._engine(np.asarray(job.image)[:, :, ::-1])
        if not isinstance(found, RapidOCROutput) or found.boxes is None:
            return Prediction("", lines=())
        width, height = job.image.size
        lines = tuple(
            Line(text, min(max(float(score), 0.0), 1.0), _polygon(points / (width, height)))
            for points, text, score in zip(found.boxes, found.txts or (), found.scores or (), strict=True)
        )
        return Prediction("\n".join(line.text for line in lines), confidence=_mean_confidence(lines), lines=lines)


def _polygon(points: Sequence[Sequence[float]]) -> Polygon:
    a, b, c, d = ((min(max(float(x), 0.0), 1.0), min(max(float(y), 0.0), 1.0)) for x, y in points)
    return (a, b, c, d)


def _mean_confidence(lines: Sequence[Line]) -> float | None:
    """Return the mean over all characters of their line's confidence; None where nothing was read."""
    characters = sum(len(line.text) for line in lines)
    return sum(line.confidence * len(line.text) for line in lines) / characters if characters else None


def _weights() -> Source:
    # Looked up without importing the package, which would bring OpenCV and OpenVINO into every start.
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    directory = Path(spec.origin).parent / "models"
    size = sum(file.stat().st_size for file in directory.glob("*.onnx"))
    return Source(revision=None, license="Apache-2.0", size_bytes=size, directory=directory)


MODELS = (RapidOCR("rapidocr", _weights()),)
