"""Linear layers as convolutions: the same numbers, and only where they are faster."""

import importlib
from pathlib import Path

import openvino as ov
import pytest
import torch
from torch import nn

from models.backends import conversion, openvino, pointwise
from models.families.recurrent import MODELS as RECURRENT
from models.families.recurrent import read_checkpoint

FAMILIES = {"blip-base": "blip", "trocr-large-handwritten": "trocr", "kosmos-2": "kosmos2", "t5-tags": "t5_tags"}
SHIPPED = RECURRENT[0].source.directory


def test_the_numbers_are_those_of_linear_layers() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 12), nn.ModuleDict({"inner": nn.Linear(12, 5, bias=False)})["inner"])
    replaced = pointwise.without_linear(network)
    assert not any(isinstance(part, nn.Linear) for part in replaced.modules())
    with torch.inference_mode():
        for shape in ((8,), (2, 8), (3, 7, 8), (2, 3, 4, 8)):
            given = torch.randn(shape)
            torch.testing.assert_close(replaced(given), network(given))
    # The one given is as it was, and its weights are there once.
    assert isinstance(network[0], nn.Linear)
    assert replaced[0].weight.data_ptr() == network[0].weight.data_ptr()


def counted(model: ov.Model) -> tuple[int, int]:
    """How many layers of a converted network are convolutions over sequences, and how many products with a matrix."""
    factors = [
        (node.get_type_name(), len(node.get_input_partial_shape(1)))
        for node in model.get_ops()
        if node.get_type_name() in ("Convolution", "MatMul")
    ]
    return factors.count(("Convolution", 3)), factors.count(("MatMul", 2))


@pytest.mark.parametrize(
    ("name", "precision", "replaced"),
    [
        *((name, "bfloat16", name != "t5-tags") for name in FAMILIES),
        ("blip-base", "int8", True),
        # OpenVINO does that by itself.
        ("blip-base", "float32", False),
    ],
)
def test_encoders_of_images_have_no_other_products(
    checkpoints: dict[str, Path], name: str, precision: str, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also on a CPU without it.
    monkeypatch.setattr(openvino, "_has_bfloat16", lambda: True)
    checkpoint = importlib.import_module(f"models.families.{FAMILIES[name]}").read_checkpoint(
        checkpoints[name], torch.float32
    )
    encoder, decoder = (counted(model) for model in conversion.convert(checkpoint, precision))
    assert (encoder[0] > 0, encoder[1] == 0) == (replaced, replaced)
    # Of steps, few rows at a time and as many as there are, nothing is gained.
    assert decoder[0] == 0
    assert decoder[1] > 0


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_decoders_keep_what_they_share_with_encoders(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "_has_bfloat16", lambda: True)
    assert SHIPPED is not None
    checkpoint = read_checkpoint(SHIPPED, torch.float32)
    _, decoder = conversion.convert(checkpoint, precision)
    convolutions, products = counted(decoder)
    assert convolutions == 0
    assert products > 0
    kept = {node.get_element_type() for node in decoder.get_ops() if node.get_type_name() == "Constant"}
    assert (ov.Type.i8 in kept) == (precision == "int8")
