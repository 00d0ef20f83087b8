"""Networks on OpenVINO: on the CPU, several times as fast there as torch.

A family's encoder and decoder are converted from torch. The decoder's keys and values stay inside the compiled network
from step to step (its *state*, in OpenVINO's words): to hand them in and out takes longer than the step itself. The
encoder's memory is handed over as it lies, in the number format that is computed in.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from models.backends import check_cpu_precision, compression
from models.backends.threads import TURN, cores
from models.base import Placement
from models.generation import Rules

Array = NDArray[Any]

_GROUP = 32
"""Numbers that share a scale, where they are rounded to 8 bits to meet weights of 8 bits."""
_INPUTS = ("tokens", "positions", "attended", "rows", "places")
_CORE = ov.Core()


def precision_of(placement: Placement) -> str:
    """Return the number format that a placement means: `auto` is bfloat16 where the CPU computes in it natively, else
    float32.

    Raises:
        ValueError: the one asked for is not for CPUs.
    """
    if placement.precision == "auto":
        return "bfloat16" if _has_bfloat16() else "float32"
    check_cpu_precision(placement.precision)
    return placement.precision


def computed_in(precision: str) -> ov.Type:
    """Return the type of what is handed on within a network. `int8` is how weights are kept and multiplied."""
    if precision == "int8":
        return ov.Type.bf16 if _has_bfloat16() else ov.Type.f32
    return ov.Type.bf16 if precision == "bfloat16" else ov.Type.f32


def _has_bfloat16() -> bool:
    return "BF16" in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoNetwork:
    """A family's networks on OpenVINO; see `models.backends.Network`."""

    device = "cpu"

    def __init__(
        self,
        encoder: ov.Model,
        decoder: ov.Model,
        precision: str,
        tokens: Any,
        rules: Rules,
        facts: dict[str, Any],
    ) -> None:
        self.precision, self.tokens, self.rules, self.facts = precision, tokens, rules, facts
        type_ = computed_in(precision)
        self._singly = _let_be_single(encoder)
        self._encoder = _compile(_handing_out(encoder, type_), type_)
        self._decoder = _compile(_taking_in(decoder, type_), type_)
        self._names = [port.any_name for port in self._decoder.model_inputs if port.any_name.startswith("memory.")]
        self._room: list[ov.Tensor] = []
        self._memory: list[ov.Tensor] = []
        self._warm_up()

    def _warm_up(self) -> None:
        """Run each network once: it prepares its weights at its first use, and not in a caller's time."""
        inputs = []
        for port in self._encoder.model_inputs:
            shape = [1 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()]
            inputs.append(np.ones(shape, port.get_element_type().to_dtype()))
        self.encode(*inputs)
        one, nothing = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
        self.step(one, one, one + 1, nothing, one, nothing)

    def encode(self, *inputs: Array) -> list[Array]:
        images = len(inputs[0])
        if self._singly:
            told = self._encode_singly(inputs, images)
        else:
            told = self._run_encoder(inputs)
            self._memory = list(self._encoder.output_tensors[: len(self._names)])
        self._decoder.reset_state()
        self._hand_over()
        return told

    def _encode_singly(self, inputs: Sequence[Array], images: int) -> list[Array]:
        """Look at one image after the other, and have what is to be remembered of them written side by side."""
        ports = self._encoder.model_outputs[: len(self._names)]
        if not self._room or self._room[0].shape[0] < images:
            self._room = [ov.Tensor(port.element_type, ov.Shape([images, *list(port.shape)[1:]])) for port in ports]
        self._memory = [_part(tensor, 0, images) for tensor in self._room]
        told = []
        for image in range(images):
            places = [_part(tensor, image, image + 1) for tensor in self._memory]
            # By port: outputs that are the same share their name, and only one of them would be written.
            for port, place in zip(ports, places, strict=True):
                self._encoder.set_tensor(port, place)
            told.append(self._run_encoder([array[image : image + 1] for array in inputs]))
        return [np.concatenate(parts) for parts in zip(*told, strict=True)]

    def _run_encoder(self, inputs: Sequence[Array]) -> list[Array]:
        with TURN:
            self._encoder.infer(
                [np.ascontiguousarray(array) for array in inputs], share_inputs=True, share_outputs=True
            )
        return [np.array(tensor.data) for tensor in self._encoder.output_tensors[len(self._names) :]]

    def step(
        self, tokens: Array, positions: Array, attended: Array, parents: Array, rows: Array, places: Array
    ) -> tuple[Array, Array]:
        given = (tokens, positions, attended, rows, places)
        for name, array in zip(_INPUTS, given, strict=True):
            self._decoder.set_tensor(name, ov.Tensor(np.ascontiguousarray(array, np.int64)))
        self._decoder.set_tensor("parents", ov.Tensor(np.ascontiguousarray(parents, np.int32)))
        with TURN:
            self._decoder.infer(share_outputs=True)
        return self._decoder.get_tensor("logits").data, self._decoder.get_tensor("log_sums").data

    def leave(self, image: int) -> None:
        last = self._memory[0].shape[0] - 1
        if image != last:
            for tensor in self._memory:
                _part(tensor, last, last + 1).copy_to(_part(tensor, image, image + 1))
        self._memory = [_part(tensor, 0, last) for tensor in self._memory]
        if last:
            self._hand_over()

    def _hand_over(self) -> None:
        for name, tensor in zip(self._names, self._memory, strict=True):
            self._decoder.set_tensor(name, tensor)


