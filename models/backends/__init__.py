"""How networks are executed: on torch or on OpenVINO.

`load` chooses. On a CPU it is OpenVINO; on CUDA and Apple's GPUs, and as the reference everywhere, torch.
"""

import importlib
import sys
from pathlib import Path
from typing import Any, Protocol, cast

from models import generation
from models.base import Placement
from models.preprocessing.tokens import Tokens

CPU_PRECISIONS = ("float32", "bfloat16", "int8")
"""The number formats of OpenVINO on a CPU."""

ALIGNMENT = 16
"""Keys and values of images and texts are padded to a multiple of so many places: a step looks at 592 in two thirds
of the time that oneDNN takes for 577."""


class Network(generation.Network, Protocol):
    """A checkpoint's encoder and decoder, ready to run, and what else is known of it."""

    device: str
    precision: str
    tokens: Tokens
    """The checkpoint's tokenizer; of a family without one, it must not be used."""
    rules: generation.Rules
    facts: dict[str, Any]


def load(family: str, directory: Path, placement: Placement) -> Network:
    """Load a checkpoint.

    Args:
        family: the module of `models.networks` that reads it.
        directory: the checkpoint, in the published layout.
        placement: where to run it, and in what number format.

    Raises:
        ValueError: the checkpoint does not hold all tensors, or what the placement asks for is not here.
    """
    if on_openvino(placement):
        from models.backends import cache

        return cache.load(family, directory, placement)
    from models.backends import torch as runtime

    device, dtype = runtime.place(placement)
    networks = importlib.import_module(f"models.networks.{family}").load(directory, dtype)
    if placement.graphs and device.type == "cuda":
        from models.backends.graphs import GraphNetwork

        return cast(Network, GraphNetwork(networks, device, dtype))
    return cast(Network, runtime.TorchNetwork(networks, device, dtype))


def check_cpu_precision(precision: str) -> None:
    """Refuse a number format that is not for CPUs.

    Raises:
        ValueError: with those that are.
    """
    if precision not in CPU_PRECISIONS:
        raise ValueError(f"{precision} is not for CPUs: use one of {', '.join(CPU_PRECISIONS)}")


def on_openvino(placement: Placement) -> bool:
    """Tell whether a placement means OpenVINO. Only where there may be a GPU does that cost importing torch; whoever
    asks for int8 asks for the CPU.

    Raises:
        ValueError: OpenVINO is asked for together with a GPU.
    """
    if placement.runtime == "openvino" and placement.device not in ("auto", "cpu"):
        raise ValueError(f"OpenVINO runs on the CPU here, not on {placement.device}: use RUNTIME=torch")
    if placement.runtime != "auto" or placement.device not in ("auto", "cpu"):
        return placement.runtime == "openvino"
    if placement.device == "cpu" or placement.precision == "int8" or not _may_have_gpu():
        return True
    from models.backends import torch as runtime

    return runtime.place(placement)[0].type == "cpu"


def _may_have_gpu() -> bool:
    return sys.platform != "linux" or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
