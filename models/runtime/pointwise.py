"""Linear layers as convolutions of width one: the same products, which oneDNN does faster that way.

On a matrix of a few hundred rows, OpenVINO's fully connected layers reach three quarters of what a CPU can multiply in
bfloat16, and its convolutions nine tenths (`benchmarks/README.md`). The layouts are such that nothing is moved for it.
"""

from torch import Tensor, nn


class Pointwise(nn.Module):
    """A linear layer of sequences. `weight` is that of the layer, of shape (outputs, inputs, 1)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(layer.weight[:, :, None], requires_grad=False), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, length, outputs) of x (batch, length, inputs); or the same without a batch."""
        return nn.functional.conv1d(x.transpose(-2, -1), self.weight, self.bias).transpose(-2, -1)


def replace_linear(network: nn.Module) -> None:
    """Turn each linear layer of a network into a convolution."""
    for part in list(network.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, nn.Linear):
                setattr(part, name, Pointwise(layer))
