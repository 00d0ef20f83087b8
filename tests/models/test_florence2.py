"""Florence-2: its tokens are those of plain transformers, and what is made of them that of transformers' processor."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from models import generation
from models.base import Job, Options, Placement, Task
from models.discovery import discover
from models.errors import InvalidJob
from models.preprocessing.locations import entities_of_labels, entities_of_phrases, read_lines, read_objects
from models.preprocessing.tokens import Tokens
from tests.server import NETWORKS

WORDS = "a green car, and the road"
PROMPTS: dict[str, Options] = {
    "<CAPTION>": Options(),
    "<DETAILED_CAPTION>": Options(detail="detailed"),
    "<MORE_DETAILED_CAPTION>": Options(detail="full"),
    "<OCR_WITH_REGION>": Options(Task.READ_PAGE),
    "<OD>": Options(Task.DETECT),
    "<DENSE_REGION_CAPTION>": Options(Task.DETECT, detail="detailed"),
    f"<CAPTION_TO_PHRASE_GROUNDING>{WORDS}": Options(Task.GROUNDED_CAPTION, WORDS),
}
LIMIT = 12


@pytest.fixture(scope="module")
def processor(checkpoints: dict[str, Path]) -> Any:
    return transformers.Florence2Processor.from_pretrained(checkpoints["florence-2-base"])


@pytest.fixture(scope="module")
def asked(
    checkpoints: dict[str, Path], pictures: list[Image.Image], processor: Any
) -> list[tuple[Job, tuple[int, ...]]]:
    """Jobs of all tasks, greedy and with three beams, and the tokens that plain transformers writes for each alone."""
    network = transformers.Florence2ForConditionalGeneration.from_pretrained(
        checkpoints["florence-2-base"], dtype=torch.float32
    ).eval()
    found = []
    for number, (prompt, options) in enumerate(PROMPTS.items()):
        for beams in (1, 3):
            picture = pictures[(2 * number + beams) % len(pictures)]
            inputs = processor(text=prompt, images=picture, return_tensors="pt")
            with torch.inference_mode():
                (output,) = network.generate(**inputs, num_beams=beams, max_new_tokens=LIMIT).tolist()
            given = {name: getattr(options, name) for name in ("task", "prompt", "detail")}
            job = Job(picture, options=Options(**given, num_beams=beams, max_new_tokens=LIMIT))
            found.append((job, tuple(output[1:])))
    assert len({tokens for _, tokens in found}) == len(found), "a network that always says the same proves nothing"
    return found


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_tokens_in_a_batch_of_all_tasks_are_those_of_plain_transformers(
    checkpoints: dict[str, Path],
    asked: list[tuple[Job, tuple[int, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
) -> None:
    placement = Placement("cpu", "float32", runtime, NETWORKS)
    loaded = discover()["florence-2-base"].load(checkpoints["florence-2-base"], placement)
    texts: list[generation.Text] = []
    whole = generation.generate

    def generate(*given: Any) -> Any:
        found = whole(*given)
        texts.extend(found[0])
        return found

    monkeypatch.setattr(generation, "generate", generate)
    predictions = loaded.predict([job for job, _ in asked])
    assert [text.tokens for text in texts] == [tokens for _, tokens in asked]
    assert all(prediction.tokens <= LIMIT for prediction in predictions)
    # Alone, a job has the same answer as in the batch.
    assert loaded.predict([asked[-1][0]]) == predictions[-1:]


CAR = "car<loc_52><loc_333><loc_932><loc_774>"
WHEELS = "wheel<loc_708><loc_575><loc_864><loc_773><loc_135><loc_579><loc_321><loc_781>"
PLATE = "HELLO<loc_1><loc_2><loc_301><loc_3><loc_302><loc_99><loc_2><loc_98>"
TAGGED = [
    "",
    "no locations at all",
    f"</s><s>{CAR}{WHEELS}door handle<loc_0><loc_0><loc_999><loc_999></s>",
    f"<s>{CAR}<od>{CAR}</od></s><pad>",
    f"</s><s>{PLATE}two words<loc_0><loc_0><loc_999><loc_0><loc_999><loc_999><loc_0><loc_999></s>",
    f"{PLATE}cut off<loc_5><loc_6>",
    "<s>A café<loc_10><loc_20><loc_30><loc_40> and it<loc_1><loc_2><loc_3><loc_4>a group<loc_1><loc_2><loc_3><loc_4>",
    f"three<loc_1><loc_2><loc_3>{CAR}five<loc_1><loc_2><loc_3><loc_4><loc_5>",
    "a < b <loc_1><loc_2><loc_3><loc_4>",
]
SIZE = (2000, 4000)
"""In pixels: the middles of all thousandths are whole."""


def pixels(numbers: Any) -> list[int]:
    return [int(number * SIZE[index % 2] + 0.25) for index, number in enumerate(numbers)]


def upright(boxes: list[list[int]]) -> list[list[int]]:
    """Put corners in order, which transformers leaves as the network names them."""
    return [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in boxes]


@pytest.mark.parametrize("tagged", TAGGED)
def test_boxes_are_those_of_transformers(processor: Any, tagged: str) -> None:
    for task in ("<OD>", "<DENSE_REGION_CAPTION>"):
        wanted = processor.post_process_generation(tagged, task=task, image_size=SIZE)[task]
        found = [(label, box) for label, boxes in read_objects(tagged) for box in boxes]
        assert [pixels(box) for _, box in found] == upright(wanted["bboxes"])
        # transformers drops what is not ASCII.
        assert [label.encode("ascii", "ignore").decode() for label, _ in found] == wanted["labels"]


@pytest.mark.parametrize("tagged", TAGGED)
def test_phrases_are_those_of_transformers(processor: Any, tagged: str) -> None:
    task = "<CAPTION_TO_PHRASE_GROUNDING>"
    wanted = processor.post_process_generation(tagged, task=task, image_size=SIZE)[task]
    banned = processor.post_processor.banned_grounding_tokens
    entities = entities_of_phrases("", read_objects(tagged), banned)
    found = [(entity.phrase, box) for entity in entities for box in entity.boxes]
    assert [pixels(box) for _, box in found] == upright(wanted["bboxes"])
    assert [label.encode("ascii", "ignore").decode() for label, _ in found] == wanted["labels"]


@pytest.mark.parametrize("tagged", TAGGED)
def test_lines_are_those_of_transformers(processor: Any, tagged: str) -> None:
    task = "<OCR_WITH_REGION>"
    wanted = processor.post_process_generation(tagged, task=task, image_size=SIZE)[task]
    lines = read_lines(tagged)
    assert [text for text, _ in lines] == wanted["labels"]
    assert [pixels(number for point in polygon for number in point) for _, polygon in lines] == wanted["quad_boxes"]


@pytest.mark.parametrize("task", ["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"])
def test_captions_are_those_of_transformers(processor: Any, task: str) -> None:
    said = "</s><s>A green car, parked.</s>"
    ids = processor.tokenizer(said, add_special_tokens=False).input_ids
    wanted = processor.post_process_generation(said, task=task, image_size=SIZE)[task]
    assert Tokens.of(processor.tokenizer).decode(ids).strip() == wanted == "A green car, parked."


def test_corners_in_the_wrong_order_are_put_right() -> None:
    ((_, (box,)),) = read_objects("car<loc_932><loc_774><loc_52><loc_333>")
    assert box == (0.0525, 0.3335, 0.9325, 0.7745)


def test_labels_become_a_text_with_an_entity_each() -> None:
    text, entities = entities_of_labels(read_objects(f"{WHEELS}{CAR}wheel<loc_1><loc_2><loc_3><loc_4>"))
    assert text == "wheel, car"
    assert [(entity.phrase, text[slice(*entity.span)], len(entity.boxes)) for entity in entities] == [
        ("wheel", "wheel", 3),
        ("car", "car", 1),
    ]


def test_phrases_have_their_places_in_the_text() -> None:
    text = "A dog sees a Dog and another dog by the café."
    box = ((0.1, 0.1, 0.2, 0.2),)
    found = [("A dog", box), ("a dog", box), ("dog", box), ("it", box), ("the café", box), ("nothing of it", box)]
    entities = entities_of_phrases(text, found, {"it"})
    assert [(entity.phrase, entity.span) for entity in entities] == [
        ("A dog", (0, 5)),
        ("a Dog", (11, 16)),
        ("dog", (29, 32)),
        ("the café", (36, 44)),
        # Said, but not in the text: it has a box, and no place.
        ("nothing of it", (44, 44)),
    ]


def test_each_line_has_the_confidence_of_its_own_words(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, processor: Any
) -> None:
    said = f"<s>{PLATE}{PLATE.replace('HELLO', 'you')}</s>"
    ids = processor.tokenizer(said, add_special_tokens=False).input_ids
    sure: Iterator[float] = iter([0.0] * 6 + [0.0] * 8 + [-1.0] * 3 + [0.0] * 9)
    text = generation.Text(tuple(ids), tuple(next(sure) for _ in ids))
    monkeypatch.setattr(generation, "generate", lambda *_: ([text], []))
    loaded = discover()["florence-2-base"].load(
        checkpoints["florence-2-base"], Placement("cpu", "float32", "openvino", NETWORKS)
    )
    (page,) = loaded.predict([Job(Image.new("RGB", (64, 48)), options=Options(Task.READ_PAGE))])
    assert page.text == "HELLO\nyou"
    assert [line.confidence for line in page.lines or ()] == pytest.approx([1.0, 0.36788], abs=1e-4)


def test_a_text_that_is_too_long_is_cut_with_a_warning(checkpoints: dict[str, Path]) -> None:
    loaded = discover()["florence-2-base"].load(
        checkpoints["florence-2-base"], Placement("cpu", "float32", "openvino", NETWORKS)
    )
    options = Options(Task.GROUNDED_CAPTION, "many words " * 60, max_new_tokens=2)
    (prediction,) = loaded.predict([Job(Image.new("RGB", (64, 48)), options=options)])
    assert any("tokens of the text were looked for" in warning for warning in prediction.warnings)


@pytest.mark.parametrize("prompt", ["</s>", "a <loc_3>", "<image>", "<LOC_17>", "＜od＞"])
def test_special_tokens_in_a_text_are_refused(prompt: str) -> None:
    with pytest.raises(InvalidJob, match="special token"):
        discover()["florence-2-base"].check(Options(Task.GROUNDED_CAPTION, prompt))
