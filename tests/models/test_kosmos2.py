"""Kosmos-2's ids, boxes and spans, with a made vocabulary of 64,002 pieces."""

import json
from pathlib import Path

import pytest
from PIL import Image

from models.base import Options
from models.errors import InvalidJob
from models.families.kosmos2 import MODELS
from models.preprocessing.grounding import read
from models.preprocessing.pixels import Pixels

SNOWMAN = (
    "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863></object>"
    " warming himself by<phrase> a fire</phrase><object><patch_index_0005><patch_index_0911></object>."
)
MANY = (
    "<grounding> 🐕 und<phrase> ein Schneemännchen ☃</phrase><object><patch_index_0863><patch_index_0044>"
    "</delimiter_of_multi_objects/><patch_index_0000><patch_index_1023></object> am Feuer"
)
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def processor(checkpoints: dict[str, Path]):  # type: ignore[no-untyped-def]
    from transformers import Kosmos2Processor

    return Kosmos2Processor.from_pretrained(checkpoints["kosmos-2"])


def test_ids_from_64002_up(processor) -> None:  # type: ignore[no-untyped-def]
    tags = ("</doc>", "<image>", "</image>", "<phrase>", "</phrase>", "<object>", "</object>", "<grounding>")
    ids = processor.tokenizer.convert_tokens_to_ids([*tags, "</delimiter_of_multi_objects/>", "<patch_index_0000>"])
    assert ids == [64002, 64003, 64004, 64007, 64008, 64009, 64010, 64012, 64011, 64013]
    assert len(processor.tokenizer) == 65_037


def test_ids_of_the_brief_prompt(processor) -> None:  # type: ignore[no-untyped-def]
    ids = processor(text="<grounding>An image of", images=Image.new("RGB", (64, 48)))["input_ids"]
    assert ids == [0, 64003, *range(4, 68), 64004, 64012, 712, 1648, 9]


def test_a_text_with_patch_indices_has_exact_boxes() -> None:
    text, (snowman, fire) = read(SNOWMAN, WHOLE)
    assert text == "An image of a snowman warming himself by a fire."
    assert (snowman.phrase, snowman.span) == ("a snowman", (12, 21))
    assert snowman.boxes == ((0.390625, 0.046875, 0.984375, 0.828125),)
    assert (fire.phrase, fire.span) == ("a fire", (41, 47))
    assert fire.boxes == ((0.171875, 0.015625, 0.484375, 0.890625),)


def test_spans_index_the_text_in_code_points() -> None:
    text, (snowman,) = read(MANY, WHOLE)
    assert text[slice(*snowman.span)] == snowman.phrase == "ein Schneemännchen ☃"
    # Corners named in the wrong order are put right, and several boxes stay several.
    assert snowman.boxes[0] == (0.390625, 0.046875, 0.984375, 0.828125)
    assert len(snowman.boxes) == 2


@pytest.mark.parametrize(
    "tagged",
    [
        SNOWMAN,
        MANY,
        "",
        "no tags at all",
        "<object><patch_index_0001><patch_index_0500></object> at first",
        "a <b <phrase> x > y </phrase><object><patch_index_0033><patch_index_0033></object>",
        "<phrase>no box</phrase> and <object><patch_index_0007></object>",
    ],
)
def test_tagged_text_is_read_as_transformers_reads_it(processor, tagged: str) -> None:  # type: ignore[no-untyped-def]
    text, found = processor.post_process_generation(tagged)
    clean, entities = read(tagged, WHOLE)
    assert clean == text
    assert [entity.span for entity in entities] == [span for _, span, _ in found]
    for entity, (_, (start, end), boxes) in zip(entities, found, strict=True):
        assert entity.phrase == text[start:end]
        assert [set(box) for box in entity.boxes] == [set(box) for box in boxes]


def test_boxes_of_a_cropped_view_are_those_of_the_whole_image(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    published = json.loads((checkpoints["kosmos-2"] / "preprocessor_config.json").read_text())
    views = {}
    for square in (True, False):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(published | {"use_square_size": square}))
        views[square] = Pixels(tmp_path)
    assert views[True].seen_part((640, 480)) == WHOLE
    assert views[False].seen_part((448, 448)) == WHOLE
    assert views[False].seen_part((400, 200)) == (0.25, 0.0, 0.75, 1.0)
    tagged = "<phrase>a dog</phrase><object><patch_index_0512><patch_index_1023></object>"
    (entity,) = read(tagged, (0.25, 0.0, 0.75, 1.0))[1]
    assert entity.boxes == ((0.2578125, 0.515625, 0.7421875, 0.984375),)


@pytest.mark.parametrize(
    "prompt",
    ["<grounding>", "a <image> b", "x</s>", "<patch_index_0044>", "<PHRASE>it</phrase>", "＜phrase＞", "‹s›<ｓ>"],
)
def test_special_tokens_in_a_prompt_are_refused(prompt: str) -> None:
    with pytest.raises(InvalidJob, match="special token"):
        MODELS[0].check(Options(prompt=prompt))
    MODELS[0].check(Options(prompt="a < b and c > d, <html>"))