def _part(tensor: ov.Tensor, begin: int, end: int) -> ov.Tensor:
    """Return some images of a tensor, without copying."""
    shape = list(tensor.shape)
    return ov.Tensor(tensor, [begin, *[0] * (len(shape) - 1)], [end, *shape[1:]])


def convert(networks: Any, precision: str) -> tuple[ov.Model, ov.Model]:
    """Return a family's encoder and decoder as OpenVINO's models, the decoder with its state inside.

    Args:
        networks: `models.networks.decoder.Networks`, in float32 on the CPU.
        precision: in which the weights are kept.
    """
    from models.backends import pointwise

    free = [_free(*tensors) for tensors in zip(*networks.examples, strict=True)]
    encoding = networks.encoder
    # Where lengths are free, kernels are prepared anew for each.
    if computed_in(precision) == ov.Type.bf16 and all(dim.is_static for shape in free for dim in list(shape)[1:]):
        encoding = pointwise.without_linear(encoding)
    encoder = _convert(encoding, networks.examples[0], free)
    remembered = len(encoder.outputs) - networks.told
    for index, port in enumerate(encoder.outputs):
        port.get_tensor().set_names({f"memory.{index}" if index < remembered else f"told.{index - remembered}"})
    memory = [port.get_partial_shape() for port in encoder.outputs[:remembered]]
    decoder = _with_state(_convert_decoder(networks.decoder, memory))
    for network in (encoder, decoder):
        # An encoder is held up by arithmetic: it would gain a tenth, and double what the decoder loses in accuracy.
        if precision == "int8" and network is decoder:
            compression.to_int8(network)
        if computed_in(precision) == ov.Type.bf16:
            compression.to_bfloat16(network)
    return encoder, decoder


def _convert(module: Any, example: Sequence[Any], shapes: Sequence[ov.PartialShape]) -> ov.Model:
    import torch

    # Of branches on sizes that are the same for all images.
    warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
    # torch.jit.trace asks for every attribute of a network, so for a deprecated one of transformers, too.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    with torch.no_grad():
        traced = torch.jit.trace(module, tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
        return ov.convert_model(traced, example_input=tuple(example), input=list(shapes))


def _free(one: Any, other: Any) -> ov.PartialShape:
    """Return the shape that two examples share, with the dimensions free in which they differ."""
    return ov.PartialShape([a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)])


