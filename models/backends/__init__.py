"""Backends run networks: OpenVINO on a CPU; torch on CUDA and Apple's GPUs, and as the reference everywhere.

`load` chooses the backend.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from models import generation
from models.base import Placement
from models.preprocessing.tokens import Tokens

if TYPE_CHECKING:
    import openvino as ov
    from torch import Tensor, dtype, nn

CPU_PRECISIONS = ("float32", "bfloat16", "int8")
"""The number formats of OpenVINO on a CPU."""

ALIGNMENT = 16
"""Cross-attention keys and values are padded to a multiple of this number of positions: with 592 positions, oneDNN
takes two thirds of the time that it takes with 577."""

F = TypeVar("F")


@dataclass
class Checkpoint(Generic[F]):
    """A checkpoint as its family reads it, in torch.

    encoder: from inputs to a tuple of tensors whose first dimension is the batch.
    decoder: a `models.networks.decoder.Decoder`, or a module with the same interface.
    examples: two sets of inputs for the encoder. Dimensions in which they differ are dynamic.
    tokens: the tokenizer, if there is one.
    rules: the generation settings.
    facts: a dataclass of what the family needs besides, such as its start token.
    extra_outputs: how many of the encoder's last outputs are not meant for the decoder.
    """

    encoder: "nn.Module"
    decoder: Any
    examples: tuple[tuple["Tensor", ...], tuple["Tensor", ...]]
    tokens: Tokens | None
    rules: generation.Rules
    facts: F
    extra_outputs: int = 0


CheckpointReader = Callable[[Path, "dtype"], Checkpoint[F]]
"""A module's function that reads a checkpoint's directory in a number format. It raises ValueError if tensors are
missing."""


@dataclass
class Graphs(Generic[F]):
    """A checkpoint's networks for OpenVINO, built from its weights without torch; rules and facts as in `Checkpoint`.

    encoder, decoder: as `models.backends.conversion.finish` takes them.
    """

    encoder: "ov.Model"
    decoder: "ov.Model"
    rules: generation.Rules
    facts: F


Builder = Callable[[Path], Graphs[F] | None]
"""A function that builds the networks of a checkpoint's directory; None where they must be converted."""


class Network(generation.Network, Protocol[F]):
    """A checkpoint's encoder and decoder, ready to run, and the rest of the checkpoint."""

    device: str
    precision: str
    tokens: Tokens
    """The tokenizer. Not set for families that have none."""
    rules: generation.Rules
    facts: F


def load(
    read: CheckpointReader[F], facts: type[F], directory: Path, placement: Placement, build: Builder[F] | None = None
) -> Network[F]:
    """Load a checkpoint.

    Args:
        read: the family's function that reads it.
        facts: the dataclass of the family's facts.
        directory: the checkpoint, in the published layout.
        placement: device, number format and backend.
        build: makes the networks for OpenVINO where the family can do so faster than a conversion.

    Raises:
        ValueError: the checkpoint lacks tensors, or this machine cannot do what the placement asks for.
    """
    if on_openvino(placement):
        from models.backends import cache

        if build is not None and (graphs := build(directory)) is not None:
            return cast(Network[F], cache.prepared(graphs, placement))
        return cast(Network[F], cache.load(read, facts, directory, placement))
    from models.backends import torch as backend

    device, precision = backend.place(placement)
    return cast(Network[F], backend.TorchNetwork(read(directory, precision), device, precision))


def check_placement(placement: Placement) -> None:
    """Check that this machine has the device and the number format. This imports torch only for a GPU asked for by
    name, or for a number format that CPUs do not have where there may be a GPU.

    Raises:
        ValueError: it lacks one of them; the message says what it has.
    """
    if placement.device in ("auto", "cpu") and placement.precision in ("auto", *CPU_PRECISIONS):
        return
    if on_openvino(placement):
        check_cpu_precision(placement.precision)
    else:
        from models.backends import torch as backend

        backend.place(placement)


def check_cpu_precision(precision: str) -> None:
    """Check that OpenVINO has a number format on CPUs.

    Raises:
        ValueError: it does not; the message says which number formats it has.
    """
    if precision not in CPU_PRECISIONS:
        raise ValueError(f"{precision} is not for CPUs: use one of {', '.join(CPU_PRECISIONS)}")


def on_openvino(placement: Placement) -> bool:
    """Return True if a placement means OpenVINO. This imports torch only where there may be a GPU. int8 means the CPU.

    Raises:
        ValueError: the placement combines OpenVINO with a GPU.
    """
    if placement.runtime == "openvino" and placement.device not in ("auto", "cpu"):
        raise ValueError(f"OpenVINO runs on the CPU here, not on {placement.device}: use RUNTIME=torch")
    if placement.runtime != "auto" or placement.device not in ("auto", "cpu"):
        return placement.runtime == "openvino"
    if placement.device == "cpu" or placement.precision == "int8" or not _may_have_gpu():
        return True
    from models.backends import torch as backend

    return backend.place(placement)[0].type == "cpu"


def _may_have_gpu() -> bool:
    return sys.platform != "linux" or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
