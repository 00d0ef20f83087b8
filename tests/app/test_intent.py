"""From prompts and schemas to what is asked: the tables of docs/clients.md are those of the tests."""

import re
from collections.abc import Iterator

import pytest

from app import intent
from app.errors import InvalidOption
from app.intent import wish_of
from tests.server import ROOT

CLIENTS = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
KINDS = {"alt text": "alt-text", "text": "read", "tags": "tags", "title": "title", "caption": "caption"}


def rows(header: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of a table."""
    table = CLIENTS.partition(header)[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def prompts() -> Iterator[tuple[str, str]]:
    """Yield each word and each example of the table, with the answer it gets."""
    for words, examples, answer in rows("| words | such as | answer |"):
        for word in re.findall("`(.+?)`", words):
            yield f"Please {word.replace('...', 'all that is')} now", answer
        for example in re.findall('"(.*?)"', examples):
            yield example, answer


@pytest.mark.parametrize(("prompt", "answer"), [pair for pair in prompts() if pair[1] != "422"])
def test_words_of_prompts(prompt: str, answer: str) -> None:
    assert wish_of(prompt).text == KINDS[answer]
    assert wish_of(prompt.upper()).text == KINDS[answer]


@pytest.mark.parametrize(
    ("prompt", "detail"),
    [
        ("Describe this image in one sentence.", None),
        ("Describe this image in detail.", "detailed"),
        ("Write a detailed description of the picture.", "detailed"),
        ("Describe the picture in full detail", "full"),
        ("Write a paragraph that describes what you see, with all the details.", "full"),
        ("Extract ALL text from this image, in detail.", None),
    ],
)
def test_how_much_a_caption_says(prompt: str, detail: str | None) -> None:
    assert wish_of(prompt).detail == detail


@pytest.mark.parametrize("prompt", [prompt for prompt, answer in prompts() if answer == "422"])
def test_what_cannot_be_asked(prompt: str) -> None:
    with pytest.raises(InvalidOption, match="transcription"):
        wish_of(prompt)


def test_properties_of_schemas() -> None:
    documented = {
        name: filled
        for names, filled in rows("| property of a schema | filled with |")
        for name in re.findall("`(.+?)`", names)
    }
    assert documented.keys() == intent._KINDS.keys()
    for name in documented:
        kind = "array" if name in ("tags", "keywords", "labels") else "string"
        assert wish_of("", {"properties": {name: {"type": kind}}}).fields == {name: {"type": kind}}


def test_schemas_are_filled_or_refused() -> None:
    with pytest.raises(InvalidOption, match="'age'"):
        wish_of("", {"properties": {"age": {"type": "integer"}, "title": {"type": "string"}}, "required": ["age"]})
    with pytest.raises(InvalidOption, match="one at a time"):
        wish_of("", {"properties": {"title": {"type": "string"}, "text": {"type": "string"}}})
    labels = {"type": "array", "items": {"type": "object"}}
    wish = wish_of("", {"properties": {"labels": labels, "age": {"type": "integer"}}, "required": ["labels"]})
    assert intent.render(wish, "", ("cat",), None) == '{"labels": [{"name": "cat"}]}'
    assert intent.render(wish, "", ("cat",), (0.5,)) == '{"labels": [{"name": "cat", "confidence": 0.5}]}'
