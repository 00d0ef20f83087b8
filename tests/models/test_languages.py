"""Names of languages, and their scripts."""

import pytest

from models import languages


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("ru", ("ru",)),
        ("rus", ("ru",)),
        ("rus+eng", ("ru", "en")),
        ("chi_sim, de-AT", ("zh-Hans", "de")),
        ("sr-Latn", ("sr-Latn",)),
        ("iw", ("he",)),
        ("el,ell", ("el",)),
        ("auto", None),
        ("", None),
    ],
)
def test_languages_have_one_name(text: str, tags: tuple[str, ...] | None) -> None:
    assert languages.parse(text) == tags


@pytest.mark.parametrize("text", ["xx", "english please", "und", "ru,??", "en,de,fr,es,it,pt"])
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="language"):
        languages.parse(text)


def test_scripts_and_packages() -> None:
    assert [languages.script_of(tag) for tag in ("ru", "sr-Latn", "el", "zh-Hans", "ko")] == [
        "Cyrl", "Latn", "Grek", "Hans", "Kore",
    ]  # fmt: skip
    assert languages.packages(["zh-Hans", "ru"]) == "tesseract-ocr tesseract-ocr-chi-sim tesseract-ocr-rus"
    assert languages.usual("Cyrl", ["bg", "ru", "el"]) == "ru"
    assert languages.usual("Cyrl", ["mn", "el"]) == "mn"
    assert languages.usual("Thai", ["el"]) is None


def test_tesseracts_names_are_told_from_other_files() -> None:
    assert [languages.tag_of_tesseract(name) for name in ("rus", "chi_tra", "osd", "jpn_vert")] == [
        "ru", "zh-Hant", None, None,
    ]  # fmt: skip
