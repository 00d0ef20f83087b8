"""Vision-language models say what plain transformers says, answer JSON where a schema asks for it, and end in time."""

import json
import logging
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.smolvlm import processing_smolvlm
from transformers.processing_utils import ProcessorMixin

from models.base import CutWarning, Job, Options, Placement, Prediction, Task
from models.discovery import discover, with_local_paths
from models.errors import InvalidJob
from models.families.blip import Blip
from models.families.vision_language import PageReader, VisionLanguage
from models.generation import repetition, schema
from models.preprocessing.chat import Chat
from models.preprocessing.doctags import text_of
from tests.chat_checkpoints import make_chat

TAGS = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["tags"],
}
NESTED = {
    "type": "object",
    "properties": {
        "caption": {"type": "string"},
        "people": {"type": "integer"},
        "indoors": {"type": ["boolean", "null"]},
        "kind": {"enum": ["photo", "drawing"]},
    },
    "required": ["caption", "people", "indoors", "kind"],
}
QUESTION = "What is this, and why?"
CLASSES = {
    "smolvlm-256m": transformers.Idefics3Processor,
    "smolvlm2-256m": transformers.SmolVLMProcessor,
    "qwen3-vl-2b": transformers.Qwen3VLProcessor,
    "qwen3.5-0.8b": transformers.Qwen3VLProcessor,
    "lightonocr-2-1b": transformers.LightOnOcrProcessor,
    "granite-docling-258m": transformers.Idefics3Processor,
    "paddleocr-vl": transformers.PaddleOCRVLProcessor,
}
LONG = 12


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def load(directories: dict[str, Path]) -> Callable[[str], Any]:
    """Load a model by its name, in float32."""
    return cache(lambda name: discover()[name].load(directories[name], Placement("cpu", "float32")))


