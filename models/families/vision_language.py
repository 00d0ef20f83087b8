"""Vision-language models: any checkpoint of transformers' `AutoModelForImageTextToText`, asked in words.

One checkpoint describes, tags, reads and answers questions, by its instruction. The checkpoints below are known to
the service with instructions of their own; MODEL_PATHS serves others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import Job, Loaded, Model, Options, Placement, Prediction, Source, Task
from models.generation import cut_after, repetition, schema
from models.preprocessing.doctags import text_of
from models.preprocessing.languages import language_name

if TYPE_CHECKING:
    from models.backends.chat import Limits, Text

_MAX_NEW_TOKENS, _MAX_PAGE_TOKENS = 512, 2048
_TAGS = '{"type":"object","properties":{"tags":{"type":"array","items":{"type":"string","maxLength":40},"minItems":1,\
"maxItems":15}},"required":["tags"]}'
_WITHOUT_WORDS = frozenset(
    {
        "blip",
        "evolla",
        "florence2",
        "git",
        "kosmos-2",
        "pi0",
        "pix2struct",
        "pp_formulanet",
        "udop",
        "vision-encoder-decoder",
    }
)
"""Architectures that transformers loads with the same class, and that follow no instruction."""
_ANSWERS = frozenset({Task.CAPTION, Task.READ_PAGE})


@dataclass(frozen=True)
class Style:
    """How checkpoints of one kind are asked.

    caption, detailed, full, tags, read, alt_text: instructions for requests without a prompt.
    glance: options of the image processor for texts that need no details: captions, tags, alt texts.
    look: the same for everything else. Where they are empty, the checkpoint's own hold.
    doctags: whether it writes pages in DocTags, of which the text is taken.
    languages: whether it writes other languages than English.
    """

    caption: str = "Describe this image in one sentence."
    detailed: str = "Describe this image in detail, in three or four sentences."
    full: str = "Describe everything that can be seen in this image, in as much detail as possible."
    tags: str = "List tags for this image: the things, the place, the colours and what happens, one or two words each."
    read: str = "Write down all text in this image, exactly as it stands there, and nothing else."
    alt_text: str = "Write an alternative text for this image: one sentence that says what matters in it."
    glance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    look: Mapping[str, Any] = field(default_factory=dict, hash=False)
    doctags: bool = False
    languages: bool = True

    def instruction(self, options: Options, task: Task) -> str:
        """Return what a job asks: its prompt, or the words for its task."""
        if options.prompt:
            asked = options.prompt
        elif task is Task.CAPTION and options.detail:
            asked = self.full if options.detail == "full" else self.detailed
        else:
            asked = {
                Task.READ_PAGE: self.read,
                Task.TAG: self.tags,
                Task.ALT_TEXT: self.alt_text,
            }.get(task, self.caption)
        if options.schema and not options.prompt:
            asked += f" Answer in JSON of this schema: {options.schema}"
        if options.output_language:
            asked += f" Answer in {language_name(options.output_language)}."
        return asked

    def scaling(self, options: Options, task: Task) -> Mapping[str, Any]:
        """Return the options of the image processor for a job."""
        glances = task is not Task.READ_PAGE and not options.prompt and not options.detail
        return self.glance if glances else self.look


@dataclass(frozen=True)
class VisionLanguage(Model):
    """A model that follows an instruction about a picture."""

    style: Style = Style()

    files = (
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json", "vocab.json", "tokenizer.model"),
        ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"),
    )
    task = Task.CAPTION
    other_tasks: ClassVar[tuple[Task, ...]] = (Task.READ_PAGE, Task.TAG, Task.ALT_TEXT)
    accepts = ("image", "instruction")
    options = frozenset({"detail", "min_new_tokens", "max_new_tokens", "num_beams", "schema", "output_language"})
    only_for: ClassVar[Mapping[str, frozenset[Task]]] = {"schema": _ANSWERS, "detail": frozenset({Task.CAPTION})}
    max_new_tokens = _MAX_NEW_TOKENS
    tags_images = True
    batch_size = 4

    def takes(self, option: str, task: Task | None = None) -> bool:
        return super().takes(option, task) and (option != "output_language" or self.style.languages)

    def check(self, options: Options) -> None:
        super().check(options)
        if options.schema:
            schema.grammar_of(options.schema)
        if options.output_language:
            language_name(options.output_language)

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        kind = config.get("model_type")
        return kind in _STYLES or (kind not in _WITHOUT_WORDS and kind in _known_to_transformers())

    @classmethod
    def of_checkpoint(cls, name: str, source: Source, config: Mapping[str, Any]) -> Model:
        return cls(name, source, style=_STYLES.get(config["model_type"], Style()))

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedVisionLanguage(self, directory, placement)


class PageReader(VisionLanguage):
    """A model that was made to read pages. It follows the instructions of its card, if any."""

    task = Task.READ_PAGE
    other_tasks = ()
    options = VisionLanguage.options - {"detail", "output_language"}
    max_new_tokens = _MAX_PAGE_TOKENS
    tags_images = False
    batch_size = 2

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in _READERS

    @classmethod
    def of_checkpoint(cls, name: str, source: Source, config: Mapping[str, Any]) -> Model:
        return cls(name, source, style=_READERS[config["model_type"]])


class LoadedVisionLanguage(Loaded):
    """A vision-language model in memory."""

    def __init__(self, model: VisionLanguage, directory: Path, placement: Placement) -> None:
        from models.backends.chat import ChatNetwork
        from models.preprocessing.chat import Chat

        self._model = model
        self.chat = Chat(directory)
        self.network = ChatNetwork(directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> Job:
        self.chat.check(job.options.prompt or "")
        return job

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        predictions: dict[int, Prediction] = {}
        numbered = sorted(enumerate(map(self.prepare, jobs)), key=lambda pair: repr(self._batch_key(pair[1])))
        for _, group in groupby(numbered, key=lambda pair: self._batch_key(pair[1])):
            numbers, alike = zip(*group, strict=True)
            predictions |= dict(zip(numbers, self._predict_alike(alike), strict=True))
        return [predictions[number] for number in range(len(jobs))]

    def _task(self, job: Job) -> Task:
        return job.options.task or self._model.task

    def _batch_key(self, job: Job) -> Options:
        """Return what jobs must have in common to be in one batch: all but the prompt, where there is a template."""
        asked = job.options.prompt if not self.chat.has_template else job.options.prompt and ""
        return replace(job.options, prompt=asked, output_language=None)

    def _predict_alike(self, jobs: Sequence[Job]) -> Iterator[Prediction]:
        """Predict jobs that have all but their prompts in common."""
        task, style, limits = self._task(jobs[0]), self._model.style, self._limits(jobs[0])
        pictures = [job.image for job in jobs if job.image is not None]
        asked = [style.instruction(job.options, self._task(job)) for job in jobs]
        inputs = self.chat.inputs(pictures, asked, style.scaling(jobs[0].options, task))
        texts = self.network.generate(inputs, self.chat.tokenizer, self.chat.end_tokens, limits)
        return (self._prediction(text, task, limits, job) for text, job in zip(texts, jobs, strict=True))

    def _limits(self, job: Job) -> "Limits":
        from models.backends.chat import Limits

        options, wanted = job.options, _TAGS if self._task(job) is Task.TAG else job.options.schema
        most = options.max_new_tokens or self._model.max_new_tokens or _MAX_NEW_TOKENS
        if wanted is not None:
            return Limits(most, schema=wanted)
        return Limits(most, options.min_new_tokens, options.num_beams or 1)

    def _prediction(self, text: "Text", task: Task, limits: "Limits", job: Job) -> Prediction:
        warnings: list[str] = []
        if limits.schema is not None:
            said = self.network.json_text(text.tokens)
            if job.options.schema:
                warnings += schema.grammar_of(job.options.schema)[1]
            if (job.options.num_beams or 1) > 1:
                warnings.append("num_beams has no effect on an answer in JSON")
        elif self._model.style.doctags and not job.options.prompt:
            said = text_of(self.chat.tagged(text.tokens))
        else:
            said = self.chat.decode(text.tokens)
        if text.repeats:
            warnings.append(repetition.WARNING)
        elif not text.ended and limits.schema is None:
            warnings.append(cut_after(limits.max_new_tokens))
        tags = None
        if task is Task.TAG:
            tags = tuple(dict.fromkeys(filter(None, (tag.strip() for tag in json.loads(said)["tags"]))))
            said = ", ".join(tags)
        return Prediction(said, tags=tags, warnings=tuple(warnings), tokens=len(text.tokens))


def _known_to_transformers() -> Mapping[str, str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


_SMOLVLM = Style(
    caption="Describe this image in one sentence.",
    # One tile of 512 x 512 pixels in place of up to seventeen.
    glance={"do_image_splitting": False},
    languages=False,
)
# Half a megapixel, and one and a half: the checkpoints themselves take pictures of up to sixteen.
_QWEN = Style(
    glance={"size": {"shortest_edge": 65_536, "longest_edge": 524_288}},
    look={"size": {"shortest_edge": 65_536, "longest_edge": 1_572_864}},
)
_STYLES: Mapping[str, Style] = {"idefics3": _SMOLVLM, "smolvlm": _SMOLVLM, "qwen3_vl": _QWEN, "qwen3_5": _QWEN}
"""How checkpoints of a `model_type` are asked."""
_READERS: Mapping[str, Style] = {
    "lighton_ocr": Style(read="", languages=False),
    "paddleocr_vl": Style(read="OCR:", languages=False),
    "kosmos-2.5": Style(read="<md>", languages=False),
    "granite_docling": Style(read="Convert this page to docling.", languages=False, doctags=True),
    "glm_ocr": Style(read="Text Recognition:", languages=False),
}
"""The same for those that were made to read pages."""


_PINNED = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": "7e3e67edbbed1bf9888184d9df282b700a323964",
    "HuggingFaceTB/SmolVLM-500M-Instruct": "a7da5b986cb59b408707209984f360a5f4ad7e47",
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": "067788b187b95ebe7b2e040b3e4299e342e5b8fd",
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": "7b375e1b73b11138ff12fe22c8f2822d8fe03467",
}
"""Commits whose files this family was written for, where they are known."""


def _rows(family: type[VisionLanguage], *rows: tuple[str, str, str, int, Style]) -> Iterator[VisionLanguage]:
    """Yield models by their names, hub ids, licences, sizes in megabytes, and styles."""
    for name, hub_id, license, size, style in rows:
        source = Source(hub_id, _PINNED.get(hub_id, "main"), license, size * 1_000_000, fallback="main")
        yield family(name, source, style=style)


MODELS = (
    *_rows(
        VisionLanguage,
        ("smolvlm-256m", "HuggingFaceTB/SmolVLM-256M-Instruct", "Apache-2.0", 513, _SMOLVLM),
        ("smolvlm-500m", "HuggingFaceTB/SmolVLM-500M-Instruct", "Apache-2.0", 1_015, _SMOLVLM),
        ("smolvlm2-256m", "HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "Apache-2.0", 1_026, _SMOLVLM),
        ("smolvlm2-500m", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "Apache-2.0", 2_030, _SMOLVLM),
        ("qwen3.5-0.8b", "Qwen/Qwen3.5-0.8B", "Apache-2.0", 1_750, _QWEN),
        ("qwen3-vl-2b", "Qwen/Qwen3-VL-2B-Instruct", "Apache-2.0", 4_260, _QWEN),
    ),
    *_rows(
        PageReader,
        ("granite-docling-258m", "ibm-granite/granite-docling-258M", "Apache-2.0", 630, _READERS["granite_docling"]),
        ("lightonocr-2-1b", "lightonai/LightOnOCR-2-1B", "Apache-2.0", 2_100, _READERS["lighton_ocr"]),
        ("paddleocr-vl", "PaddlePaddle/PaddleOCR-VL", "Apache-2.0", 1_920, _READERS["paddleocr_vl"]),
        ("kosmos-2.5", "microsoft/kosmos-2.5", "MIT", 5_500, _READERS["kosmos-2.5"]),
    ),
)
