"""The reader of handwriting that comes with the project."""

from collections.abc import Sequence

import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.base import Job, Loaded, Placement, Prediction
from models.discovery import discover
from models.families.handwriting import BEGINNING, LoadedHandwriting
from models.reading.ctc import Reading
from tests import drawn
from tests.conftest import INPUT
from tests.models.reading.test_reader import NOTE


@pytest.fixture(scope="module")
def loaded() -> dict[str, Loaded]:
    found = {}
    for name in ("handwriting", "rapidocr-lines"):
        model = discover()[name]
        assert model.source.directory is not None
        found[name] = model.load(model.source.directory, Placement())
    return found


def lines_of(loaded: dict[str, Loaded], image: Image.Image) -> Sequence[Prediction]:
    (cut,) = loaded["rapidocr-lines"].predict([Job(image)])
    return loaded["handwriting"].predict([Job(crop) for crop in cut.crops or ()])


def test_a_handwritten_note_is_read(loaded: dict[str, Loaded]) -> None:
    with Image.open(INPUT / "note.png") as image:
        read = lines_of(loaded, image.convert("RGB"))
    assert jiwer.cer("\n".join(("Dear Maya,", *NOTE)), "\n".join(line.text for line in read)) <= 0.06
    assert all(0.5 < (line.confidence or 0) <= 1 for line in read)


def test_print_is_not_lost(loaded: dict[str, Loaded]) -> None:
    lines = drawn.numbered(6)
    read = lines_of(loaded, drawn.page(lines, (620, 360)))
    assert jiwer.cer("\n".join(lines), "\n".join(line.text for line in read)) <= 0.02


@pytest.mark.parametrize(("sure", "whole"), [(0.2, False), (1.0, True)])
def test_print_reads_a_line_whole_only_if_it_is_surer_of_the_beginning(
    loaded: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch, sure: float, whole: bool
) -> None:
    reader = loaded["handwriting"]
    assert isinstance(reader, LoadedHandwriting)
    seen = []

    def read(crop: NDArray[np.uint8]) -> Reading:
        seen.append(crop.shape)
        return Reading(("P",), np.array([0.5]), np.array([sure]))

    monkeypatch.setattr(reader._print, "read", read)
    with Image.open(INPUT / "note.png") as image:
        crop = image.convert("RGB").crop((60, 150, 720, 250))
    (read_line,) = reader.predict([Job(crop)])
    beginning = (100, BEGINNING * 100, 3)
    assert seen == ([beginning, (100, 660, 3)] if whole else [beginning])
    assert (read_line.text == "P") is whole


def test_an_empty_crop_has_no_text(loaded: dict[str, Loaded]) -> None:
    (read,) = loaded["handwriting"].predict([Job(Image.fromarray(np.full((40, 200, 3), 255, np.uint8)))])
    assert (read.text, read.lines) == ("", ())