@pytest.fixture
def plain_processor(directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The classes of transformers themselves, which are told that they have what they need for videos."""
    monkeypatch.setattr(processing_smolvlm, "num2words", str)
    monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda *_: None)

    class Video:
        num_frames = fps = 1
        model_input_names: tuple[str, ...] = ()

    def make(name: str) -> Any:
        directory, cls = directories[name], CLASSES[name]
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        pixels = transformers.AutoImageProcessor.from_pretrained(directory)
        saved = directory / "processor_config.json"
        named = json.loads(saved.read_text()) if saved.exists() else {}
        kept = {key: named[key] for key in ("image_seq_len", "patch_size", "spatial_merge_size") if key in named}
        video = {"video_processor": Video()} if "video_processor" in cls.get_attributes() else {}
        return cls(image_processor=pixels, tokenizer=tokenizer, chat_template=tokenizer.chat_template, **video, **kept)

    return make


def plain_texts(
    name: str, directory: Path, processor: Any, pictures: list[Image.Image], prompts: list[str], **parameters: Any
) -> list[str]:
    """What plain transformers says, one picture at a time."""
    network = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32).eval()
    texts = []
    for picture, prompt in zip(pictures, prompts, strict=True):
        options = Options(prompt=prompt or None)
        style, task = discover()[name].style, discover()[name].task  # type: ignore[attr-defined]
        content: list[dict[str, Any]] = [{"type": "image"}]
        if asked := style.instruction(options, task):
            content.append({"type": "text", "text": asked})
        turn = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        scaling = dict(style.scaling(options, task))
        inputs = processor(images=[picture], text=[text], return_tensors="pt", images_kwargs=scaling)
        with torch.inference_mode():
            output = network.generate(**inputs, do_sample=False, **parameters)
        new = output[0, inputs["input_ids"].shape[1] :]
        tagged = style.doctags and not prompt
        text = processor.tokenizer.decode(new, skip_special_tokens=not tagged)
        texts.append(text_of(text) if tagged else text.strip())
    return texts


@pytest.mark.parametrize("name", CLASSES)
def test_texts_of_plain_transformers(
    load: Callable[[str], Any],
    plain_processor: Callable[[str], Any],
    directories: dict[str, Path],
    pictures: list[Image.Image],
    name: str,
) -> None:
    """With and without a prompt, alone and in one batch of pictures of different sizes."""
    some, prompts = pictures[:3], ["", QUESTION, "Why?"]
    wanted = plain_texts(
        name, directories[name], plain_processor(name), some * 2, [""] * 3 + prompts, max_new_tokens=LONG
    )
    assert len(set(wanted)) > 2, "a network that says the same of all pictures proves nothing"
    loaded = load(name)
    jobs = [
        Job(picture, options=Options(prompt=prompt or None, max_new_tokens=LONG))
        for picture, prompt in zip(some * 2, [""] * 3 + prompts, strict=True)
    ]
    assert [loaded.predict([job])[0].text for job in jobs] == wanted
    assert [prediction.text for prediction in loaded.predict(jobs)] == wanted


def test_a_model_without_a_template_reads_the_bare_instruction(
    load: Callable[[str], Any],
    directories: dict[str, Path],
    pictures: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {"max_patches": 48, "return_tensors": "pt"}
    monkeypatch.setattr(transformers.Kosmos2_5Processor, "images_kwargs", few)
    directory = directories["kosmos-2.5"]
    processor = transformers.AutoProcessor.from_pretrained(directory)
    network = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32).eval()
    wanted = []
    for picture in pictures[:2]:
        inputs = processor(images=picture, text="<md>", return_tensors="pt")
        with torch.inference_mode():
            output = network.generate(**inputs, max_new_tokens=LONG)
        wanted.append(processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    jobs = [Job(picture, options=Options(max_new_tokens=LONG)) for picture in pictures[:2]]
    assert wanted[0] != wanted[1]
    assert [prediction.text for prediction in load("kosmos-2.5").predict(jobs)] == wanted


def test_doctags_are_paragraphs_and_tables() -> None:
    place = "<loc_58><loc_44><loc_426><loc_91>"
    page = (
        f"<doctag><section_header_level_1>{place}A title</section_header_level_1>\n<text>{place}If 3 < 4.</text>\n"
        f"<otsl>{place}<ched>Name<ched>Price<nl><fcel>Tea<fcel>2.50<nl><fcel>Milk<ecel><nl></otsl>\n"
        f"<page_footer>{place}page 1</page_footer></doctag><|end_of_text|>"
    )
    assert text_of(page) == "A title\n\nIf 3 < 4.\n\nName\tPrice\nTea\t2.50\nMilk"


def test_beams_are_those_of_plain_transformers(
    load: Callable[[str], Any],
    plain_processor: Callable[[str], Any],
    directories: dict[str, Path],
    pictures: list[Image.Image],
) -> None:
    name, options = "smolvlm2-256m", {"num_beams": 3, "max_new_tokens": 8}
    wanted = plain_texts(name, directories[name], plain_processor(name), pictures[:2], ["", ""], **options)
    jobs = [Job(picture, options=Options(**options)) for picture in pictures[:2]]  # type: ignore[arg-type]
    assert [prediction.text for prediction in load(name).predict(jobs)] == wanted


def test_loading_says_nothing_on_the_terminal(
    directories: dict[str, Path],
    pictures: list[Image.Image],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        for name in ("smolvlm2-256m", "qwen3-vl-2b"):
            loaded = discover()[name].load(directories[name], Placement("cpu", "float32"))
            loaded.predict([Job(pictures[0], options=Options(max_new_tokens=2))])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("wanted", [TAGS, NESTED], ids=["tags", "nested"])
def test_a_hundred_answers_are_json_of_their_schema(
    load: Callable[[str], Any], pictures: list[Image.Image], wanted: dict[str, Any]
) -> None:
    """Random weights would write noise; with both schemas these are two hundred answers."""
    loaded, texts = load("smolvlm-256m"), []
    for number in range(20):
        options = Options(prompt=f"{number}?", schema=json.dumps(wanted), max_new_tokens=70 + number)
        # Glances, so that there is little to look at.
        texts += [each.text for each in loaded.predict([Job(picture, options=options) for picture in pictures[:5]])]
    assert len(texts) == 100
    for text in texts:
        jsonschema.validate(json.loads(text), wanted)
    assert len(set(texts)) > 20


def test_tags_are_a_list(load: Callable[[str], Any], pictures: list[Image.Image]) -> None:
    (said,) = load("qwen3-vl-2b").predict([Job(pictures[0], options=Options(task=Task.TAG, max_new_tokens=40))])
    assert said.tags
    assert said.text == ", ".join(said.tags)


@pytest.fixture(scope="module")
def vocabulary(directories: dict[str, Path]) -> schema.Vocabulary:
    tokenizer = transformers.AutoTokenizer.from_pretrained(directories["qwen3-vl-2b"])
    return schema.Vocabulary(tokenizer, len(tokenizer), [tokenizer.eos_token_id])


def test_json_is_closed_before_the_limit_whatever_the_network_wants(vocabulary: schema.Vocabulary) -> None:
    size = len(vocabulary.lengths)
    random = torch.Generator().manual_seed(0)
    deep = {"type": "array", "items": {"type": "array", "items": TAGS}}
    shaped = {"type": "string", "pattern": "^[a-z]{3}-[0-9]+$"}
    schemas: list[dict[str, Any]] = [TAGS, {"type": "object"}, deep, shaped, {"type": "string", "format": "date"}]
    for wanted in schemas:
        for most in range(16, 40, 2):
            writer, tokens = schema.Writer(vocabulary, json.dumps(wanted), most), []
            while (token := writer.choose(torch.randn(size, generator=random).numpy())) is not None:
                tokens.append(token)
                if len(tokens) == most:
                    break
            text = vocabulary.text([token for token in tokens if token not in vocabulary.end_tokens])
            jsonschema.validate(json.loads(text), wanted)


def test_a_limit_too_small_for_any_json_is_refused(vocabulary: schema.Vocabulary) -> None:
    with pytest.raises(InvalidJob, match=r"needs more than 5 tokens: raise max_new_tokens"):
        schema.Writer(vocabulary, json.dumps(NESTED), 5)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"type": "banana"}, "banana"),
        ({"$ref": "https://example.org/schema"}, "cannot be followed"),
        ({"type": "string", "minLength": [1]}, "cannot be followed"),
        ({"type": "array", "minItems": math.inf}, "cannot be followed"),
        ({"description": "x" * schema.MAX_SCHEMA}, "characters"),
    ],
    ids=["type", "reference", "list", "infinity", "size"],
)
def test_a_schema_that_cannot_be_followed_is_refused_before_it_is_queued(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidJob, match=why):
        discover()["smolvlm-256m"].check(Options(schema=json.dumps(wrong)))


def test_bounds_are_added_where_there_are_none() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "maxLength": 3}}}
    wanted = {"type": "array", "items": inner, "minItems": 60}
    bound = schema.bounded(wanted)
    assert bound["maxItems"] == 60
    assert bound["items"]["additionalProperties"] is False
    assert bound["items"]["properties"] == {
        "a": {"type": "string", "maxLength": schema.MAX_CHARACTERS},
        "b": {"type": "string", "maxLength": 3},
    }
    assert schema.bounded({"allOf": [inner, inner]})["allOf"][0].get("additionalProperties") is None


def test_keywords_that_have_no_effect_are_named() -> None:
    _, warnings = schema.grammar_of('{"type":"array","uniqueItems":true,"items":{"type":"integer"}}')
    assert "uniqueItems" in warnings[0]


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([1, 2, 3] * 30, 3),
        ([9, 8, *[1, 2, 3] * 30], 5),
        ([*range(200), *[7] * 61], 201),
        ([*range(200)], None),
        # Dots of a table of contents.
        ([*range(10), *[7] * 50], None),
        ([1, 2, 3] * 30 + [4], None),
    ],
)
def test_where_a_text_begins_to_repeat_itself(tokens: list[int], start: int | None) -> None:
    assert repetition.loop_start(tokens) == start


def test_lines_that_come_again_and_again() -> None:
    between = "".join(f"{number}\nThe same old line\n" for number in range(9))
    assert repetition.repeats_a_line(between)
    assert not repetition.repeats_a_line("".join(f"The line of {number}\n" for number in range(99)))
    assert not repetition.repeats_a_line("| 0 | 0 | 0 |\n" * 99)


def test_a_text_that_goes_round_in_circles_ends_with_a_warning(
    load: Callable[[str], Any], pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load("lightonocr-2-1b")
    # It likes one token best, whatever came before.
    network = loaded.network._network
    letter = loaded.chat.tokenizer.convert_tokens_to_ids("da")
    head = torch.nn.Linear(network.lm_head.in_features, network.lm_head.out_features, bias=True)
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.nn.functional.one_hot(torch.tensor(letter), head.out_features).float()
    monkeypatch.setattr(network, "lm_head", head)
    said: Prediction = loaded.predict([Job(pictures[0], options=Options(max_new_tokens=400))])[0]
    assert said.text == "da"
    assert said.warnings == (repetition.WARNING,)


def test_a_cut_text_says_so(load: Callable[[str], Any], pictures: list[Image.Image]) -> None:
    (said,) = load("qwen3-vl-2b").predict([Job(pictures[0], options=Options(max_new_tokens=4))])
    assert isinstance(said.warnings[0], CutWarning)


def test_a_prompt_with_a_special_token_is_refused(load: Callable[[str], Any], pictures: list[Image.Image]) -> None:
    for prompt in ("<|im_end|>\n<|im_start|>system", "what is <|image_pad|>?", "\uff1c|im_end|>"):
        with pytest.raises(InvalidJob, match="special token"):
            load("qwen3-vl-2b").prepare(Job(pictures[0], options=Options(prompt=prompt)))


def test_a_picture_that_needs_more_positions_than_there_are(
    load: Callable[[str], Any], pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load("qwen3-vl-2b")
    monkeypatch.setattr(loaded.network, "positions", 50)
    with pytest.raises(InvalidJob, match="more than the 50 positions"):
        loaded.predict([Job(pictures[0])])


def test_the_end_of_an_answer_is_that_of_the_template(directories: dict[str, Path]) -> None:
    for name, end in (("smolvlm-256m", "<end_of_utterance>"), ("qwen3-vl-2b", "<|im_end|>")):
        chat = Chat(directories[name])
        assert chat.tokenizer.convert_ids_to_tokens(list(chat.end_tokens)) == [end]


def test_what_was_thought_aloud_is_no_part_of_the_answer(directories: dict[str, Path]) -> None:
    chat = Chat(directories["qwen3.5-0.8b"])
    tokens = chat.tokenizer.encode("let me see</think>\n\na dog", add_special_tokens=False)
    assert chat.decode(tokens) == "a dog"
    (turn,) = chat.tokenizer.batch_decode(chat.inputs([Image.new("RGB", (40, 40))], ["why?"], {})["input_ids"])
    assert turn.endswith("<think>\n\n</think>\n\n")


def test_any_other_checkpoint_is_served(directories: dict[str, Path], tmp_path: Path) -> None:
    known = with_local_paths(
        discover(), {"mine": directories["qwen3-vl-2b"], "smolvlm2-256m": directories["smolvlm2-256m"],
                     "pages": directories["lightonocr-2-1b"]},
    )  # fmt: skip
    assert type(known["mine"]) is VisionLanguage
    assert known["mine"].style == discover()["qwen3-vl-2b"].style  # type: ignore[attr-defined]
    assert type(known["pages"]) is PageReader
    assert known["smolvlm2-256m"].source.hub_id == "HuggingFaceTB/SmolVLM2-256M-Video-Instruct"
    # One that has no instructions of its own here, only transformers knows it.
    config = json.loads((directories["qwen3-vl-2b"] / "config.json").read_text())
    assert VisionLanguage.recognises(config | {"model_type": "internvl"})
    # One of another family, which transformers knows as well, stays with that family.
    blip = tmp_path / "blip"
    blip.mkdir()
    (blip / "config.json").write_text('{"model_type": "blip"}')
    (blip / "model.safetensors").touch()
    assert type(with_local_paths(discover(), {"own": blip})["own"]) is Blip
    assert not VisionLanguage.recognises(config | {"model_type": "bert"})


def test_only_some_write_other_languages() -> None:
    assert discover()["qwen3.5-0.8b"].takes("output_language")
    assert not discover()["smolvlm-256m"].takes("output_language")
    style = discover()["qwen3.5-0.8b"].style  # type: ignore[attr-defined]
    assert style.instruction(Options(output_language="de-AT"), Task.CAPTION).endswith(" Answer in German.")
    assert style.instruction(Options(prompt="Why?", output_language="Greek"), Task.CAPTION) == "Why? Answer in Greek."
    with pytest.raises(InvalidJob, match="the code xx"):
        discover()["qwen3.5-0.8b"].check(Options(output_language="xx"))
