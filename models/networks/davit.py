"""DaViT, the vision network of Florence-2, with the weights of transformers' modules.

Ding et al. 2022, "DaViT: Dual Attention Vision Transformers", https://arxiv.org/abs/2204.03645. Activations stay in the
order (images, height, width, channels) from layer to layer. In that of transformers, which turns between channels first
and channels last four times in a block, a third of the time on a CPU is spent on moving numbers.
"""

from typing import Any

from torch import Tensor, nn


class DaViT(nn.Module):
    """Stages, each of a convolution that shrinks the image, and of blocks that attend within windows, then among
    channels."""

    def __init__(self, vision: Any) -> None:
        super().__init__()
        self.shrinking = nn.ModuleList([_Shrinking(layer) for layer in vision.convs])
        self.stages = nn.ModuleList([nn.ModuleList([_Block(block) for block in stage]) for stage in vision.blocks])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (images, channels, rows, columns) of normalised pixels (images, 3, height, width)."""
        x = _channels_last(pixels)
        for shrinking, stage in zip(self.shrinking, self.stages, strict=True):
            x = shrinking(x)
            for block in stage:  # type: ignore[attr-defined]
                x = block(x)
        return _channels_first(x)


class _Shrinking(nn.Module):
    """A convolution of patches, with a norm before or after it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.convolution, self.norm, self.norm_first = layer.conv, layer.norm, layer.pre_norm

    def forward(self, x: Tensor) -> Tensor:
        shrunk = _channels_last(self.convolution(_channels_first(self.norm(x) if self.norm_first else x)))
        normed: Tensor = shrunk if self.norm_first else self.norm(shrunk)
        return normed


class _Block(nn.Module):
    """Attention within windows, then among channels; each with its feed-forward part, and a convolution before both."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        spatial, channel = block.spatial_block, block.channel_block
        self.spatial = _Half(spatial, spatial.window_attn)
        self.channel = _Half(channel, _Flat(_ChannelAttention(channel.channel_attn)))

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.channel(self.spatial(x))
        return attended


class _Half(nn.Module):
    def __init__(self, half: Any, attention: nn.Module) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([half.conv1, half.conv2])
        self.norms = nn.ModuleList([half.norm1, half.norm2])
        self.parts = nn.ModuleList([attention, _Flat(half.ffn)])

    def forward(self, x: Tensor) -> Tensor:
        for convolution, norm, part in zip(self.convolutions, self.norms, self.parts, strict=True):
            # OpenVINO takes norms of images apart, and turns images around before it adds them. Of sequences it does
            # neither.
            places = x.flatten(1, 2) + _channels_last(convolution(_channels_first(x))).flatten(1, 2)
            places = places + part(norm(places).view(x.shape)).view(places.shape)
            x = places.view(x.shape)
        return x


class _Flat(nn.Module):
    """A module of sequences, on an image: all of its places one after the other."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.part(x.flatten(1, 2))
        return made


class _ChannelAttention(nn.Module):
    """Attention of each channel to the channels of its group, over all places."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.projection, self.output, self.groups = attention.qkv, attention.proj, attention.groups

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (images, places, channels), of the same shape as x."""
        parts = self.projection(x).unflatten(-1, (3, self.groups, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((query * x.shape[1] ** -0.5).transpose(2, 3) @ key).softmax(dim=-1)
        found = value @ weights.transpose(2, 3)
        output: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return output


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)
