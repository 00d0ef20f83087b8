"""Networks on torch: on CUDA and Apple's GPUs, and the reference everywhere."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from models.backends.threads import TURN, cores
from models.base import Placement

if TYPE_CHECKING:
    from models.networks.decoder import Networks

Array = NDArray[Any]

transformers.utils.logging.disable_progress_bar()

# transformers swaps globals of torch and of its own while it loads: two at a time would spoil both, and all later.
_LOADING = threading.Lock()

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def place(placement: Placement) -> tuple[torch.device, torch.dtype]:
    """Return the device and number format that a placement means on this machine.

    `auto` is a GPU where there is one, in half precision there, and float32 on the CPU.

    Raises:
        ValueError: the device named is not here, or does not have that number format.
    """
    if placement.precision not in ("auto", *_DTYPES):
        raise ValueError(f"{placement.precision} is for OpenVINO on a CPU: on torch use one of {', '.join(_DTYPES)}")
    try:
        device = torch.device(_best_device() if placement.device == "auto" else placement.device)
    except RuntimeError as error:
        raise ValueError(f"{placement.device} is no device: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{placement.device} is not here: this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("mps is not here: this machine has no Apple GPU that torch can use")
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


def load(network: Any, directory: Path, placement: Placement) -> tuple[Any, str, str]:
    """Load a transformers class from a directory, ready to predict.

    Safetensors, or a `.bin` file read as tensors only (`weights_only`); never code from the checkpoint.

    Args:
        network: a concrete transformers model class.
        directory: a checkpoint in the published layout.
        placement: where to run it, and in what number format.

    Returns:
        The model in evaluation mode, the device's name and the number format's.

    Raises:
        ValueError: the checkpoint does not hold all tensors, or the device is not here.
    """
    device, dtype = place(placement)
    return read(network, directory, dtype).to(device), str(device), name(dtype)


def read(network: Any, directory: Path, dtype: torch.dtype, unread: tuple[str, ...] = ()) -> Any:
    """Read a transformers class from a directory into memory, in evaluation mode and without gradients.

    Args:
        network: a concrete transformers model class.
        directory: a checkpoint in the published layout.
        dtype: the number format of the weights in memory.
        unread: how the names of tensors begin that the family never reads, so that a checkpoint may lack them.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    with _LOADING:
        model, report = network.from_pretrained(
            directory, dtype=dtype, local_files_only=True, weights_only=True, output_loading_info=True
        )
    # transformers fills what the checkpoint lacks with random numbers, and would answer with noise.
    of_another_shape = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    lacking = {key for key in report["missing_keys"] if not key.startswith(unread)} | of_another_shape
    if lacking:
        raise ValueError(f"{directory} lacks {len(lacking)} tensors of {network.__name__}, such as {min(lacking)}")
    model.requires_grad_(False)
    return model.eval()


def name(dtype: torch.dtype) -> str:
    """Return a number format's name as users write it."""
    return str(dtype).removeprefix("torch.")


class TorchNetwork:
    """A family's networks on torch; see `models.backends.Network`."""

    def __init__(self, networks: "Networks", device: torch.device, dtype: torch.dtype) -> None:
        if device.type == "cpu":
            # By itself torch does not look at a container's limit.
            torch.set_num_threads(cores())
        self.device, self.precision = str(device), name(dtype)
        self.tokens, self.rules, self.facts = networks.tokens, networks.rules, networks.facts
        self._encoder, self._decoder = networks.encoder.to(device).eval(), networks.decoder.to(device).eval()
        self._place, self._dtype = device, dtype
        self._told = networks.told
        self._memory: list[Tensor] = []
        self._past: list[Tensor] = []

    @torch.inference_mode()
    def encode(self, *inputs: Array) -> list[Array]:
        # Of the images before, first: there may not be room for both.
        self._memory, self._past = [], []
        with TURN:
            self._memory = list(self._encoder(*map(self._tensor, inputs)))
        return [_floats(self._memory.pop()) for _ in range(self._told)][::-1]

    @torch.inference_mode()
    def step(
        self, tokens: Array, positions: Array, attended: Array, parents: Array, rows: Array, places: Array
    ) -> tuple[Array, Array]:
        arrays = (parents, tokens, positions, attended.astype(np.int64), rows, places)
        given = [self._tensor(array) for array in arrays]
        with TURN:
            logits, *self._past = self._advance(*given)
            return _floats(logits), _floats(logits.float().logsumexp(dim=-1))

    def _advance(self, parents: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of a step, and what is carried to the next one. `given` is what decoders are given besides
        memory and past."""
        past = [tensor[parents] for tensor in self._past] or self._start(len(parents))
        taken: tuple[Tensor, ...] = self._decoder(*given, *self._memory, *past)
        return taken

    def _start(self, rows: int) -> list[Tensor]:
        return [torch.zeros(shape, dtype=self._dtype, device=self._place) for shape in self._decoder.start(rows)]

    @torch.inference_mode()
    def leave(self, image: int) -> None:
        for tensor in self._memory:
            tensor[image] = tensor[-1].clone()
        self._memory = [tensor[:-1] for tensor in self._memory]

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self._place, self._dtype if tensor.is_floating_point() else None)


def _floats(tensor: Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy())
