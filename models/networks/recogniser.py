"""The recogniser of PP-OCRv6 (small) as a network of torch: a convolutional backbone (PP-LCNetV4), two blocks of
attention, and a score for each character at each step of eight pixels.

RapidOCR's package has it as a file of ONNX. Its batch normalisations are folded into the convolutions there, and they
are left out here too, in training as well: what remains is a convolution with a bias.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.reading.recogniser import CONFIG, WEIGHTS, characters_of, core

MODEL_TYPE = "handwriting-ctc"
PRINT_TYPE = "print-ctc"  # with the package's characters
EPSILON = 1e-5  # of the normalisations


class Recogniser(nn.Module):
    """Scores characters: (rows, 3, 48, width) in -1..1 -> logits (rows, width / 8, characters), of which 0 is CTC's
    blank and the last is the space."""

    def __init__(self, characters: int) -> None:
        from transformers import PPOCRV6SmallRecConfig, PPOCRV6SmallRecForTextRecognition

        super().__init__()
        network = PPOCRV6SmallRecForTextRecognition(PPOCRV6SmallRecConfig(head_out_channels=characters)).eval()
        for layer in network.modules():
            if isinstance(getattr(layer, "normalization", None), nn.BatchNorm2d):
                layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
                layer.normalization = nn.Identity()
        self.backbone = network.model
        self.encoder = network.head.encoder
        self.head = network.head.head

    def forward(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.head(self.steps(pixels))
        return scores

    def steps(self, pixels: Tensor) -> Tensor:
        """Return what the head scores characters from: (rows, 3, 48, width) -> (rows, width / 8, channels)."""
        found: Tensor = self.encoder(self.backbone(pixels).last_hidden_state).last_hidden_state
        return found


def read_network(package: Path, own: Path | None = None) -> tuple[Recogniser, list[str]]:
    """Return the recogniser of a package, an ONNX file, or one with own weights, and its characters: nothing for the
    blank, the space last.

    Raises:
        ValueError: the file has another network.
    """
    from safetensors.numpy import load_file

    model = core().read_model(package)
    characters = characters_of(model, own)
    constants = _constants(model) | (load_file(own / WEIGHTS) if own else {})
    network = Recogniser(len(characters))
    with torch.no_grad():
        for place in _places(network, model):
            place.put(constants)
    return network, characters


def write_own(network: Recogniser, characters: Sequence[str] | None, package: Path, directory: Path) -> None:
    """Write the weights that differ from the package's, in half precision, by the names of the package's constants, and
    the characters; None for those of the package."""
    from safetensors.numpy import save_file

    model = core().read_model(package)
    constants = _constants(model)
    tensors: dict[str, NDArray[Any]] = {}
    for place in _places(network, model):
        taken = place.taken(constants)
        if any(not _same(values, constants[name]) for name, values in taken.items()):
            tensors |= taken
    save_file({name: np.ascontiguousarray(values, np.float16) for name, values in tensors.items()}, directory / WEIGHTS)
    config = {"model_type": PRINT_TYPE}
    if characters is not None:
        config = {"model_type": MODEL_TYPE, "characters": "".join(characters[1:])}
    (directory / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def keep_characters(network: Recogniser, kept: list[int]) -> None:
    """Leave only some characters to a recogniser: the numbers of those that it keeps, the blank first."""
    old = network.head
    network.head = nn.Linear(old.in_features, len(kept))
    with torch.no_grad():
        network.head.weight.copy_(old.weight[kept])
        network.head.bias.copy_(old.bias[kept])


@dataclass(frozen=True)
class Place:
    """A layer, and the constants that have its weight, its bias and, if it is not folded, its normalisation."""

    layer: Any
    weight: str
    bias: str
    transposed: bool = False
    normalisation: tuple[str, ...] = ()
    """Of scale, shift, mean and variance."""

    def put(self, constants: Mapping[str, NDArray[Any]]) -> None:
        """Give the layer the values of the constants."""
        weight = constants[self.weight].T if self.transposed else constants[self.weight]
        if self.normalisation:
            scale, shift, mean, variance = (np.asarray(constants[name], np.float64) for name in self.normalisation)
            factor = scale / np.sqrt(variance + EPSILON)
            weight, bias = weight * factor.reshape(-1, 1, 1, 1), shift - mean * factor
        else:
            bias = constants[self.bias]
        for parameter, values in ((self.layer.weight, weight), (self.layer.bias, bias)):
            parameter.copy_(torch.from_numpy(np.array(values, np.float32)).reshape(parameter.shape))

    def taken(self, constants: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the constants that have the values of the layer."""
        weight, bias = (part.detach().float().numpy() for part in (self.layer.weight, self.layer.bias))
        if self.normalisation:
            scale, shift, mean, variance = self.normalisation
            ones = np.ones_like(bias)
            # A normalisation that changes nothing but adds the bias.
            kept = {scale: ones * np.sqrt(1 + EPSILON), shift: bias, mean: 0 * ones, variance: ones}
            return {self.weight: weight, **kept}
        if self.transposed:
            return {self.weight: weight.T, self.bias: bias}
        return {
            name: values.reshape(constants[name].shape) for name, values in ((self.weight, weight), (self.bias, bias))
        }


def _places(network: Recogniser, model: Any) -> Iterator[Place]:
    """Yield all layers of a network, with the constants of the file that have their values."""
    nodes = {node.friendly_name: node for node in model.get_ordered_ops()}
    layers = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv2d)]
    for number, layer in enumerate(layers):
        yield Place(layer, _constant_of(nodes[f"Conv.{number}"], 1), f"p2o.pd_op.reshape.{number}.0")
    # The three convolutions of the encoder follow those of the backbone; their normalisations are not folded.
    for block, number in enumerate(range(len(layers), len(layers) + 3)):
        names = tuple(_constant_of(nodes[f"BatchNormalization.{block}"], place) for place in range(1, 5))
        layer = network.encoder.conv_block[block].convolution
        yield Place(layer, _constant_of(nodes[f"Conv.{number}"], 1), "", normalisation=names)
    linears = [layer for layer in network.encoder.svtr_block.modules() if isinstance(layer, nn.Linear)]
    for number, linear in enumerate([*linears, network.head]):
        yield Place(linear, f"linear_{number}.w_0", f"linear_{number}.b_0", transposed=True)
    norms = [norm for block in network.encoder.svtr_block for norm in (block.layer_norm1, block.layer_norm2)]
    for number, norm in enumerate([*norms, network.encoder.norm]):
        yield Place(norm, f"helper.reshape.{2 * number}", f"helper.reshape.{2 * number + 1}")


def _same(values: NDArray[Any], before: NDArray[Any]) -> bool:
    return values.shape == before.shape and bool(np.allclose(values, before, atol=1e-6))


def _constants(model: Any) -> dict[str, NDArray[Any]]:
    return {node.friendly_name: node.data for node in model.get_ordered_ops() if node.get_type_name() == "Constant"}


def _constant_of(node: Any, place: int) -> str:
    """Return the name of the constant that a node takes at a place. That of a depthwise convolution is reshaped on its
    way."""
    node = node.input_value(place).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return str(node.friendly_name)
