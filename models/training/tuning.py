"""Fine-tuning the recogniser of lines: steps of AdamW for so many minutes, and a running average of the weights."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import torch
from torch import Tensor, nn

from models.networks.recogniser import Recogniser

CLIP = 2.0
WARM_UP = 40  # steps
FROZEN = 2  # stages of the backbone that stay as they are
DECAY = 0.05
AVERAGE = 0.99  # the weight of the past in the running average of the weights, which is what is kept
LEAST_RATE = 0.02  # of the highest, at the end

LATIN = range(0x20, 0x250)  # the characters of Latin scripts

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    minutes: float
    rate: float
    batch: int
    dev_every: int  # steps


@dataclass(frozen=True)
class State:
    """How far a training is: what it has, and what it has cost."""

    network: Recogniser  # with the running average of the weights
    step: int
    seconds: float
    loss: float  # the mean since the last state


class Tuning:
    """A recogniser in training, and the running average of its weights."""

    def __init__(self, network: Recogniser, plan: Plan, head: bool = True) -> None:
        """Args:
        network: what learns.
        plan: for how long, and how fast.
        head: whether the scores of the characters learn, too.
        """
        self._network, self._plan = network, plan
        self._average = copy.deepcopy(network).eval()
        network.train()
        # The first filters know strokes already. Left as they are, a step costs a seventh less.
        encoder = network.backbone.backbone.encoder
        for part in (encoder.convolution, *encoder.blocks[:FROZEN], *(() if head else (network.head,))):
            part.requires_grad_(False)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": DECAY},
            {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=plan.rate)
        self._step = 0

    def run(self, batches: Iterable[Batch], loss: Callable[[Batch], Tensor], measure: Callable[[State], None]) -> None:
        """Train with the loss of each batch until the time is up, and have the state measured now and then."""
        began = time.monotonic()
        losses: list[float] = []
        for batch in batches:
            part = min((time.monotonic() - began) / (60 * self._plan.minutes), 1.0)
            # To draw the first lines may take longer than there is; one step is taken all the same.
            if part == 1 and self._step:
                break
            losses.append(self._learn(loss(batch), part))
            if self._step % self._plan.dev_every == 0:
                measure(self._state(began, losses))
                losses = []
        measure(self._state(began, losses))

    def _state(self, began: float, losses: Sequence[float]) -> State:
        return State(self._average, self._step, time.monotonic() - began, sum(losses) / max(len(losses), 1))

    def _learn(self, loss: Tensor, part: float) -> float:
        """Take one step, and return its loss. `part` is how much of the time is over, 0..1."""
        falling = LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * part)) / 2
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.rate * min(1.0, (self._step + 1) / WARM_UP) * falling
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), CLIP)
        self._optimiser.step()
        self._step += 1
        past = min(AVERAGE, self._step / (self._step + 10))
        with torch.no_grad():
            for kept, current in zip(self._average.parameters(), self._network.parameters(), strict=True):
                kept.lerp_(current, 1 - past)
        return float(loss.detach())


def prepare(seed: int, threads: int) -> None:
    """Seed torch, and let it and OpenCV use so many threads."""
    torch.manual_seed(seed)
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    # Denormal numbers would double the time of a step.
    torch.set_flush_denormal(True)


def ctc_loss(scores: Tensor, texts: Sequence[str], numbers: Mapping[str, int]) -> Tensor:
    """Return CTC's loss of texts from the scores (rows, steps, characters); characters without a number are left
    out."""
    steps = scores.float().log_softmax(-1).transpose(0, 1)
    targets = [[numbers[character] for character in text if character in numbers] for text in texts]
    lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([number for target in targets for number in target])
    given = torch.full((len(texts),), steps.shape[0])
    return nn.functional.ctc_loss(steps, flat, given, lengths, zero_infinity=True)
