"""The parts of a training step: losses, learning rate, optimizer, averaged weights."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.captioning.network import RecurrentCaptioner, State
from models.captioning.vocabulary import PAD
from models.training.settings import Settings

_LOWEST_LR = 0.01
_LENGTH_GROUPS = 4
_LEAST = 1e-8


def caption_loss(network: RecurrentCaptioner, memory: Tensor, tokens: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross entropy of the next tokens.

    Sentences go through the network in groups of like length, and only their tokens through the output layer: of a
    batch that is padded to its longest sentence, more than half would be padding.

    Args:
        network: what predicts.
        memory: of shape (photos, slots, hidden).
        tokens: of shape (sentences, length), padded; equally many for each photo, one after the other.
        smoothing: probability that is spread over all words (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567).
    """
    lengths = (tokens != PAD).sum(dim=1)
    loss, state = memory.new_zeros(()), begin(network, memory, len(tokens))
    for rows in lengths.argsort(stable=True).chunk(_LENGTH_GROUPS):
        group = tokens[rows, : int(lengths[rows].max())]
        written, _ = network.write(group[:, :-1], tuple(tensor[rows] for tensor in state))
        wanted = group[:, 1:]
        logits = network.output(written[wanted != PAD])
        loss += nn.functional.cross_entropy(
            logits.float(), wanted[wanted != PAD], label_smoothing=smoothing, reduction="sum"
        )
    return loss / (lengths - 1).sum()


def begin(network: RecurrentCaptioner, memory: Tensor, sentences: int) -> State:
    """Return the state before the first word, for equally many sentences on each photo of `memory`."""
    return tuple(tensor.repeat_interleave(sentences // len(memory), dim=0) for tensor in network.begin(memory))


def word_loss(logits: Tensor, said: Tensor) -> Tensor:
    """Return the binary cross entropy of content words, (batch, tags) both, summed over words, mean over photos."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), said, reduction="sum") / len(said)


def class_loss(classes: Tensor, before: Tensor) -> Tensor:
    """Return the divergence of probabilities of classes, (batch, classes) both, from those before; mean over photos."""
    return nn.functional.kl_div(classes.clamp_min(_LEAST).log(), before, reduction="batchmean")


def learning_rate(settings: Settings, step: int, steps_in_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0: a linear rise, then half a cosine down to a hundredth."""
    warm, total = settings.warmup * steps_in_epoch, settings.epochs * steps_in_epoch
    if step < warm:
        return settings.lr * (step + 1) / (warm + 1)
    done = (step - warm) / max(1.0, total - warm)
    return settings.lr * (_LOWEST_LR + (1 - _LOWEST_LR) * (1 + math.cos(math.pi * done)) / 2)


def make_optimizer(network: RecurrentCaptioner, settings: Settings) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101); only matrices decay.

    Each group's `scale` is its part of the learning rate.
    """
    encoder = {id(parameter) for parameter in network.encoder.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            scale = settings.encoder_lr if id(parameter) in encoder else 1.0
            decay = settings.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "scale": scale, "weight_decay": decay}
            for (scale, decay), parameters in groups.items()
        ],
        lr=settings.lr,
        betas=(0.9, 0.98),
        fused=True,
    )


@torch.no_grad()
def average(into: nn.Module, network: nn.Module, keep: float, step: int) -> None:
    """Move averaged weights, and the statistics of normalisation, towards the current ones.

    Args:
        into: the averaged network.
        network: the current one.
        keep: how much of the average stays; less in the first steps, whose weights are not worth keeping.
        step: counted from 0.
    """
    weight = 1 - min(keep, (step + 1) / (step + 10)) if keep else 1.0
    averaged, current = _floats(into), _floats(network)
    torch._foreach_lerp_(averaged, current, weight)


def _floats(network: nn.Module) -> list[Tensor]:
    tensors: Iterable[Tensor] = (*network.parameters(), *network.buffers())
    return [tensor for tensor in tensors if tensor.is_floating_point()]
