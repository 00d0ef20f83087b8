"""The two readers of pages that are compared: this project's, and RapidOCR as it comes, with the same networks."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.metrics import Polygon
from models.base import Job, Placement
from models.discovery import discover


@dataclass(frozen=True)
class Line:
    """A line as it was read."""

    text: str
    polygon: Polygon  # (4, 2), pixels of the image


Reader = Callable[[Image.Image], list[Line]]  # an RGB image -> its lines in reading order


def networks() -> Path:
    """Return the directory of RapidOCR's networks."""
    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    return directory


def as_served() -> Reader:
    """Return the model `rapidocr` of this project: what the service runs for a page."""
    loaded = discover()["rapidocr"].load(networks(), Placement())

    def read(image: Image.Image) -> list[Line]:
        (prediction,) = loaded.predict([Job(image=image)])
        return [Line(line.text, np.array(line.polygon) * image.size) for line in prediction.lines or ()]

    return read


def by_service(model: str) -> Reader:
    """Return a model as the service asks it to read pages: one that reads lines gets them cut out."""
    from app import build_service
    from app.cli.local import settings_for
    from app.types import Request, RequestOptions

    service = build_service(settings_for(None, None, None))
    asked = RequestOptions(model=model, task="read", segment="lines" if model != "rapidocr" else None)

    def read(image: Image.Image) -> list[Line]:
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        (page,) = service.generate(Request(file.getvalue(), options=asked, store=False)).pages
        return [Line(line.text, np.array(line.polygon) * image.size) for line in page.lines or ()]

    return read


def as_it_comes() -> Reader:
    """Return RapidOCR's own pipeline with its own settings, but on OpenVINO, as this project runs the networks."""
    from rapidocr import EngineType, RapidOCR
    from rapidocr.utils.output import RapidOCROutput

    engines = {f"{part}.engine_type": EngineType.OPENVINO for part in ("Det", "Cls", "Rec")}
    engine = RapidOCR(params={**engines, "Global.log_level": "error"})

    def read(image: Image.Image) -> list[Line]:
        output = engine(image)
        assert isinstance(output, RapidOCROutput)
        if output.txts is None or output.boxes is None:
            return []
        return [Line(text, np.array(box, np.float64)) for text, box in zip(output.txts, output.boxes, strict=True)]

    return read
