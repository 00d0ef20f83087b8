"""The networks of a `cnn-gru` on EfficientNet-Lite as OpenVINO models, built from the weights without torch.

They compute what `models/captioning/network.py` does. Building them takes a fraction of a second; converting that
module takes seconds, most of them to import torch.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops
from safetensors.numpy import load_file

from models.backends.openvino import INPUTS
from models.captioning.lite_blocks import EPSILON, blocks

_LAYER_NORM_EPSILON = 1e-5
_STATES = 2
_READ = ("key", "value")


def can_build(config: dict[str, Any]) -> bool:
    """Return True for the `config.json` of a captioner whose networks are built here; others are converted."""
    return (
        config.get("shape", "cnn-gru") == "cnn-gru"
        and (config.get("encoder") or {}).get("model_type") == "efficientnet-lite"
        and not config.get("second_size")
    )


def build(directory: Path, config: dict[str, Any]) -> tuple[ov.Model, ov.Model]:
    """Build the encoder and the decoder, in float32.

    Args:
        directory: the checkpoint, with its weights in `model.safetensors`.
        config: its `config.json`.

    Returns:
        The encoder, from normalised pixels (images, 3, side, side) to the first states, keys and values, and scores;
        and one step of the decoder, with its states as inputs and outputs.

    Raises:
        ValueError: the checkpoint lacks tensors.
    """
    weights = _Weights(directory)
    try:
        return _encoder(weights, config), _decoder(weights, config)
    except KeyError as error:
        raise ValueError(f"{directory} lacks the tensor {error}") from error


class _Weights:
    """The tensors of a checkpoint, and layers made of them."""

    def __init__(self, directory: Path) -> None:
        self._tensors = load_file(directory / "model.safetensors")

    def __call__(self, name: str) -> NDArray[np.float32]:
        return self._tensors[name].astype(np.float32)

    def bias(self, name: str) -> Any:
        return ops.constant(self(f"{name}.bias"))

    def linear(self, node: Any, name: str) -> Any:
        """Return a linear layer of a node."""
        return ops.add(ops.matmul(node, ops.constant(self(f"{name}.weight")), False, True), self.bias(name))

    def gru(self, node: Any, state: Any, name: str, hidden: int) -> Any:
        """Return the new state of a layer of GRU. torch has its gates in the order r, z, n, OpenVINO z, r, n."""
        order = np.r_[hidden : 2 * hidden, :hidden, 2 * hidden : 3 * hidden]
        inside, before = (self(f"{name}.weight_{kind}_l0")[order] for kind in ("ih", "hh"))
        of_input, of_state = (self(f"{name}.bias_{kind}_l0")[order] for kind in ("ih", "hh"))
        gates = of_input[: 2 * hidden] + of_state[: 2 * hidden]
        biases = np.concatenate([gates, of_input[2 * hidden :], of_state[2 * hidden :]])
        constants = (ops.constant(numbers) for numbers in (inside, before, biases))
        return ops.gru_cell(node, state, *constants, hidden, linear_before_reset=True)

    def convolution(self, node: Any, name: str, stride: int = 1) -> Any:
        """Return a convolution of a node, with the normalisation after it."""
        kernels, bias = self._normalised(name)
        result = ops.convolution(node, ops.constant(kernels), [stride] * 2, [0, 0], [0, 0], [1, 1], "same_upper")
        return ops.add(result, bias)

    def depthwise(self, node: Any, name: str, stride: int) -> Any:
        """Return a convolution of each channel alone, with the normalisation after it."""
        kernels, bias = self._normalised(name)
        by_group = ops.constant(kernels[:, None])
        result = ops.group_convolution(node, by_group, [stride] * 2, [0, 0], [0, 0], [1, 1], "same_upper")
        return ops.add(result, bias)

    def _normalised(self, name: str) -> tuple[NDArray[np.float32], Any]:
        """Return the kernels of a convolution, scaled as the normalisation after it would, and what it adds."""
        scale = self(f"{name}.norm.weight") / np.sqrt(self(f"{name}.norm.running_var") + EPSILON)
        bias = self(f"{name}.norm.bias") - self(f"{name}.norm.running_mean") * scale
        return self(f"{name}.conv.weight") * scale[:, None, None, None], ops.constant(bias[None, :, None, None])


def _encoder(weights: _Weights, config: dict[str, Any]) -> ov.Model:
    side, variant = config["image_size"], config["encoder"]["variant"]
    pixels = ops.parameter([-1, 3, side, side], ov.Type.f32, name="pixels")
    features = (_mean_of_both if config.get("mirrored") else _trunk)(weights, pixels, variant)
    pooled = ops.reduce_mean(features, ops.constant([2, 3]))
    words = ops.sigmoid(weights.linear(pooled, "words.1"))
    classes = ops.softmax(weights.linear(pooled, "encoder.cnn.classifier"), 1)
    memory = _memory(weights, features, pooled, words, classes)
    whole = ops.gather(memory, ops.constant(0), ops.constant(1))
    states = ops.split(ops.tanh(weights.linear(whole, "decoder.start")), ops.constant(1), _STATES)
    keys, values = (_by_head(weights.linear(memory, f"decoder.{name}"), config["attention_heads"]) for name in _READ)
    encoded = [*states.outputs(), keys, values]
    outputs = {f"encoded.{index}": node for index, node in enumerate(encoded)}
    return named(outputs | {"extra.0": ops.concat([words, classes], 1)}, {"pixels": pixels})


def _mean_of_both(weights: _Weights, pixels: Any, variant: str) -> Any:
    """Return the mean of the feature maps of images and of their mirror images."""
    # One batch of both: two trunks would hold their weights twice.
    both = _trunk(weights, ops.concat([pixels, _mirrored(pixels)], 0), variant)
    straight, again = ops.split(both, ops.constant(0), 2).outputs()
    return ops.multiply(ops.add(straight, _mirrored(again)), ops.constant(np.float32(0.5)))


def _trunk(weights: _Weights, pixels: Any, variant: str) -> Any:
    """Return the feature map (images, 1280, height, width) of EfficientNet-Lite."""
    cnn = "encoder.cnn"
    features = _relu6(weights.convolution(pixels, f"{cnn}.stem", stride=2))
    for index, block in enumerate(blocks(variant)):
        layers, before = f"{cnn}.blocks.{index}.layers", features
        if block.expansion != 1:
            features = _relu6(weights.convolution(features, f"{layers}.expand"))
        features = _relu6(weights.depthwise(features, f"{layers}.depthwise", block.stride))
        features = weights.convolution(features, f"{layers}.project")
        if block.residual:
            features = ops.add(features, before)
    return _relu6(weights.convolution(features, f"{cnn}.head"))


def _memory(weights: _Weights, features: Any, pooled: Any, words: Any, classes: Any) -> Any:
    """Return the slots (images, slots, hidden), as `network.AttendedMemory` does."""
    channels = features.get_output_partial_shape(0)[1].get_length()
    places = ops.transpose(ops.reshape(features, ops.constant([0, channels, -1]), True), ops.constant([0, 2, 1]))
    slots = [_as_slot(weights.linear(pooled, "memory.places")), _as_slot(weights.linear(words, "memory.words"))]
    slots.append(_as_slot(weights.linear(classes, "memory.classes")))
    slots.append(weights.linear(places, "memory.places"))
    return _layer_norm(weights, ops.concat(slots, 1), "memory.norm")


def _decoder(weights: _Weights, config: dict[str, Any]) -> ov.Model:
    """Build one step. `conversion.with_state` turns its states into variables."""
    hidden, heads = config["hidden_size"], config["attention_heads"]
    inputs = {name: ops.parameter([-1, -1], ov.Type.i64, name=name) for name in INPUTS}
    inputs["slots"] = ops.parameter([-1], ov.Type.i64, name="slots")
    for index in range(_STATES):
        inputs[f"encoded.{index}"] = ops.parameter([-1, hidden], ov.Type.f32)
    for index in (_STATES, _STATES + 1):
        inputs[f"encoded.{index}"] = ops.parameter([-1, heads, -1, hidden // heads], ov.Type.f32)
    for index in range(_STATES):
        inputs[f"state.{index}"] = ops.parameter([-1, hidden], ov.Type.f32)
    image = ops.divide(inputs["slots"], _length(inputs["image_rows"], 1))
    first, second, keys, values = (_rows(inputs[f"encoded.{index}"], image) for index in range(_STATES + 2))
    is_later_step = ops.greater(_length(inputs["attention_mask"], 1), ops.constant(np.int64(1)))
    lower, upper = (
        ops.select(is_later_step, inputs[f"state.{index}"], at_first) for index, at_first in enumerate((first, second))
    )
    table = ops.constant(weights("embedding.weight"))
    token = ops.gather(inputs["tokens"], ops.constant(-1), ops.constant(1))
    lower = weights.gru(_rows(table, token), lower, "decoder.lower", hidden)
    query = _by_head(weights.linear(_as_slot(lower), "decoder.query"), heads)
    found = ops.scaled_dot_product_attention(query, keys, values)
    found = ops.reshape(found, ops.constant([0, hidden]), True)
    both = ops.concat([lower, found], 1)
    upper = weights.gru(both, upper, "decoder.upper", hidden)
    written = ops.tanh(weights.linear(ops.concat([upper, both], 1), "decoder.merge.0"))
    logits = ops.add(ops.matmul(written, table, False, True), ops.constant(weights("output.bias")))
    return named({"logits": logits, "new_state.0": lower, "new_state.1": upper}, inputs)


def named(outputs: dict[str, Any], inputs: dict[str, Any]) -> ov.Model:
    """Return a model with the names of its inputs and outputs set."""
    results = [ops.result(node) for node in outputs.values()]
    for name, port in (*zip(outputs, results, strict=True), *inputs.items()):
        port.output(0).get_tensor().set_names({name})
    return ov.Model(results, list(inputs.values()), "")


def _relu6(node: Any) -> Any:
    return ops.clamp(node, 0.0, 6.0)


def _mirrored(images: Any) -> Any:
    """Return images or feature maps (images, channels, height, width) with left and right exchanged."""
    return ops.slice(images, *(ops.constant([number]) for number in (-1, np.iinfo(np.int32).min, -1, 3)))


def _as_slot(vectors: Any) -> Any:
    return ops.unsqueeze(vectors, ops.constant(1))


def _rows(table: Any, indices: Any) -> Any:
    return ops.gather(table, indices, ops.constant(0))


def _length(node: Any, axis: int) -> Any:
    return ops.gather(ops.shape_of(node), ops.constant(axis), ops.constant(0))


def _by_head(tensor: Any, heads: int) -> Any:
    """Return (batch, slots, hidden) as (batch, heads, slots, hidden / heads)."""
    hidden = tensor.get_output_partial_shape(0)[2].get_length()
    split = ops.reshape(tensor, ops.constant([0, 0, heads, hidden // heads]), True)
    return ops.transpose(split, ops.constant([0, 2, 1, 3]))


def _layer_norm(weights: _Weights, node: Any, name: str) -> Any:
    normal = ops.mvn(node, ops.constant([-1]), True, _LAYER_NORM_EPSILON, "inside_sqrt")
    return ops.add(ops.multiply(normal, ops.constant(weights(f"{name}.weight"))), weights.bias(name))
