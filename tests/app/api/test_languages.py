"""Languages and scripts over HTTP: tesseract's, those that nothing reads, and what says so."""

from collections.abc import Iterator
from xml.etree import ElementTree

import jiwer
import pytest

from tests import drawn
from tests.app.api.test_native import assert_problem
from tests.app.api.test_pages import read
from tests.conftest import encoded
from tests.scripts import LANGUAGES, Language, draw
from tests.server import Server

BY_CODE = {language.code: language for language in LANGUAGES}
PRINT = {"model": "rapidocr"}


@pytest.fixture(scope="module")
def without_tesseract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on whose path there is no program at all."""
    running = Server(tmp_path_factory.mktemp("server"), path="", result_cache_mb=0)
    yield running
    running.kill()


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_a_language_is_read_by_tesseract(server: Server, language: Language) -> None:
    page, lines = draw(language)
    answer = read(server, page, language=language.code, **PRINT)
    assert answer["model"] == "tesseract"
    assert jiwer.cer("\n".join(lines), answer["text"].replace("\n\n", "\n")) <= 0.05
    assert len(answer["lines"]) == len(lines)
    assert answer["confidence"] > 0.5


@pytest.mark.parametrize("code", ["ru", "ko"])
def test_the_script_says_who_reads(server: Server, code: str) -> None:
    page, lines = draw(BY_CODE[code])
    answer = read(server, page, **PRINT)
    assert jiwer.cer("\n".join(lines), answer["text"].replace("\n\n", "\n")) <= 0.05
    assert [warning for warning in answer["warnings"] if f"language={code}" in warning]


def test_text_from_right_to_left_is_in_logical_order(server: Server) -> None:
    page, lines = draw(BY_CODE["he"])
    hocr = server.generate(encoded(page), language="heb", format="hocr", **PRINT)
    words = [
        (str(word.text), [int(value) for value in str(word.get("title")).split(";")[0].split()[1:]])
        for word in ElementTree.fromstring(hocr.text).iter()
        if word.get("class") == "ocrx_word"
    ]
    written = " ".join(lines).split()
    assert [text for text, _ in words] == written
    # On the page, the first word of a line stands at its right end.
    assert words[0][1][0] > words[1][1][0] > words[2][1][0]


def test_alt_text_has_words_in_their_script(server: Server) -> None:
    page, _ = draw(BY_CODE["ru"])
    answer = server.generate(encoded(page), model="alt-text").json()
    assert "Все люди рождаются" in answer["parts"]["words"]
    assert [warning for warning in answer["warnings"] if "Cyrillic" in warning]


def test_tesseracts_languages_are_listed(server: Server) -> None:
    listed = server.state("tesseract")["languages"]
    assert set(listed) >= set(BY_CODE)
    assert "osd" not in listed
    assert {"en", "zh-Hans"} <= set(server.state("rapidocr")["languages"])
    assert not server.state("efficientnet-gru")["languages"]


def test_a_language_that_is_none_is_refused(server: Server) -> None:
    image = encoded(drawn.page(["Some words"]))
    assert (
        "language"
        in assert_problem(server.generate(image, language="klingonese", **PRINT), 422, "invalid-option")["detail"]
    )


def test_a_language_without_its_file_says_what_to_install(server: Server) -> None:
    image = encoded(drawn.page(["Some words"]))
    problem = assert_problem(server.generate(image, language="ru,am", **PRINT), 422, "invalid-option")
    assert "tesseract-ocr-amh" in problem["detail"]
    assert "-rus" not in problem["detail"]


@pytest.mark.parametrize("code", ["ru", "el", "he", "th", "ko"])
def test_a_script_that_nothing_reads_is_warned_about(without_tesseract: Server, code: str) -> None:
    page, _ = draw(BY_CODE[code])
    answer = read(without_tesseract, page, **PRINT)
    assert answer["text"] == ""
    (warning,) = answer["warnings"]
    assert f"tesseract-ocr-{BY_CODE[code].name}" in warning


def test_latin_text_is_read_without_a_warning(without_tesseract: Server) -> None:
    lines = drawn.numbered(6)
    answer = read(without_tesseract, drawn.page(lines), **PRINT)
    assert answer["warnings"] == []
    assert answer["text"].split("\n") == lines


def test_without_tesseract_it_says_what_to_install(without_tesseract: Server) -> None:
    assert without_tesseract.state("tesseract")["state"] == "absent"
    image = encoded(drawn.page(["Some words"]))
    problem = assert_problem(without_tesseract.generate(image, model="tesseract"), 503)
    assert "install Debian's tesseract-ocr" in problem["detail"]


def test_other_protocols_name_the_language(server: Server) -> None:
    import base64

    page, lines = draw(BY_CODE["ru"])
    image = base64.b64encode(encoded(page)).decode()
    asked = {
        "model": "rapidocr",
        "prompt": "read the text",
        "images": [image],
        "stream": False,
        "options": {"language": "rus"},
    }
    said = server.post("/api/generate", json=asked).json()["response"]
    assert jiwer.cer("\n".join(lines), said.replace("\n\n", "\n")) <= 0.05
    source = {"sources": [{"base64_string": image}], "options": {"ocr_lang": ["rus"], "to_formats": ["text"]}}
    text = server.post("/v1/convert/source", json=source).json()["document"]["text_content"]
    assert jiwer.cer("\n".join(lines), text.replace("\n\n", "\n")) <= 0.05
    source["options"] = {"ocr_lang": ["kat"]}
    refused = server.post("/v1/convert/source", json=source)
    assert refused.status_code == 422
    assert "tesseract-ocr-kat" in refused.json()["detail"]
    refused = server.post(
        "/documentintelligence/documentModels/prebuilt-read:analyze?locale=klingonese", json={"base64Source": image}
    )
    assert refused.status_code == 422
