"""The torch backend: networks on CUDA and Apple's GPUs, and the reference everywhere."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from models.backends import Checkpoint
from models.backends.threads import cores, turn_of
from models.base import Placement
from models.generation import Array

transformers.utils.logging.disable_progress_bar()

# transformers changes globals of torch and of its own while it loads, so two loads at a time would corrupt them.
_LOADING = threading.Lock()

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def place(placement: Placement) -> tuple[torch.device, torch.dtype]:
    """Return the device and number format of a placement on this machine.

    `auto` is half precision on a GPU if there is one, else float32 on the CPU.

    Raises:
        ValueError: the machine has no such device, or torch no such number format.
    """
    if placement.precision not in ("auto", *_DTYPES):
        raise ValueError(f"{placement.precision} is for OpenVINO on a CPU: on torch use one of {', '.join(_DTYPES)}")
    try:
        device = torch.device(_best_device() if placement.device == "auto" else placement.device)
    except RuntimeError as error:
        raise ValueError(f"{placement.device} is no device: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{placement.device} is missing: this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("mps is not available: this machine has no Apple GPU that torch can use")
    if placement.precision != "auto":
        return device, _DTYPES[placement.precision]
    if device.type == "cpu":
        return device, torch.float32
    # bfloat16 has float32's range, so no layer overflows; GPUs before Ampere only emulate it.
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return device, torch.bfloat16 if native else torch.float16


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def read_weights(network: Any, directory: Path, dtype: torch.dtype, unused: tuple[str, ...] = ()) -> Any:
    """Load a transformers class from a checkpoint's directory, in evaluation mode and without gradients.

    It reads safetensors, or a `.bin` file as tensors only (`weights_only`), and never runs code of the checkpoint.

    Args:
        network: a concrete transformers model class.
        directory: a checkpoint in the published layout.
        dtype: the number format of the weights in memory.
        unused: prefixes of the names of tensors that the family never uses, and that a checkpoint may lack.

    Raises:
        ValueError: the checkpoint lacks other tensors, or has them in other shapes.
    """
    with _LOADING:
        model, report = network.from_pretrained(
            directory, dtype=dtype, local_files_only=True, weights_only=True, output_loading_info=True
        )
    # transformers fills lacking tensors with random numbers, which would produce noise.
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    if lacking := {key for key in report["missing_keys"] if not key.startswith(unused)} | mismatched:
        raise ValueError(f"{directory} lacks {len(lacking)} tensors of {network.__name__}, such as {min(lacking)}")
    model.requires_grad_(False)
    return model.eval()


def name(dtype: torch.dtype) -> str:
    """Return the name of a number format as the settings have it."""
    return str(dtype).removeprefix("torch.")


class TorchNetwork:
    """A checkpoint on torch, with the interface of `models.backends.Network`."""

    def __init__(self, checkpoint: Checkpoint[Any], device: torch.device, dtype: torch.dtype) -> None:
        if device.type == "cpu":
            # torch does not read a container's limit.
            torch.set_num_threads(cores())
        self.device, self.precision = str(device), name(dtype)
        self.tokens, self.rules, self.facts = checkpoint.tokens, checkpoint.rules, checkpoint.facts
        self._encoder, self._decoder = checkpoint.encoder.to(device).eval(), checkpoint.decoder.to(device).eval()
        self._device, self._dtype = device, dtype
        # `cuda` is the first of them.
        self._turn = turn_of(f"cuda:{device.index or 0}" if device.type == "cuda" else device.type)
        self._extra_outputs = checkpoint.extra_outputs
        self._encoded: list[Tensor] = []
        self._state: list[Tensor] = []

    @torch.inference_mode()
    def encode(self, *inputs: Array) -> list[Array]:
        # Free the batch before first: the memory may not suffice for both.
        self._encoded, self._state = [], []
        with self._turn:
            self._encoded = list(self._encoder(*map(self._tensor, inputs)))
        return [_floats(self._encoded.pop()) for _ in range(self._extra_outputs)][::-1]

    @torch.inference_mode()
    def step(
        self, tokens: Array, positions: Array, attention_mask: Array, parents: Array, image_rows: Array, slots: Array
    ) -> tuple[Array, Array]:
        arrays = (tokens, positions, attention_mask.astype(np.int64), image_rows, slots)
        inputs, rows = [self._tensor(array) for array in arrays], self._tensor(parents)
        with self._turn:
            state = [tensor[rows] for tensor in self._state] or self._first_state(len(parents))
            logits, *self._state = self._decoder(*inputs, *self._encoded, *state)
            return _floats(logits), _floats(logits.float().logsumexp(dim=-1))

    def _first_state(self, rows: int) -> list[Tensor]:
        shapes = self._decoder.state_shapes(rows)
        return [torch.zeros(shape, dtype=self._dtype, device=self._device) for shape in shapes]

    @torch.inference_mode()
    def remove(self, image: int) -> None:
        for tensor in self._encoded:
            tensor[image] = tensor[-1].clone()
        self._encoded = [tensor[:-1] for tensor in self._encoded]

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)


def _floats(tensor: Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy())
