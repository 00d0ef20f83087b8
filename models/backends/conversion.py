"""From torch to OpenVINO: the encoder and the decoder of a checkpoint as OpenVINO models."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from models.backends import Checkpoint, compression
from models.backends.openvino import INPUTS, computed_in


def convert(checkpoint: Checkpoint[Any], precision: str) -> tuple[ov.Model, ov.Model]:
    """Convert a checkpoint.

    Args:
        checkpoint: in float32 on the CPU.
        precision: of the converted weights.

    Returns:
        The encoder and the decoder. The decoder keeps its state between steps.
    """
    from models.backends import pointwise

    shapes = [_dynamic_shape(*tensors) for tensors in zip(*checkpoint.examples, strict=True)]
    module = checkpoint.encoder
    # With dynamic lengths, oneDNN would prepare convolutions anew for each length.
    if computed_in(precision) == ov.Type.bf16 and all(dim.is_static for shape in shapes for dim in list(shape)[1:]):
        module = pointwise.without_linear(module)
    encoder = _trace(module, checkpoint.examples[0], shapes)
    for_decoder = len(encoder.outputs) - checkpoint.extra_outputs
    for index, port in enumerate(encoder.outputs):
        name = f"encoded.{index}" if index < for_decoder else f"extra.{index - for_decoder}"
        port.get_tensor().set_names({name})
    encoded = [port.get_partial_shape() for port in encoder.outputs[:for_decoder]]
    decoder = _convert_decoder(checkpoint.decoder, encoded)
    return finish(encoder, decoder, precision)


def finish(encoder: ov.Model, decoder: ov.Model, precision: str) -> tuple[ov.Model, ov.Model]:
    """Return both networks as `OpenVinoNetwork` runs them: with log sums, states inside, and weights of a precision.

    Args:
        encoder: in float32, with outputs `encoded.N` for the decoder and `extra.N` for others.
        decoder: one step in float32, with inputs `state.N` and outputs `logits` and `new_state.N`.
        precision: of the weights.
    """
    _add_log_sums(decoder)
    decoder = _with_state(decoder)
    for network in (encoder, decoder):
        # An encoder is bound by arithmetic: int8 would make it a tenth faster, and double the loss of accuracy.
        if precision == "int8" and network is decoder:
            compression.to_int8(network)
        if computed_in(precision) == ov.Type.bf16:
            compression.to_bfloat16(network)
    return encoder, decoder


def _trace(module: Any, example: Sequence[Any], shapes: Sequence[ov.PartialShape]) -> ov.Model:
    import torch

    # Modules branch on sizes that are the same for all images.
    warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
    # torch.jit.trace reads every attribute of a module, a deprecated one of transformers included.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    with torch.no_grad():
        traced = torch.jit.trace(module, tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
        return ov.convert_model(traced, example_input=tuple(example), input=list(shapes))


def _dynamic_shape(one: Any, other: Any) -> ov.PartialShape:
    """Return the shape of two examples. Dimensions in which they differ are dynamic."""
    return ov.PartialShape([a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)])


def _convert_decoder(decoder: Any, encoded: Sequence[ov.PartialShape]) -> ov.Model:
    """Return a model of one step, with the state as inputs `state.N` and outputs `new_state.N`."""
    import torch

    images, width, before, length = 2, 2, 3, 2
    rows = images * width
    example = (
        torch.zeros(rows, length, dtype=torch.long),
        torch.zeros(rows, length, dtype=torch.long),
        torch.ones(rows, before + length, dtype=torch.long),
        torch.arange(rows).reshape(images, width),
        torch.arange(rows),
    )
    state_shapes = decoder.state_shapes(rows)
    # A dimension of 0 stands for the number of previous tokens. The example has some, so that tracing does not take it
    # for a constant.
    states = [torch.zeros([dim or before for dim in shape]) for shape in state_shapes]
    shapes = [
        *(ov.PartialShape([-1] * tensor.dim()) for tensor in example),
        *encoded,
        *(ov.PartialShape([-1, *(dim or -1 for dim in shape[1:])]) for shape in state_shapes),
    ]
    encoder_outputs = [torch.zeros([2 if dim.is_dynamic else dim.get_length() for dim in shape]) for shape in encoded]
    model = _trace(decoder, (*example, *encoder_outputs, *states), shapes)
    inputs = [*INPUTS, *(f"encoded.{i}" for i in range(len(encoded))), *(f"state.{i}" for i in range(len(states)))]
    outputs = ["logits", *(f"new_state.{i}" for i in range(len(states)))]
    for ports, names in ((model.inputs, inputs), (model.outputs, outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    return model


def _add_log_sums(model: ov.Model) -> None:
    """Add an output `log_sums` (rows,): the logarithm of the sum of the exponentials of each row's logits."""
    logits, last = model.outputs[0].get_node().input_value(0), ops.constant([1])
    largest = ops.reduce_max(logits, last, True)
    sums = ops.log(ops.reduce_sum(ops.exp(ops.subtract(logits, largest)), last))
    log_sums = ops.result(ops.add(sums, ops.squeeze(largest, last)), name="log_sums")
    log_sums.output(0).get_tensor().set_names({"log_sums"})
    model.add_results([log_sums])


def _with_state(model: ov.Model) -> ov.Model:
    """Turn each pair `state.N` and `new_state.N` into a variable inside the model, empty at first. A new input,
    `parents`, gives the row of the step before that each row continues."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    parents = ops.parameter(ov.PartialShape([-1]), ov.Type.i32, name="parents")
    parents.output(0).get_tensor().set_names({"parents"})
    model.add_parameters([parents])
    pairs = {}
    for port in model.inputs:
        if port.any_name.startswith("state."):
            _insert_after(port, ops.gather(port, parents, ops.constant(0)))
            pairs[port.any_name] = f"new_{port.any_name}"
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


def _insert_after(port: Any, node: Any) -> None:
    """Connect all readers of a port to `node` instead, which reads the port."""
    for reader in port.get_target_inputs():
        if reader.get_node() != node:
            reader.replace_source_output(node.output(0))