def _convert_decoder(decoder: Any, memory: Sequence[ov.PartialShape]) -> ov.Model:
    import torch

    images, width, past, length = 2, 2, 3, 2
    rows = images * width
    example = (
        torch.zeros(rows, length, dtype=torch.long),
        torch.zeros(rows, length, dtype=torch.long),
        torch.ones(rows, past + length, dtype=torch.long),
        torch.arange(rows).reshape(images, width),
        torch.arange(rows),
    )
    starts = decoder.start(rows)
    # Lengths of the past are 0 at first; the example has some, so that they are not taken for constant.
    states = [torch.zeros([dim or past for dim in shape]) for shape in starts]
    shapes = [
        *(ov.PartialShape([-1] * tensor.dim()) for tensor in example),
        *memory,
        *(ov.PartialShape([-1, *(dim or -1 for dim in shape[1:])]) for shape in starts),
    ]
    looked_at = [torch.zeros([2 if dim.is_dynamic else dim.get_length() for dim in shape]) for shape in memory]
    model = _convert(decoder, (*example, *looked_at, *states), shapes)
    names = [*_INPUTS, *(f"memory.{i}" for i in range(len(memory))), *(f"past.{i}" for i in range(len(states)))]
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, ["logits", *(f"present.{i}" for i in range(len(states)))], strict=True):
        port.get_tensor().set_names({name})
    logits, last = model.outputs[0].get_node().input_value(0), ops.constant([1])
    largest = ops.reduce_max(logits, last, True)
    sums = ops.log(ops.reduce_sum(ops.exp(ops.subtract(logits, largest)), last))
    log_sums = ops.result(ops.add(sums, ops.squeeze(largest, last)), name="log_sums")
    log_sums.output(0).get_tensor().set_names({"log_sums"})
    model.add_results([log_sums])
    return model


def _with_state(model: ov.Model) -> ov.Model:
    """Turn each pair of `past` and `present` into a variable of the network, empty at first, whose rows are taken from
    those of the step before as a new input, `parents`, says."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    parents = ops.parameter(ov.PartialShape([-1]), ov.Type.i32, name="parents")
    parents.output(0).get_tensor().set_names({"parents"})
    model.add_parameters([parents])
    pairs = {}
    for port in model.inputs:
        if port.any_name.startswith("past."):
            _insert(port, ops.gather(port, parents, ops.constant(0)))
            pairs[port.any_name] = port.any_name.replace("past", "present")
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(model, pairs)
    count = ops.shape_of(parents, output_type="i64")
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            _, *dims = node.get_output_partial_shape(0)
            rest = np.array([0 if dim.is_dynamic else dim.get_length() for dim in dims])
            shape = ops.concat([count, ops.constant(rest)], 0)
            node.set_arguments([ops.broadcast(ops.constant(np.float32(0)), shape)])
    model.validate_nodes_and_infer_types()
    return model


def _insert(port: Any, node: Any) -> None:
    """Let all that read a port read a node of it instead."""
    for reader in port.get_target_inputs():
        if reader.get_node() != node:
            reader.replace_source_output(node.output(0))


def _handing_out(model: ov.Model, type_: ov.Type) -> ov.Model:
    """Let an encoder's memory be of a type."""
    steps = ov.preprocess.PrePostProcessor(model)
    for port in model.outputs:
        if port.any_name.startswith("memory."):
            steps.output(port.any_name).tensor().set_element_type(type_)
    return steps.build()


def _taking_in(model: ov.Model, type_: ov.Type) -> ov.Model:
    """Let a decoder's memory be of a type."""
    steps = ov.preprocess.PrePostProcessor(model)
    for port in model.inputs:
        if port.any_name.startswith("memory."):
            steps.input(port.any_name).tensor().set_element_type(type_)
    return steps.build()


def _let_be_single(model: ov.Model) -> bool:
    """Let an encoder of images of one size take one at a time, and tell whether it is such a one.

    With all its sizes known, it is as fast with one image as with eight, and what is computed on the way takes an
    eighth of the memory. Encoders of texts are left as they are: texts differ in length, and are so short that reading
    the weights once for each would take longest.
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
        # Of weights of 8 bits, where the CPU has instructions for such products. With numbers that are not rounded,
        # a step of 8 texts is slower than in bfloat16.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
    }
    return _CORE.compile_model(model, "CPU", settings).create_infer_request()
