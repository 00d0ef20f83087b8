"""Scripts that the recogniser does not know are told from those that it knows."""

import numpy as np
import pytest
from PIL import Image

from models.families.rapidocr import package_directory
from models.reading.reader import PageReader
from models.reading.scripts import LEAST, WORD, unknown_script
from tests import drawn
from tests.conftest import INPUT
from tests.scripts import LANGUAGES, Language, draw

SCRIPTS = {"ru": "Cyrl", "el": "Grek", "ar": "Arab", "he": "Hebr", "hi": "Deva", "th": "Thai", "ko": "Kore"}


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return PageReader(package_directory())


def script(reader: PageReader, image: Image.Image) -> str | None:
    return reader.lay_out(np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])).script


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_a_script_is_told(reader: PageReader, language: Language) -> None:
    page, _ = draw(language)
    assert script(reader, page) == SCRIPTS[language.code]


@pytest.mark.parametrize("name", ["invoice.png", "note.png", "sign.jpg", "chart.png"])
def test_known_scripts_are_none(reader: PageReader, name: str) -> None:
    with Image.open(INPUT / name) as image:
        assert script(reader, image) is None


def test_a_page_upside_down_is_turned_and_not_unknown(reader: PageReader) -> None:
    page = drawn.page(drawn.numbered(8), (620, 400)).rotate(180)
    assert script(reader, page) is None


def test_without_text_there_is_no_script() -> None:
    assert unknown_script([]) is None


def test_what_is_no_line_of_a_photo_has_no_script(reader: PageReader) -> None:
    with Image.open(INPUT / "scene.jpg") as image:
        assert script(reader, image) is None


def test_short_lines_do_not_tell_a_script(reader: PageReader) -> None:
    page, _ = draw(next(language for language in LANGUAGES if language.code == "ru"))
    laid_out = reader.recognise(np.ascontiguousarray(np.asarray(page.convert("RGB"))[60:110, 60:460, ::-1]))
    assert unknown_script([(laid_out.view, LEAST)]) == "Cyrl"
    assert unknown_script([(laid_out.view, LEAST - 1)]) is None
    assert unknown_script([(laid_out.view, WORD - 0.1)] * 10) is None
