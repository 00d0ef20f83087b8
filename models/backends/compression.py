"""Weights of OpenVINO models in fewer bits than float32: in bfloat16, or as integers of 8 bits.

Smaller weights take less disk and memory, and less time to read, which is most of the time of a decoder's step. Inputs
and outputs stay floating-point numbers.
"""

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

_LEAST = 1 << 10
"""The fewest numbers of a matrix that is compressed."""
_LARGEST = 127
"""The largest signed integer of 8 bits. The smallest used is its negative, so there is no zero point."""


def to_bfloat16(model: ov.Model) -> None:
    """Store a model's matrices, tables and kernels in bfloat16. The results of a model that computes in bfloat16 stay
    the same, because it would round the weights itself."""
    for matrix, readers in _matrices(model):
        _replace(readers, _converted(ops.constant(_bfloat16(matrix.data))))


def to_int8(model: ov.Model) -> None:
    """Store the matrices of a model's products as integers of 8 bits, with a scale for each output: its largest weight,
    divided by 127 (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, without zero points)."""
    for matrix, readers in _matrices(model):
        products = [port.get_node() for port in readers if port.get_node().get_type_name() == "MatMul"]
        if not products:
            continue
        inputs = 1 if products[0].get_attributes()["transpose_b"] else 0
        weights = matrix.data
        scales = np.abs(weights).max(axis=inputs, keepdims=True).astype(np.float32) / _LARGEST
        scales[scales == 0] = 1
        kept = ops.convert(ops.constant(np.rint(weights / scales).astype(np.int8)), "f32")
        _replace(readers, ops.multiply(kept, ops.constant(scales)))


def _matrices(model: ov.Model) -> list[tuple[Any, list[Any]]]:
    """Return the large constants that are only factors of products, kernels of convolutions or lookup tables, with the
    ports that read each. The embedding of words is often a factor and a table."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32 or node.data.size < _LEAST:
            continue
        readers = list(node.output(0).get_target_inputs())
        uses = {(port.get_node().get_type_name(), port.get_index()) for port in readers}
        is_matrix = len(node.get_output_shape(0)) == 2 and uses <= {("MatMul", 1), ("Gather", 0)}
        if is_matrix or uses == {("Convolution", 1)}:
            found.append((node, readers))
    return found


def _replace(readers: list[Any], node: Any) -> None:
    for port in readers:
        port.replace_source_output(node.output(0))


def _bfloat16(numbers: NDArray[np.float32]) -> ov.Tensor:
    """Return numbers rounded to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    # A tensor of its own: OpenVINO would go on reading numpy's memory after it was freed.
    tensor = ov.Tensor(ov.Type.bf16, ov.Shape(numbers.shape))
    tensor.data.view(np.uint16)[...] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return tensor


def _converted(constant: Any) -> Any:
    """Return a node that converts a constant to float32, marked as decompression. Without the mark, OpenVINO would
    convert the constant once, and store the larger result.

    Python cannot set the mark, so the node is taken from a small model that OpenVINO compresses.
    """
    from openvino._offline_transformations import compress_model_transformation

    one = ops.parameter([1, 1], ov.Type.f32)
    small = ov.Model([ops.add(one, ops.constant(np.ones((1, 1), np.float32)))], [one], "")
    compress_model_transformation(small)
    convert = next(node for node in small.get_ops() if node.get_type_name() == "Convert")
    convert.input(0).replace_source_output(constant.output(0))
    convert.validate_and_infer_types()
    return convert
