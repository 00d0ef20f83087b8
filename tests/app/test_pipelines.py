"""Which models answer a request."""

import pytest

from app.errors import InvalidOption
from app.pipelines import Pipeline, choose
from app.types import RequestOptions
from models.base import Placement
from models.discovery import discover
from models.registry import Registry

ALONE = ("efficientnet-gru", "rapidocr", "rapidocr-lines", "handwriting")
"""Models that are on every machine."""


def chosen(options: RequestOptions, default: str, names: tuple[str, ...] = ALONE) -> Pipeline:
    registry = Registry([model for name, model in discover().items() if name in names], Placement())
    return choose(registry, options, lambda: registry.entry(default))


def test_a_default_that_reads_above_all_reads() -> None:
    assert chosen(RequestOptions(task="read"), "handwriting").name == "handwriting"
    assert chosen(RequestOptions(task="read"), "efficientnet-gru").name == "rapidocr"


@pytest.mark.parametrize("model", [None, "auto", "alt-text"])
def test_a_captioner_and_a_reader_write_alt_texts_where_no_model_does(model: str | None) -> None:
    pipeline = chosen(RequestOptions(model=model, task="alt-text"), "efficientnet-gru")
    assert (pipeline.name, pipeline.warnings) == ("alt-text", ())


def test_what_no_model_here_does_is_refused() -> None:
    with pytest.raises(InvalidOption, match="no model on this machine does detect"):
        chosen(RequestOptions(task="detect"), "efficientnet-gru", (*ALONE, "florence-2-base"))
