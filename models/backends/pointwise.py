"""Linear layers as convolutions of width one: the same products, which oneDNN computes faster.

On a matrix of a few hundred rows, OpenVINO's fully connected layers reach three quarters of what a CPU can multiply in
bfloat16, its convolutions nine tenths (`benchmarks/README.md`). The layouts allow this without copies.
"""

import copy

from torch import Tensor, nn


class Pointwise(nn.Module):
    """A linear layer as a convolution. `weight` has shape (outputs, inputs, 1)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(layer.weight[:, :, None], requires_grad=False), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., outputs) of x (..., inputs), by a convolution if x is (batch, length, inputs)."""
        if x.dim() != 3:
            return nn.functional.linear(x, self.weight[:, :, 0], self.bias)
        return nn.functional.conv1d(x.transpose(1, 2), self.weight, self.bias).transpose(1, 2)


def without_linear(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which each linear layer is a convolution. The copy shares its weights. The network
    itself does not change, because an encoder may share modules with the decoder."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    replaced = copy.deepcopy(network, shared)
    for part in list(replaced.modules()):
        for name, layer in part.named_children():
            # Code may read attributes of a subclass of Linear that a convolution lacks.
            if type(layer) is nn.Linear:
                setattr(part, name, Pointwise(layer))
    return replaced
