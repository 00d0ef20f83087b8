"""T5 tag generation: from a text to tags.

Raffel et al. 2019, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
https://arxiv.org/abs/1910.10683, as fine-tuned in https://huggingface.co/fabiochiu/t5-base-tag-generation.
The example on the model's page samples and collects the tags in a set, so they change from run to run. Here beam search
gives the same tags each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models import backends, generation
from models.base import Job, Loaded, Model, Placement, Prediction, Source, Task
from models.generation import PreparedJob
from models.preprocessing.tokens import cut

if TYPE_CHECKING:
    import torch

_MAX_INPUT_TOKENS = 512


class T5Tags(Model):
    """T5 fine-tuned to write a text's tags, separated by commas."""

    files = (("tokenizer.json", "spiece.model"),)
    task = Task.TAG
    accepts = ("text",)
    model_type = "t5"

    def load(self, directory: Path, placement: Placement) -> Loaded:
        return LoadedT5Tags(directory, placement)


@dataclass(frozen=True)
class Facts:
    """The checkpoint's start and padding tokens."""

    start_token: int
    padding_token: int


class LoadedT5Tags(Loaded):
    def __init__(self, directory: Path, placement: Placement) -> None:
        self.network = backends.load(read_checkpoint, Facts, directory, placement)
        self.device, self.precision = self.network.device, self.network.precision
        # The model page's number of beams, and its lengths of 10 to 64 tokens, which count the start token.
        start = (self.network.facts.start_token,)
        self._request = generation.TextRequest(start, min_new_tokens=9, max_new_tokens=63, num_beams=8)

    def prepare(self, job: Job) -> PreparedJob:
        return PreparedJob.of(job, self._request, np.array(self.network.tokens.encode(job.text or "")))

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        prepared = generation.prepare_all(jobs, self.prepare)
        inputs = [cut(job.inputs.tolist(), _MAX_INPUT_TOKENS) for job in prepared]
        lengths = np.array([len(tokens) for tokens in inputs])
        padded_length = -(-lengths.max() // backends.ALIGNMENT) * backends.ALIGNMENT
        mask = np.arange(padded_length) < lengths[:, None]
        tokens = np.full(mask.shape, self.network.facts.padding_token)
        tokens[mask] = np.concatenate(inputs)
        requests = [job.request for job in prepared]
        texts, _ = generation.generate(self.network, [tokens, mask.astype(np.int64)], requests, self.network.rules)
        return [self._prediction(*pair) for pair in zip(prepared, texts, strict=True)]

    def _prediction(self, job: PreparedJob, text: generation.Text) -> Prediction:
        warnings = []
        if len(job.inputs) > _MAX_INPUT_TOKENS:
            warnings.append(f"only the first {_MAX_INPUT_TOKENS} tokens of the text were read")
        if generation.is_cut(text, job.request, self.network.rules):
            warnings.append("the tags were cut: the last one may be incomplete")
        written = self.network.tokens.decode(text.tokens)
        return Prediction(written.strip(), tags=split_tags(written), warnings=tuple(warnings), tokens=len(text.tokens))


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a comma-separated text in order. Of tags that differ only in case, the first is kept."""
    tags: dict[str, str] = {}
    for tag in filter(None, (part.strip() for part in text.split(","))):
        tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())


def read_checkpoint(directory: Path, dtype: "torch.dtype") -> backends.Checkpoint[Facts]:
    """Read a checkpoint of T5.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    from transformers import T5ForConditionalGeneration

    from models.backends.torch import read_weights
    from models.networks.checkpoint import read_rules, read_tokenizer
    from models.networks.decoder import CrossAttention, Decoder, Layer, SelfAttention
    from models.networks.embeddings import RelativePositions, ScaledHead, WordEmbedding
    from models.networks.encoders import TextEncoder, text_examples

    network = read_weights(T5ForConditionalGeneration, directory, dtype)
    config, decoder = network.config, network.decoder
    heads, layers = config.num_heads, []
    for block in decoder.block:
        own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
        # T5 does not scale the products of queries and keys.
        attention = SelfAttention([own.q, own.k, own.v], own.o, heads, scale=1.0)
        cross_attention = CrossAttention(cross.q, cross.k, cross.v, cross.o, heads, scale=1.0)
        layers.append(
            Layer(
                (attention, block.layer[0].layer_norm),
                (cross_attention, block.layer[1].layer_norm),
                (block.layer[2].DenseReluDense, block.layer[2].layer_norm),
                norm_first=True,
            )
        )
    head_scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
    return backends.Checkpoint(
        TextEncoder(network.encoder, layers),
        Decoder(
            WordEmbedding(network.shared),
            layers,
            ScaledHead(decoder.final_layer_norm, network.lm_head, head_scale),
            heads,
            config.d_kv,
            RelativePositions(decoder.block[0].layer[0].SelfAttention),
        ),
        text_examples(),
        read_tokenizer(directory),
        read_rules(directory, network.generation_config),
        Facts(config.decoder_start_token_id, config.pad_token_id),
    )


MODELS = (T5Tags("t5-tags", Source("fabiochiu/t5-base-tag-generation", license="Apache-2.0", size_bytes=890_000_000)),)
