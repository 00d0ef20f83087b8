"""Florence-2: describes, reads, and finds objects and phrases, by the words of its prompt.

Xiao et al. 2023, "Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks",
https://arxiv.org/abs/2311.06242. The prompts are those that the authors trained it with.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Options, Placement, Prediction, Source, Task
from models.found import Line
from models.generation import PreparedJob
from models.preprocessing import locations
from models.preprocessing.pixels import Pixels, image_processor
from models.preprocessing.tokens import cut

if TYPE_CHECKING:
    import torch

_DESCRIBE = {
    None: "What does the image describe?",
    "detailed": "Describe in detail what is shown in the image.",
    "full": "Describe with a paragraph what is shown in the image.",
}
"""`<CAPTION>`, `<DETAILED_CAPTION>` and `<MORE_DETAILED_CAPTION>`, as the authors write them out."""
_DETECT = "Locate the objects with category name in the image."
_DETECT_AND_DESCRIBE = "Locate the objects in the image, with their descriptions."
_GROUND = "Locate the phrases in the caption: "
_READ = "What is the text in the image, with regions?"

_MAX_NEW_TOKENS = 256
"""Of a description. The authors allow 1,024 of anything; a paragraph has about 100."""
_MOST_NEW_TOKENS = 1023
"""Of lines and boxes, which take eight tokens or four each: all that the smaller decoder has positions for."""
_PLACES = 191
"""How many tokens a prompt may have. With the 577 of an image, it makes 768 positions for the encoder, whose sizes are
static for the sake of speed."""
_SPECIAL_TOKENS = re.compile(
    r"</?(s|pad|unk|mask|od|ocr|cap|ncap|dcap|grounding|seg|region_cap|region_to_desciption|proposal|poly)>"
    r"|<(sep|and|image|loc_\d+)>",
    re.IGNORECASE,
)


class Florence2(Model):
    """Florence-2 in the layout of florence-community. The repositories of its authors run code of their own."""

    files = (
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json", "vocab.json"),
        ("tokenizer.json", "merges.txt"),
    )
    task = Task.CAPTION
    other_tasks = (Task.GROUNDED_CAPTION, Task.READ_PAGE, Task.DETECT)
    accepts = ("image", "prompt")
    options = generation.OPTIONS | {"detail"}
    only_for: ClassVar[Mapping[str, frozenset[Task]]] = {
        "prompt": frozenset({Task.GROUNDED_CAPTION}),
        "detail": frozenset({Task.CAPTION, Task.GROUNDED_CAPTION, Task.DETECT}),
    }
    model_type = "florence2"
    input_side = 768
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedFlorence2(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The checkpoint's start and padding tokens, the first and the last of its location tokens, the number of tokens
    that its decoder has positions for, and the number that its encoder takes of a prompt."""

    start_token: int
    padding_token: int
    locations: tuple[int, int]
    positions: int
    places: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared(PreparedJob):
    """A prepared job with all tokens of its prompt, which may be too many."""

    words: Sequence[int]


