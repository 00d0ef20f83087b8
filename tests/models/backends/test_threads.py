"""How many cores this process may use, and which networks wait for one another."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.backends import threads
from models.backends.threads import turn_of
from models.backends.torch import TorchNetwork


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 8),
        ("?", 8),
    ],
)
def test_a_containers_limit_is_respected(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert threads.cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_of_version_1_as_well(quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "none")
    monkeypatch.setattr(threads, "_QUOTA_V1", (tmp_path / "quota", tmp_path / "period"))
    (tmp_path / "quota").write_text(quota)
    (tmp_path / "period").write_text("100000")
    assert threads.cores() == expected


class Tuple(torch.nn.Module):
    """A network that returns its input."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (pixels,)


def test_a_network_waits_for_its_own_device_alone() -> None:
    checkpoint: Any = SimpleNamespace(
        encoder=Tuple(), decoder=Tuple(), tokens=None, rules=None, facts=None, extra_outputs=1
    )
    network = TorchNetwork(checkpoint, torch.device("cpu"), torch.float32)
    pixels = np.ones((1, 3), np.float32)
    with ThreadPoolExecutor(1) as pool:
        with turn_of("cuda:0"):
            assert pool.submit(network.encode, pixels).result(30)
        with turn_of("cpu"):
            waiting = pool.submit(network.encode, pixels)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(30)


def test_a_process_among_others_takes_its_share_and_pins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_most", [])
    monkeypatch.setattr(threads, "_cores", lambda: 8)
    assert (threads.cores(), threads.is_limited()) == (8, False)
    threads.limit(2.5)
    assert (threads.cores(), threads.is_limited()) == (3, True)
    threads.limit(0.2)
    assert threads.cores() == 1
