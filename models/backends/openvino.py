"""The OpenVINO backend: networks on the CPU, several times as fast there as torch.

The decoder's self-attention keys and values stay inside the compiled network from step to step (OpenVINO calls them its
*state*), because passing them in and out takes longer than the step itself. The encoder's outputs go to the decoder
without a copy, in the number format that the network computes in.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov

from models.backends import check_cpu_precision
from models.backends.threads import TURN, cores, is_limited
from models.base import Placement
from models.generation import Array, Rules

CORE = ov.Core()
INPUTS = ("tokens", "positions", "attention_mask", "image_rows", "slots")
"""The decoder's inputs besides `parents`, the encoder's outputs and the state."""

_GROUP_SIZE = 32
"""How many numbers share a scale where they are rounded to 8 bits, to be multiplied with weights of 8 bits."""


def precision_of(placement: Placement) -> str:
    """Return a placement's number format. `auto` is bfloat16 where the CPU computes in it natively, else float32.

    Raises:
        ValueError: CPUs do not have the number format.
    """
    if placement.precision == "auto":
        return "bfloat16" if _has_bfloat16() else "float32"
    check_cpu_precision(placement.precision)
    return placement.precision


def computed_in(precision: str) -> ov.Type:
    """Return the type of activations. `int8` only concerns how weights are stored and multiplied."""
    if precision == "int8":
        return ov.Type.bf16 if _has_bfloat16() else ov.Type.f32
    return ov.Type.bf16 if precision == "bfloat16" else ov.Type.f32


def _has_bfloat16() -> bool:
    return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoNetwork:
    """A checkpoint on OpenVINO, with the interface of `models.backends.Network`."""

    device = "cpu"

    def __init__(
        self, encoder: ov.Model, decoder: ov.Model, precision: str, tokens: Any, rules: Rules, facts: Any
    ) -> None:
        self.precision, self.tokens, self.rules, self.facts = precision, tokens, rules, facts
        type_ = computed_in(precision)
        self._one_by_one = _set_batch_of_one(encoder)
        self._encoder = _compile(_with_encoded_type(encoder, type_), type_)
        self._decoder = _compile(_with_encoded_type(decoder, type_), type_)
        self._names = [port.any_name for port in self._decoder.model_inputs if port.any_name.startswith("encoded.")]
        self._buffers: list[ov.Tensor] = []
        self._encoded: list[ov.Tensor] = []
        self._warm_up()

    def _warm_up(self) -> None:
        """Run each network once. OpenVINO prepares weights at the first run, which would delay the first request."""
        inputs = []
        for port in self._encoder.model_inputs:
            shape = [1 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()]
            inputs.append(np.ones(shape, port.get_element_type().to_dtype()))
        self.encode(*inputs)
        zeros, zero = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
        self.step(zeros, zeros, zeros + 1, zero, zeros, zero)

    def encode(self, *inputs: Array) -> list[Array]:
        if self._one_by_one:
            extra_outputs = self._encode_one_by_one(inputs)
        else:
            extra_outputs = self._run_encoder(inputs)
            self._encoded = list(self._encoder.output_tensors[: len(self._names)])
        self._decoder.reset_state()
        self._pass_to_decoder()
        return extra_outputs

    def _encode_one_by_one(self, inputs: Sequence[Array]) -> list[Array]:
        """Encode one image after the other. The outputs for the decoder are written side by side into buffers."""
        images, ports = len(inputs[0]), self._encoder.model_outputs[: len(self._names)]
        if not self._buffers or self._buffers[0].shape[0] < images:
            self._buffers = [ov.Tensor(port.element_type, ov.Shape([images, *list(port.shape)[1:]])) for port in ports]
        self._encoded = [_slice(tensor, 0, images) for tensor in self._buffers]
        extra_outputs = []
        for image in range(images):
            # Set tensors by port: equal outputs share their name, and by name only one of them would be written.
            for port, tensor in zip(ports, self._encoded, strict=True):
                self._encoder.set_tensor(port, _slice(tensor, image, image + 1))
            extra_outputs.append(self._run_encoder([array[image : image + 1] for array in inputs]))
        return [np.concatenate(parts) for parts in zip(*extra_outputs, strict=True)]

    def _run_encoder(self, inputs: Sequence[Array]) -> list[Array]:
        with TURN:
            self._encoder.infer(
                [np.ascontiguousarray(array) for array in inputs], share_inputs=True, share_outputs=True
            )
        return [np.array(tensor.data) for tensor in self._encoder.output_tensors[len(self._names) :]]

    def step(
        self, tokens: Array, positions: Array, attention_mask: Array, parents: Array, image_rows: Array, slots: Array
    ) -> tuple[Array, Array]:
        for name, array in zip(INPUTS, (tokens, positions, attention_mask, image_rows, slots), strict=True):
            self._decoder.set_tensor(name, ov.Tensor(np.ascontiguousarray(array, np.int64)))
        self._decoder.set_tensor("parents", ov.Tensor(np.ascontiguousarray(parents, np.int32)))
        with TURN:
            self._decoder.infer(share_outputs=True)
        return self._decoder.get_tensor("logits").data, self._decoder.get_tensor("log_sums").data

    def remove(self, image: int) -> None:
        last = self._encoded[0].shape[0] - 1
        if image != last:
            for tensor in self._encoded:
                _slice(tensor, last, last + 1).copy_to(_slice(tensor, image, image + 1))
        self._encoded = [_slice(tensor, 0, last) for tensor in self._encoded]
        if last:
            self._pass_to_decoder()

    def _pass_to_decoder(self) -> None:
        for name, tensor in zip(self._names, self._encoded, strict=True):
            self._decoder.set_tensor(name, tensor)


def _slice(tensor: ov.Tensor, begin: int, end: int) -> ov.Tensor:
    """Return a view of the images from `begin` to `end`."""
    shape = list(tensor.shape)
    return ov.Tensor(tensor, [begin, *[0] * (len(shape) - 1)], [end, *shape[1:]])


def _with_encoded_type(model: ov.Model, type_: ov.Type) -> ov.Model:
    """Set the type of what the encoder passes to the decoder, in either of them."""
    steps = ov.preprocess.PrePostProcessor(model)
    for ports, side in ((model.outputs, steps.output), (model.inputs, steps.input)):
        for port in ports:
            if port.any_name.startswith("encoded."):
                side(port.any_name).tensor().set_element_type(type_)
    return steps.build()


def _set_batch_of_one(model: ov.Model) -> bool:
    """Set the batch size of an encoder of images of one size to 1. Return False for an encoder of texts.

    With all sizes static, the encoder is as fast with one image at a time as with eight, and its activations take an
    eighth of the memory. Texts differ in length, and are so short that reading the weights for each takes longest.
    """
    shapes = [list(port.get_partial_shape()) for port in model.inputs]
    if any(dim.is_dynamic for shape in shapes for dim in shape[1:]):
        return False
    model.reshape({index: ov.PartialShape([1, *shape[1:]]) for index, shape in enumerate(shapes)})
    return True


def _compile(model: ov.Model, type_: ov.Type) -> Any:
    settings = {
        "INFERENCE_PRECISION_HINT": type_,
        "KV_CACHE_PRECISION": type_,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cores(),
        # Processes that share a machine would all pin their threads to its first cores.
        **({"ENABLE_CPU_PINNING": False} if is_limited() else {}),
        # For weights of 8 bits, where the CPU has instructions for such products. Without rounding of activations, a
        # step of 8 texts is slower than in bfloat16.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP_SIZE,
    }
    return CORE.compile_model(model, "CPU", settings).create_infer_request()
