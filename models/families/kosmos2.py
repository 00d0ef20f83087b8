"""Kosmos-2: captions whose phrases come with boxes.

Peng et al. 2023, "Kosmos-2: Grounding Multimodal Large Language Models to the World",
https://arxiv.org/abs/2306.14824.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.generation import PreparedJob
from models.preprocessing.grounding import read
from models.preprocessing.pixels import Pixels

if TYPE_CHECKING:
    import torch

# The authors' two prompts and their limit of tokens.
BRIEF = "An image of"
DETAILED = "Describe this image in detail:"
_MAX_NEW_TOKENS = 128
_SPECIAL_TOKENS = re.compile(
    r"</?(s|pad|unk|mask|doc|chunk|line|image|phrase|object|grounding)>|</?delimiter_of_multi_objects/?>"
    r"|<patch_index_\d+>",
    re.IGNORECASE,
)


class Kosmos2(Model):
    """Kosmos-2. The model continues `<grounding>` and the prompt."""

    files = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "sentencepiece.bpe.model"))
    task = Task.GROUNDED_CAPTION
    accepts = ("image", "prompt")
    options = generation.OPTIONS | {"detail"}
    model_type = "kosmos-2"
    input_side = 224
    special_tokens = _SPECIAL_TOKENS
    max_new_tokens = _MAX_NEW_TOKENS
    batch_size = 4

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedKosmos2(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The number of tokens that the decoder has positions for, the number of tokens of an image, and the first of the
    ids that the processor writes for these."""

    positions: int
    image_tokens: int
    first_image_token: int


class LoadedKosmos2(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self._pixels = Pixels(directory)
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision

    def prepare(self, job: Job) -> PreparedJob:
        assert job.image is not None
        text = job.options.prompt or (DETAILED if job.options.detail else BRIEF)
        prompt = self._prompt(f"<grounding>{text}".strip())
        request = generation.make_request(
            job.options, prompt, _MAX_NEW_TOKENS, self.network.facts.positions, self.network.rules.num_beams
        )
        return PreparedJob.of(job, replace(request, counted=self._counted(prompt)), self._pixels(job.image))

    def _prompt(self, text: str) -> list[int]:
        """Return the tokens of a prompt, which begins with the image."""
        places = self.network.facts.image_tokens
        images = " ".join(["<image>"] * (1 + places))
        tokens = self.network.tokens.encode(f"<s>{images} </image> {text}", special=False)
        return [*tokens[:2], *[generation.IMAGE_TOKEN] * places, *tokens[2 + places :]]

    def _counted(self, prompt: Sequence[int]) -> tuple[int, ...]:
        """Return a prompt with the ids that the processor writes for the tokens of the image, which count up."""
        places = count(self.network.facts.first_image_token)
        return tuple(next(places) if token == generation.IMAGE_TOKEN else token for token in prompt)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        texts, _ = generation.generate_of_images(self.network, prepared, self.network.rules)
        return [self._prediction(*pair) for pair in zip(prepared, texts, strict=True)]

    def _prediction(self, job: PreparedJob, text: generation.Text) -> Prediction:
        assert job.image is not None
        # The text that the caller sees starts after the image.
        prompt = [token for token in job.request.prompt if token != generation.IMAGE_TOKEN]
        tagged = self.network.tokens.decode([*prompt, *text.tokens]).rpartition("</image>")[2]
        clean, entities = read(tagged, self._pixels.seen_part(job.image.size))
        warnings = generation.cut_warning(text, job.request, self.network.rules)
        return Prediction(clean, entities=entities, warnings=warnings, tokens=len(text.tokens))


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a checkpoint of Kosmos-2, whose decoder reads the image as part of the prompt.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from torch import nn
    from transformers import Kosmos2ForConditionalGeneration, Kosmos2Processor

    from models.backends.torch import read_weights
    from models.networks.checkpoint import read_rules
    from models.networks.decoder import Decoder, Layer, SelfAttention
    from models.networks.embeddings import PromptImageEmbedding
    from models.networks.encoders import PromptImageEncoder, image_examples
    from models.preprocessing.tokens import Tokens

    tokenizer = Kosmos2Processor.from_pretrained(directory, local_files_only=True).tokenizer
    network = read_weights(Kosmos2ForConditionalGeneration, directory, dtype)
    text, config = network.text_model.model, network.config.text_config
    heads = config.attention_heads
    layers = []
    for layer in text.layers:
        own = layer.self_attn
        projections = [own.q_proj, own.k_proj, own.v_proj]
        attention = SelfAttention(projections, own.out_proj, heads, own.scaling, own.inner_attn_ln)
        feed_forward = (layer.ffn, layer.final_layer_norm)
        layers.append(Layer((attention, layer.self_attn_layer_norm), None, feed_forward, norm_first=True))
    # The table of positions begins with unused rows, up to the index of padding.
    table = text.embed_positions.weights[config.pad_token_id + 1 :].to(text.embed_tokens.weight.dtype)
    embed = PromptImageEmbedding(text.embed_tokens, text.embed_scale, table)
    head = nn.Sequential(text.layer_norm, network.text_model.lm_head)
    return backends.Checkpoint(
        PromptImageEncoder(network),
        Decoder(embed, layers, head, heads, config.embed_dim // heads),
        image_examples(network.config.vision_config.image_size, dtype),
        Tokens.of(tokenizer),
        read_rules(directory, network.text_model.generation_config),
        # The processor's ids count up from the one after <unk>.
        Facts(config.max_position_embeddings, network.config.latent_query_num, tokenizer.unk_token_id + 1),
    )


MODELS = (
    Kosmos2(
        "kosmos-2",
        Source(
            "microsoft/kosmos-2-patch14-224",
            "e91cfbcb4ce051b6a55bfb5f96165a3bbf5eb82c",
            license="MIT",
            size_bytes=6_700_000_000,
            fallback="main",
        ),
    ),
)
