"""Weights in fewer bits: what is kept, how far it is off, and that it is found again."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from openvino import opset13 as ops
from PIL import Image

from models.backends import compression, on_openvino
from models.backends import torch as on_torch
from models.base import Job, Loaded, Options, Placement
from models.families.blip import MODELS

BLIP = MODELS[0]


@pytest.fixture
def words() -> NDArray[np.float32]:
    """A table of words, of one row for each, as large as is worth it; some rows are much smaller than others."""
    random = np.random.default_rng(0)
    table = random.standard_normal((64, 32)) * np.logspace(-4, 1, 64)[:, None]
    table[5] = 0
    return table.astype(np.float32)


def tied(words: NDArray[np.float32]) -> ov.Model:
    """A network that looks a word up and says how much each word is like it, from one table, and adds a small one."""
    table, word = ops.constant(words), ops.parameter([-1], ov.Type.i64)
    embedded = ops.add(ops.gather(table, word, ops.constant(0)), ops.constant(np.ones((1, 32), np.float32)))
    return ov.Model([embedded, ops.matmul(embedded, table, False, True)], [word], "tied")


def kept(model: ov.Model) -> list[tuple[str, list[int]]]:
    """The types and shapes of the large constants."""
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant" and node.data.size > 1000]
    return [(node.get_element_type().get_type_name(), list(node.get_output_shape(0))) for node in constants]


def run(model: ov.Model) -> list[NDArray[np.float32]]:
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0})
    return [np.array(value) for value in compiled([np.arange(64)]).values()]


def test_int8_is_off_by_half_a_step_of_its_row(words: NDArray[np.float32]) -> None:
    model = tied(words)
    compression.to_int8(model)
    # Once, for both that read it.
    assert kept(model) == [("i8", [64, 32])]
    embedded, _ = run(model)
    step = abs(words).max(axis=1) / 127
    assert (abs(embedded - 1 - words).max(axis=1) <= step / 2 + 1e-6).all()
    assert (embedded[5] == 1).all()


def test_int8_of_a_matrix_that_lies_the_other_way_round(words: NDArray[np.float32]) -> None:
    given = ops.parameter([-1, 32], ov.Type.f32)
    model = ov.Model([ops.matmul(given, ops.constant(words.T), False, False)], [given], "product")
    compression.to_int8(model)
    assert kept(model) == [("i8", [32, 64])]
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0})
    product = compiled([np.eye(32, dtype=np.float32)])[0].T
    assert (abs(product - words).max(axis=1) <= abs(words).max(axis=1) / 254 + 1e-6).all()


def test_bfloat16_is_rounded_as_torch_rounds_and_stays_small(words: NDArray[np.float32], tmp_path: Path) -> None:
    model = tied(words)
    compression.to_bfloat16(model)
    ov.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    # Without the mark, OpenVINO would make float32 of it again.
    assert 'name="decompression"' in (tmp_path / "model.xml").read_text()
    read = ov.Core().read_model(tmp_path / "model.xml")
    assert kept(read) == [("bf16", [64, 32])]
    embedded, _ = run(read)
    rounded = torch.from_numpy(words).bfloat16().float().numpy()
    np.testing.assert_array_equal(embedded, rounded + np.float32(1))


def load(directory: Path, precision: str, cache: Path) -> Loaded:
    return BLIP.load(directory, Placement("cpu", precision, cache=cache))


def test_a_model_in_int8_is_smaller_on_disk_and_an_entry_of_its_own(
    checkpoints: dict[str, Path], pictures: list[Image.Image], tmp_path: Path
) -> None:
    directory, job = checkpoints["blip-base"], Job(pictures[0], options=Options(max_new_tokens=6, min_new_tokens=6))
    texts = {}
    for precision in ("float32", "int8"):
        first = load(directory, precision, tmp_path)
        assert first.precision == precision
        texts[precision] = first.predict([job])[0].text
        # From the disk it says the same.
        assert load(directory, precision, tmp_path).predict([job])[0].text == texts[precision]
    entries = sorted(path.stat().st_size for path in tmp_path.glob("*/decoder.bin"))
    assert len(entries) == 2
    # Embeddings and positions keep their format, and are most of a decoder as small as this one.
    assert entries[0] < 0.7 * entries[1]
    assert all(texts.values())


@pytest.mark.parametrize("placement", [Placement("cpu", "int8", "torch"), Placement("auto", "int8", "torch")])
def test_torch_refuses_what_it_does_not_have(placement: Placement) -> None:
    assert not on_openvino(placement)
    with pytest.raises(ValueError, match=r"is for OpenVINO on a CPU: on torch use one of float32, bfloat16, float16"):
        on_torch.place(placement)


def test_int8_is_on_the_cpu_whatever_else_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.backends._may_have_gpu", lambda: True)
    assert on_openvino(Placement("auto", "int8"))
