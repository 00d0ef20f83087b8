"""CUDA graphs: texts are those of a cache that grows; all but the recording on a CPU, and all where there is CUDA."""

import gc
import importlib
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import backends
from models.backends.graphs import GraphNetwork, Graphs, Recorder, Step, Tensors
from models.backends.torch import TorchNetwork
from models.base import Placement
from models.generation import IMAGE, Request, write
from models.networks.decoder import Networks
from tests.checkpoints import recurrent

CASES = {
    "blip-base": "blip",
    "kosmos-2": "kosmos2",
    "trocr-base-handwritten": "trocr",
    "t5-tags": "t5",
    "cnn-gru": "recurrent",
    "cnn-lstm": "recurrent",
}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


class Recording:
    """Runs a step as a graph would: on the tensors it was recorded with, and into those that it answered with first."""

    def __init__(self) -> None:
        self.steps: list[weakref.ref[Step]] = []
        self.replays = 0

    def __call__(self, step: Step) -> Step:
        self.steps.append(weakref.ref(step))
        outputs = tuple(tensor.clone() for tensor in step())

        def replay() -> Tensors:
            self.replays += 1
            torch._foreach_copy_(outputs, step())
            return outputs

        return replay


@pytest.fixture(scope="module")
def directories(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = dict(checkpoints)
    for shape in ("cnn-gru", "cnn-lstm"):
        torch.manual_seed(7)
        paths[shape] = tmp_path_factory.mktemp(shape)
        recurrent(paths[shape], shape)
    return paths


def load(name: str, directories: dict[str, Path]) -> Networks:
    networks: Networks = importlib.import_module(f"models.networks.{CASES[name]}").load(
        directories[name], torch.float32
    )
    return networks


def both(networks: Networks, record: Any, window: int = 4, device: str = "cpu") -> tuple[TorchNetwork, GraphNetwork]:
    """Return the same networks with a cache that grows, and with windows."""
    where, exact = torch.device(device), torch.float32
    return TorchNetwork(networks, where, exact), GraphNetwork(networks, where, exact, record, window)


def inputs_of(networks: Networks, seed: int, length: int = 11) -> list[NDArray[Any]]:
    """Return what four images are to an encoder; or four texts, of at most so many tokens."""
    random, example = np.random.default_rng(seed), networks.examples[0][0]
    if example.is_floating_point():
        return [random.standard_normal((4, *example.shape[1:])).astype(np.float32)]
    attended = np.arange(length) < np.array([length, 3, length - 2, 5])[:, None]
    return [np.where(attended, random.integers(3, 60, attended.shape), 0), attended.astype(np.int64)]


def requests(name: str, networks: Networks) -> list[Request]:
    """Return four: of different prompts where the family has them, lengths and searches."""
    start = (networks.facts.get("start", 0),)
    if name == "kosmos-2":
        start = (0, 3, *[IMAGE] * networks.facts["image_tokens"], 4)
    alike = CASES[name] in ("recurrent", "t5")
    prompts = [start] * 4 if alike else [start, (*start, 9, 8), start, (*start, 7)]
    wanted = [(14, 1), (3, 3), (9, 2), (6, 1)]
    return [Request(prompt, most, most, beams) for prompt, (most, beams) in zip(prompts, wanted, strict=True)]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("name", CASES)
def test_texts_are_those_of_a_cache_that_grows(directories: dict[str, Path], name: str, device: str) -> None:
    recording = Recording()
    networks = load(name, directories)
    growing, fixed = both(networks, recording if device == "cpu" else None, device=device)
    searches = requests(name, networks)
    said = set()
    # More images than before, others, fewer: what graphs look at is where it was, and new.
    for seed, some in enumerate((slice(2), slice(4), slice(4), slice(1, 2), slice(4))):
        inputs = [array[some] for array in inputs_of(networks, seed)]
        wanted, told = write(growing, inputs, searches[some], growing.rules)
        texts, also_told = write(fixed, inputs, searches[some], fixed.rules)
        assert [text.tokens for text in texts] == [text.tokens for text in wanted]
        for text, other in zip(texts, wanted, strict=True):
            assert text.scores == pytest.approx(other.scores, abs=1e-3)
        assert len(also_told) == len(told)
        for ours, theirs in zip(also_told, told, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        said |= {text.tokens for text in texts}
    assert len(said) > 4
    assert device == "cuda" or recording.replays > len(recording.steps) > 3


def test_a_text_fills_a_window_and_goes_on_in_a_larger_one(directories: dict[str, Path]) -> None:
    recording = Recording()
    networks = load("trocr-base-handwritten", directories)
    growing, fixed = both(networks, recording, window=8)
    inputs = [array[:1] for array in inputs_of(networks, 0)]
    search = [Request((networks.facts["start"], 9, 8), 30, 30)]
    (wanted,), _ = write(growing, inputs, search, growing.rules)
    (text,), _ = write(fixed, inputs, search, fixed.rules)
    assert text.tokens == wanted.tokens
    # After the prompt 29 steps, to 8, 16, 24 and 32 tokens: the first in each window is not recorded yet.
    assert (len(recording.steps), recording.replays) == (4, 29 - 4)


def test_texts_of_about_the_same_length_share_graphs(directories: dict[str, Path]) -> None:
    recording = Recording()
    networks = load("t5-tags", directories)
    _, fixed = both(networks, recording)
    search = [Request((networks.facts["start"],), 8, 8)] * 4
    recorded = []
    for length in (9, 12, 10, 13, 9):
        write(fixed, inputs_of(networks, 0, length), search, fixed.rules)
        recorded.append(len(recording.steps))
    assert recorded[0] > 0
    # A length beyond them has graphs of its own.
    assert recorded[0] == recorded[1] == recorded[2] < recorded[3]


def test_a_step_that_cannot_be_recorded(directories: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def refuse(step: Step) -> Step:
        asked.append(step)
        raise RuntimeError("operation not permitted when stream is capturing")

    networks = load("blip-base", directories)
    growing, fixed = both(networks, refuse)
    inputs, searches = inputs_of(networks, 0), requests("blip-base", networks)
    wanted = [text.tokens for text in write(growing, inputs, searches, growing.rules)[0]]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [text.tokens for text in write(fixed, inputs, searches, fixed.rules)[0]] == wanted
    assert len(asked) == 1
    (warning,) = caplog.records
    assert "cannot be recorded as a CUDA graph" in warning.message
    assert "operation not permitted" in caplog.text


def test_the_graphs_used_last_are_kept() -> None:
    recording = Recording()
    memory, state = [torch.zeros(1)], [torch.zeros(1)]
    graphs = Graphs(lambda numbers, memory, state: (numbers.sum() + memory, state + 1), recording, room=2)

    def total(length: int) -> float:
        return float(graphs([torch.ones(length)], memory, state)[0])

    assert [total(length) for length in (1, 1, 1, 2, 2, 1, 3, 3)] == [1, 1, 1, 2, 2, 1, 3, 3]
    assert [step() is not None for step in recording.steps] == [True, False, True]
    memory[0] += 5
    assert (total(1), total(2), total(2)) == (6, 7, 7)
    assert len(recording.steps) == 4
    # Shapes that come once push nothing out.
    assert [total(length) for length in (7, 8, 9, 2)] == [12, 13, 14, 7]
    assert len(recording.steps) == 4
    graphs.clear()
    assert not any(step() for step in recording.steps)


def test_graphs_share_memory_while_one_of_them_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for CUDA: what is asked of it, in which order."""
    calls: list[Any] = []

    class Graph:
        def pool(self) -> str:
            return "pool"

        def replay(self) -> None:
            calls.append("replay")

    @contextmanager
    def graph(_: Graph, pool: str | None, stream: Any, capture_error_mode: str) -> Iterator[None]:
        calls.append((pool, capture_error_mode))
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "Stream", Mock())
    monkeypatch.setattr(torch.cuda, "current_stream", Mock())
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())

    def step() -> Tensors:
        calls.append("step")
        return ()

    record = Recorder(torch.device("cuda"))
    first, second = record(step), record(step)
    assert calls == [*["step"] * 3, (None, "thread_local"), "step", *["step"] * 3, ("pool", "thread_local"), "step"]
    calls.clear()
    assert first() == second() == ()
    assert calls == ["replay"] * 2
    del first, second
    gc.collect()
    record(step)
    assert calls[-2:] == [(None, "thread_local"), "step"]


@pytest.mark.parametrize("asked", [True, False])
def test_graphs_are_for_those_who_ask(
    directories: dict[str, Path], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.backends.torch.place", lambda _: (torch.device("cuda"), torch.float32))
    monkeypatch.setattr("models.backends.torch.TorchNetwork", lambda *_: "kernels")
    monkeypatch.setattr("models.backends.graphs.GraphNetwork", lambda *_: "graphs")
    network: Any = backends.load("blip", directories["blip-base"], Placement("cuda", runtime="torch", graphs=asked))
    assert network == ("graphs" if asked else "kernels")


@pytest.mark.parametrize(
    ("device", "kind"), [("cpu", TorchNetwork), pytest.param("cuda", GraphNetwork, marks=needs_cuda)]
)
def test_only_on_cuda_are_there_graphs(directories: dict[str, Path], device: str, kind: type) -> None:
    placement = Placement(device, "float32", "torch", graphs=True)
    assert type(backends.load("blip", directories["blip-base"], placement)) is kind
