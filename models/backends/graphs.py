"""Networks on torch whose steps are CUDA graphs: recorded once for each shape, and then launched as a whole.

A step is hundreds of small kernels, and a CPU may need longer to launch them one by one than a GPU to run them. A graph
launches all at once, but it reads and writes the same places in memory each time, and always as much. Hence what is
different here from `TorchNetwork`:

- Keys and values do not grow. They stand at the right end of a window, behind zeros that are masked, and with each step
  move left by one. When it is full, a larger window follows.
- What the encoder says is copied to where it lay for the batches before.
- Everything else is copied to where the graph reads it.

How graphs are recorded is what https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs asks for. All but that
runs on a CPU as well, where the tests run it; **on a GPU nobody has measured it**.
"""

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.backends.torch import Array, TorchNetwork

if TYPE_CHECKING:
    from models.networks.decoder import Networks

log = logging.getLogger(__name__)

WINDOW = 64
"""Places by which windows grow."""
ROOM = 16
"""Graphs that a network keeps: those used last. Each holds twice the keys and values of its window."""
_WARMING_UP = 3
"""Runs before one is recorded: libraries allocate and choose their kernels in the first ones. As many as torch's."""

Tensors = tuple[Tensor, ...]
Step = Callable[[], Tensors]
Record = Callable[[Step], Step]
"""From a step to what runs it again: on what the tensors that it reads hold by then, answering in the same ones."""


class GraphNetwork(TorchNetwork):
    """A family's networks on CUDA; see `models.backends.Network`.

    record: how steps are recorded; `Recorder` where none is given.
    window: places by which windows grow.
    """

    def __init__(
        self,
        networks: "Networks",
        device: torch.device,
        dtype: torch.dtype,
        record: Record | None = None,
        window: int = WINDOW,
    ) -> None:
        super().__init__(networks, device, dtype)
        self._graphs = Graphs(self._slide, record or Recorder(device))
        self._window = window
        self._grows = 0 in self._decoder.start(1)[0]
        self._homes: dict[tuple[torch.Size, ...], list[Tensor]] = {}

    @torch.inference_mode()
    def encode(self, *inputs: Array) -> list[Array]:
        if inputs[0].ndim == 2:
            # Texts: every length would be a shape of its own. Both of a text's arrays are zero where there is padding.
            lacking = self._width(inputs[0].shape[1]) - inputs[0].shape[1]
            inputs = tuple(np.pad(array, ((0, 0), (0, lacking))) for array in inputs)
        told = super().encode(*inputs)
        self._memory = self._settle(self._memory)
        return told

    def _settle(self, memory: list[Tensor]) -> list[Tensor]:
        """Return memory where graphs look for it: in the same place for as many images as ever, the first of them where
        there are fewer now. `leave` changes it right there."""
        shapes = tuple(tensor.shape[1:] for tensor in memory)
        home = self._homes.get(shapes)
        if home is None or len(home[0]) < len(memory[0]):
            self._homes[shapes] = memory
            if home is not None:
                # They read it where it is no longer.
                self._graphs.clear()
            return memory
        settled = [place[: len(tensor)] for place, tensor in zip(home, memory, strict=True)]
        torch._foreach_copy_(settled, memory)
        return settled

    def _advance(self, parents: Tensor, *given: Tensor) -> Tensors:
        state = self._past
        if not state:
            # Prompts have all kinds of lengths, and come once for each text.
            return super()._advance(parents, *given)
        if len(parents) != len(state[0]):
            # Done beforehand, or there would be a shape for each pair of numbers of rows.
            state, parents = [tensor[parents] for tensor in state], torch.arange(len(parents), device=self._place)
        tokens, positions, attended, *grid = given
        width = self._width(attended.shape[1])
        attended = pad(attended, (width - attended.shape[1], 0))
        if self._grows and state[0].shape[2] < width:
            state = [pad(tensor, (0, 0, width - tensor.shape[2], 0)) for tensor in state]
        return self._graphs([parents, tokens, positions, attended, *grid], self._memory, state)

    def _slide(self, parents: Tensor, *tensors: Tensor) -> Tensors:
        """Take a step in which keys and values stay as many: the leftmost, which is padding, makes room for the new."""
        given, state = tensors[: -self._decoder.states], tensors[-self._decoder.states :]
        past = [(tensor[:, :, 1:] if self._grows else tensor)[parents] for tensor in state]
        taken: Tensors = self._decoder(*given, *past)
        return taken

    def _width(self, length: int) -> int:
        """Return the width of the smallest window with so many places."""
        return -(-length // self._window) * self._window


class Graphs:
    """A step as graphs, one for each shape of what it is given; at most `room`, those used last.

    step: a function of tensors: `numbers`, `memory` and `state`, one after the other.
    """

    def __init__(self, step: Callable[..., Tensors], record: Record, room: int = ROOM) -> None:
        self._step, self._room = step, room
        self._record: Record | None = record
        self._kept: dict[tuple[torch.Size, ...], Callable[..., Tensors]] = {}
        self._seen: set[tuple[torch.Size, ...]] = set()

    def __call__(self, numbers: list[Tensor], memory: list[Tensor], state: list[Tensor]) -> Tensors:
        """Return what the step does, which holds until the next one.

        Args:
            numbers: read afresh each time, as `state`.
            memory: read where it is: for the same shapes always in the same place, or after `clear`.
            state: of the step before.
        """
        shapes = tuple(tensor.shape for tensor in (*numbers, *memory, *state))
        replay = self._kept.pop(shapes, None)
        # Recorded the second time it comes: many a shape of a mixed batch never does.
        if replay is None and shapes in self._seen:
            replay = self._recorded(numbers, memory, state)
        self._seen.add(shapes)
        if replay is None:
            return self._step(*numbers, *memory, *state)
        self._kept[shapes] = replay
        if len(self._kept) > self._room:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._seen.remove(oldest)
        return replay(numbers, state)

    def clear(self) -> None:
        """Forget all graphs."""
        self._kept.clear()
        self._seen.clear()

    def _recorded(
        self, numbers: list[Tensor], memory: list[Tensor], state: list[Tensor]
    ) -> Callable[..., Tensors] | None:
        """Return a function of numbers and state, or None where steps cannot be recorded."""
        if self._record is None:
            return None
        try:
            read, carried = ([tensor.clone() for tensor in tensors] for tensors in (numbers, state))
            run = self._record(lambda: self._step(*read, *memory, *carried))
        except RuntimeError:
            log.warning("a step cannot be recorded as a CUDA graph: this model goes on without graphs", exc_info=True)
            self._record = None
            self.clear()
            return None

        def replay(numbers: list[Tensor], state: list[Tensor]) -> Tensors:
            torch._foreach_copy_(read, numbers)
            torch._foreach_copy_(carried, state)
            return run()

        return replay


class Recorder:
    """Records steps on a CUDA device. Whoever calls holds `TURN`: there is one recording at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()

    def __call__(self, step: Step) -> Step:
        graph, usual = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        # Graphs of one network never run at once, so they can share memory. It lives as long as any of them.
        pool = next((other.pool() for other in self._graphs), None)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARMING_UP):
                step()
            # Other models' threads may use the device meanwhile.
            with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
                outputs = step()
        usual.wait_stream(self._stream)
        self._graphs.add(graph)

        def replay() -> Tensors:
            graph.replay()
            return outputs

        return replay
