"""What the machine can do, and how long a model would take if nothing but that held it up.

A text takes at least the arithmetic of its encoder, at the rate of matrix products, and for each new token the
weights that a decoder step reads, at the bandwidth of memory. A batch has the arithmetic of each of its images, and
reads the weights once; where it has so many texts in the making that a step's arithmetic takes longer than that, the
arithmetic counts.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino as ov
import torch
import transformers
from openvino import opset13 as ops
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import NEW_TOKENS
from models.backends.threads import cores

_BYTES = 2
"""Of a weight in bfloat16, in which this service computes where the processor has it."""
_ROUNDS = 12
_SIDE = 4096
"""Of the square matrices that torch multiplies."""
_LAYER = (1024, 1024, 4096)
"""Rows, inputs and outputs of a layer as encoders have them."""
_TEXT_TOKENS = 64
"""Of a text to tag; its encoder's part is small."""


@dataclass(frozen=True)
class Machine:
    """Operations per second of the fastest matrix product in bfloat16, and bytes per second read from memory."""

    rate: float
    bandwidth: float


@dataclass(frozen=True)
class Cost:
    """Operations for one input before its first token, bytes that each step reads, how many steps there are, and how
    many texts are in the making for each input: the beams of the search."""

    flop: float
    step_bytes: float
    steps: int
    beams: int = 1

    def seconds(self, machine: Machine, batch: int = 1) -> float:
        """Return the least time for a batch."""
        reading = self.step_bytes / machine.bandwidth
        # Of each weight that is read, a multiplication and an addition for each text.
        computing = 2 * self.step_bytes / _BYTES * self.beams * batch / machine.rate
        return batch * self.flop / machine.rate + self.steps * max(reading, computing)


def machine() -> Machine:
    """Measure this machine as it is now: the medians of some rounds each, of the fastest way that is known here.

    What others do on the same host may slow it down: memory was seen to be read at 40 and at 80 GB/s within a minute.
    """
    square, (rows, inputs, outputs) = torch.randn(_SIDE, _SIDE, dtype=torch.bfloat16), _LAYER
    rates = 2 * _SIDE**3 / _median(lambda: square @ square), 2 * rows * inputs * outputs / _median(_layer())
    much = torch.ones(256 * 1024 * 1024)  # a gigabyte: far more than any cache
    matrix, column = much.view(8192, -1), torch.ones(much.numel() // 8192)
    reading = min(_median(lambda: much.sum()), _median(lambda: matrix @ column))
    return Machine(max(rates), much.numel() * much.element_size() / reading)


def _layer() -> Callable[[], object]:
    """Return a layer's product as a convolution of width one, with its weights laid out beforehand: the fastest that is
    known here."""
    rows, inputs, outputs = _LAYER
    given = ops.parameter([1, rows, inputs], ov.Type.bf16)
    kernel = ops.constant(np.random.default_rng(0).standard_normal((outputs, inputs, 1), np.float32))
    turned = ops.constant([0, 2, 1])
    product = ops.convolution(ops.transpose(ops.convert(given, "f32"), turned), kernel, [1], [0], [0], [1])
    model = ov.Model([ops.convert(ops.transpose(product, turned), "bf16")], [given], "product")
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": cores(), "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer()


def _median(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def cost(directory: Path) -> Cost:
    """Count what a checkpoint's network does, without its weights. T5 ends when it likes: `steps` is the most.

    Raises:
        KeyError: of a family that is not counted here.
    """
    config = transformers.AutoConfig.from_pretrained(directory)
    kind = json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"]
    with torch.device("meta"):
        counts = {"blip": _blip, "kosmos-2": _kosmos2, "vision-encoder-decoder": _trocr, "t5": _t5}
        return (counts | {"florence2": _florence2})[kind](config)


def _blip(config: Any) -> Cost:
    network = transformers.BlipForConditionalGeneration(config)
    vision = config.vision_config
    flop = _flop(lambda: network.vision_model(_image(vision.image_size)))
    across, step = _linears(network.text_decoder, ("crossattention.self.key", "crossattention.self.value"))
    return Cost(flop + 2 * across * _patches(vision.image_size, vision.patch_size), step * _BYTES, NEW_TOKENS)


def _trocr(config: Any) -> Cost:
    network = transformers.VisionEncoderDecoderModel(config)
    encoder = config.encoder
    flop = _flop(lambda: network.encoder(_image(encoder.image_size)))
    across, step = _linears(network.decoder, ("encoder_attn.k_proj", "encoder_attn.v_proj"))
    return Cost(flop + 2 * across * _patches(encoder.image_size, encoder.patch_size), step * _BYTES, NEW_TOKENS)


def _kosmos2(config: Any) -> Cost:
    network = transformers.Kosmos2ForConditionalGeneration(config)
    flop = _flop(lambda: network.vision_model(_image(config.vision_config.image_size)))
    _, step = _linears(network.text_model, ())
    # Its image is a prompt: 64 embeddings and a few words, through the whole text model, but for the words' matrix.
    prompt = config.latent_query_num + 6
    head = config.text_config.vocab_size * config.text_config.embed_dim
    return Cost(flop + 2 * (step - head) * prompt, step * _BYTES, NEW_TOKENS)


def _florence2(config: Any) -> Cost:
    network, text = transformers.Florence2ForConditionalGeneration(config), config.text_config
    words = 7
    model = network.model
    seen = model.get_image_features(_image(768)).pooler_output
    both = torch.zeros(1, seen.shape[1] + words, text.d_model)
    flop = _flop(lambda: (model.get_image_features(_image(768)), model.language_model.encoder(inputs_embeds=both)))
    across, step = _linears(network.model.language_model.decoder, ("encoder_attn.k_proj", "encoder_attn.v_proj"))
    head = text.vocab_size * text.d_model
    return Cost(flop + 2 * across * both.shape[1], (step + head) * _BYTES, NEW_TOKENS, beams=3)


def _t5(config: Any) -> Cost:
    network = transformers.T5ForConditionalGeneration(config)
    across, step = _linears(network.decoder, ("EncDecAttention.k", "EncDecAttention.v"))
    tokens = torch.zeros(1, _TEXT_TOKENS, dtype=torch.long)
    flop = _flop(lambda: network.encoder(tokens)) + 2 * across * _TEXT_TOKENS
    return Cost(flop, (step + config.vocab_size * config.d_model) * _BYTES, 64, beams=8)


def _flop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops())


def _linears(network: nn.Module, once: tuple[str, ...]) -> tuple[int, int]:
    """Return how many weights of linear layers work once for a text, and how many at every step."""
    found = {name: part.weight.numel() for name, part in network.named_modules() if isinstance(part, nn.Linear)}
    first = sum(count for name, count in found.items() if name.endswith(once)) if once else 0
    return first, sum(found.values()) - first


def _image(side: int) -> Tensor:
    return torch.zeros(1, 3, side, side)


def _patches(side: int, patch: int) -> int:
    return (side // patch) ** 2 + 1
