"""Of which blocks each EfficientNet-Lite is made."""

import math
from dataclasses import dataclass

CHANNELS, CLASSES, STEM = 1280, 1000, 32
# TensorFlow's, with which the published weights were trained.
EPSILON = 1e-3
_DIVISOR = 8
# kernel, stride, expansion, channels, blocks: of each stage at a width and a depth of 1.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Factors of the width and the depth."""


@dataclass(frozen=True)
class Block:
    """An inverted residual block (Sandler et al. 2018, https://arxiv.org/abs/1801.04381).

    before, after: channels of its input and its output. expansion: how many times as many are in between.
    kernel, stride: of the convolution in between, in pixels.
    """

    before: int
    after: int
    expansion: int
    kernel: int
    stride: int

    @property
    def residual(self) -> bool:
        """True if the input is added to the output."""
        return self.stride == 1 and self.before == self.after


def blocks(variant: str) -> list[Block]:
    """Return the blocks of a variant from the first to the last."""
    width, depth = VARIANTS[variant]
    made, channels = [], STEM
    for index, (kernel, stride, expansion, unscaled, count) in enumerate(_STAGES):
        after = _round(unscaled * width)
        # The first and the last stage are never repeated.
        repeats = count if index in (0, len(_STAGES) - 1) else math.ceil(count * depth)
        for repeat in range(repeats):
            made.append(Block(channels, after, expansion, kernel, 1 if repeat else stride))
            channels = after
    return made


def _round(channels: float) -> int:
    """Return the nearest multiple of 8, or the one above where the nearest is less by more than a tenth."""
    rounded = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * channels else rounded