class LoadedFlorence2(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self._banned = _banned_phrases(directory)
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> _Prepared:
        assert job.image is not None
        facts, most = self.network.facts, _MAX_NEW_TOKENS
        if job.options.task not in (None, Task.CAPTION):
            most = _MOST_NEW_TOKENS
        request = generation.make_request(
            job.options, [facts.start_token], most, facts.positions, self.network.rules.num_beams
        )
        words = self.network.tokens.encode(f"<s>{_prompt(job.options)}</s>", special=False)
        pixels = self._pixels(job.image)
        return _Prepared(image=job.image, options=job.options, request=request, inputs=pixels, words=words)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        facts, prepared = self.network.facts, [job if isinstance(job, _Prepared) else self.prepare(job) for job in jobs]
        pixels = np.stack([job.inputs for job in prepared])
        tokens = np.full((len(prepared), facts.places), facts.padding_token)
        mask = np.zeros(tokens.shape, np.int64)
        for row, job in enumerate(prepared):
            words = cut(list(job.words), facts.places)
            tokens[row, : len(words)], mask[row, : len(words)] = words, 1
        requests = [job.request for job in prepared]
        texts, _ = generation.generate(self.network, [pixels, tokens, mask], requests, self.network.rules)
        return [self._prediction(*pair) for pair in zip(prepared, texts, strict=True)]

    def _prediction(self, job: _Prepared, text: generation.Text) -> Prediction:
        warnings: tuple[str, ...] = generation.cut_warning(text, job.request, self.network.rules)
        if len(job.words) > self.network.facts.places:
            warnings += (f"only the first {self.network.facts.places} tokens of the text were looked for",)
        said = self._said(job.options, text)
        return replace(said, warnings=warnings, tokens=len(text.tokens))

    def _said(self, options: Options, text: generation.Text) -> Prediction:
        tokens = self.network.tokens
        if options.task in (None, Task.CAPTION):
            return Prediction(tokens.decode(text.tokens).strip())
        tagged = tokens.decode(text.tokens, special=True)
        if options.task is Task.READ_PAGE:
            return Prediction.of_lines(self._lines(tagged, text))
        found = locations.read_objects(tagged)
        if options.task is Task.DETECT:
            names, entities = locations.entities_of_labels(found)
            return Prediction(names, entities=entities)
        caption = options.prompt or ""
        return Prediction(caption, entities=locations.entities_of_phrases(caption, found, self._banned))

    def _lines(self, tagged: str, text: generation.Text) -> list[Line]:
        """Return the lines of a page, each with the confidence of its own words where these can be told apart."""
        lines = locations.read_lines(tagged)
        sure = self._confidences(text)
        if len(sure) != len(lines):
            sure = [text.confidence] * len(lines)
        return [Line(words, confidence, polygon) for (words, polygon), confidence in zip(lines, sure, strict=True)]

    def _confidences(self, text: generation.Text) -> list[float]:
        """Return the confidence of each run of words that locations follow."""
        first, last = self.network.facts.locations
        found: list[float] = []
        scores: list[float] = []
        for token, score in zip(text.tokens, text.scores, strict=True):
            if not first <= token <= last:
                scores.append(score)
            elif scores:
                found.append(generation.Text((), tuple(scores)).confidence)
                scores = []
        return found


def _prompt(options: Options) -> str:
    if options.task is Task.READ_PAGE:
        return _READ
    if options.task is Task.DETECT:
        return _DETECT_AND_DESCRIBE if options.detail else _DETECT
    if options.task is Task.GROUNDED_CAPTION:
        return _GROUND + (options.prompt or "").strip()
    return _DESCRIBE[options.detail]


def _banned_phrases(directory: Path) -> frozenset[str]:
    """Return the phrases that name nothing, such as `it`, which the processor's config lists."""
    file = directory / "processor_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    grounding = (config.get("post_processor_config") or {}).get("phrase_grounding") or {}
    return frozenset(grounding.get("banned_grounding_tokens") or ())


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a checkpoint of Florence-2: a DaViT, and the encoder and decoder of a BART.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    import torch
    from transformers import Florence2ForConditionalGeneration

    from models.backends.torch import read_weights
    from models.networks.bart import layers_of
    from models.networks.checkpoint import read_rules, read_tokenizer
    from models.networks.decoder import Decoder
    from models.networks.embeddings import PositionEmbedding
    from models.networks.encoders import ImageAndTextEncoder, image_examples

    network = read_weights(Florence2ForConditionalGeneration, directory, dtype)
    decoder, config = network.model.language_model.decoder, network.config.text_config
    heads = config.decoder_attention_heads
    layers = layers_of(decoder, heads)
    positions = decoder.embed_positions
    embed = PositionEmbedding(decoder.embed_tokens, positions.weight[positions.offset :], decoder.layernorm_embedding)
    tokens, seen = read_tokenizer(directory), int(image_processor(directory)["image_seq_length"])
    places = _PLACES + -(seen + _PLACES) % backends.ALIGNMENT
    size = Pixels(directory).size
    assert size is not None
    pixels = image_examples(size[0], dtype)
    examples = [(*image, *[torch.ones(len(image[0]), places, dtype=torch.long)] * 2) for image in pixels]
    (first,), (last,) = (tokens.encode(f"<loc_{number}>", special=False) for number in (0, 999))
    return backends.Checkpoint(
        ImageAndTextEncoder(network.model, layers),
        Decoder(embed, layers, network.lm_head, heads, config.d_model // heads),
        (examples[0], examples[1]),
        tokens,
        read_rules(directory, network.generation_config),
        Facts(
            network.generation_config.decoder_start_token_id,
            config.pad_token_id,
            (first, last),
            config.max_position_embeddings,
            places,
        ),
    )


MODELS = (
    Florence2(
        "florence-2-base",
        Source("florence-community/Florence-2-base", license="MIT", size_bytes=463_000_000),
    ),
    Florence2(
        "florence-2-large",
        Source("florence-community/Florence-2-large", license="MIT", size_bytes=1_550_000_000),
    ),
)
