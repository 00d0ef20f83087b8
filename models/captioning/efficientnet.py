"""EfficientNet-Lite: a CNN made for small processors.

Tan and Le 2019, "EfficientNet", https://arxiv.org/abs/1905.11946, in the variant without squeeze-excite and with ReLU6
(Liu 2020, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

import math
from collections import OrderedDict

from torch import Tensor, nn

from models.captioning.lite_blocks import CHANNELS, CLASSES, EPSILON, STEM, Block, blocks

_MOMENTUM = 0.01


class EfficientNetLite(nn.Module):
    """The CNN: pixels to a feature map a 32nd as wide and high, and the classifier that it was trained with."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        parts = blocks(variant)
        self.stem = _convolution(3, STEM, 3, stride=2)
        self.blocks = nn.Sequential(*map(InvertedResidual, parts))
        self.head = _convolution(parts[-1].after, CHANNELS, 1)
        self.classifier = nn.Linear(CHANNELS, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the feature map (batch, 1280, height, width) of normalised pixels (batch, 3, height, width)."""
        features: Tensor = self.head(self.blocks(self.stem(pixels)))
        return features


class InvertedResidual(nn.Module):
    """A block as `lite_blocks` describes it."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        inside = block.before * block.expansion
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if block.expansion != 1:
            layers["expand"] = _convolution(block.before, inside, 1)
        layers["depthwise"] = _convolution(inside, inside, block.kernel, block.stride, groups=inside)
        layers["project"] = _convolution(inside, block.after, 1, active=False)
        self.layers = nn.Sequential(layers)
        self.residual = block.residual

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.layers(features)
        return result + features if self.residual else result


class SamePadding(nn.Conv2d):
    """A convolution padded like TensorFlow's "same": with a stride, one more on the right and the bottom."""

    def forward(self, features: Tensor) -> Tensor:
        height, width = (
            max((math.ceil(size / step) - 1) * step + kernel - size, 0)
            for size, step, kernel in zip(features.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(nn.functional.pad(features, sides) if any(sides) else features)


def _convolution(
    before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=SamePadding(before, after, kernel, stride, groups=groups, bias=False),
        norm=nn.BatchNorm2d(after, eps=EPSILON, momentum=_MOMENTUM),
    )
    if active:
        layers["activation"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)


def renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a published `.pth` file under the names of `EfficientNetLite`."""
    layers = {
        "_conv_stem": "stem.conv",
        "_bn0": "stem.norm",
        "_conv_head": "head.conv",
        "_bn1": "head.norm",
        "_fc": "classifier",
    }
    in_block = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }
    result = {}
    for name, tensor in published.items():
        layer, rest = name.split(".", 1)
        if layer == "_blocks":
            index, layer, rest = rest.split(".", 2)
            result[f"blocks.{index}.layers.{in_block[layer]}.{rest}"] = tensor
        else:
            result[f"{layers[layer]}.{rest}"] = tensor
    return result
