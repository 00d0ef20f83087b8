"""Self-critical training: sentences that the network draws itself are weighed by what they earn.

Rennie et al. 2016 (https://arxiv.org/abs/1612.00563). Several sentences are drawn for each photo, and what one earns is
compared with the mean of the others (Luo 2020, https://arxiv.org/abs/2003.09971): better ones become likelier, worse
ones less so. Cross entropy asks for one given sentence word by word; this asks for any that the scorer likes.
"""

import math

import torch
from torch import Tensor

from models.captioning.network import RecurrentCaptioner, State
from models.captioning.vocabulary import END, PAD, SPECIAL, START

_NEVER_DRAWN = [index for index in range(len(SPECIAL)) if index != END]


@torch.no_grad()
def draw(network: RecurrentCaptioner, state: State, most: int) -> Tensor:
    """Draw sentences by chance, each word as likely as the network says.

    Args:
        network: what writes.
        state: what the sentences begin with.
        most: how many tokens a sentence has at most, besides the start.

    Returns:
        Tokens of shape (sentences, length) with start and end, padded.
    """
    last = torch.full((len(state[0]),), START, device=state[0].device)
    ended = torch.zeros_like(last, dtype=torch.bool)
    tokens = [last]
    while len(tokens) <= most and not ended.all():
        written, state = network.write(last[:, None], state)
        drawn = torch.multinomial(log_probabilities(network, written[:, 0]).exp(), 1)[:, 0]
        last = drawn.masked_fill(ended, PAD)
        ended = ended | (last == END)
        tokens.append(last)
    return torch.stack(tokens, dim=1)


def log_probabilities(network: RecurrentCaptioner, written: Tensor) -> Tensor:
    """Return the logarithms of the next words' probabilities (…, vocabulary); tokens that are no words have none."""
    logits = network.output(written).float()
    logits[..., _NEVER_DRAWN] = -math.inf
    return torch.log_softmax(logits, dim=-1)


def self_critical_loss(network: RecurrentCaptioner, state: State, tokens: Tensor, earned: Tensor) -> Tensor:
    """Return a loss whose gradient is that of the expected reward, turned round; its value, minus the mean reward.

    Args:
        network: what drew the sentences.
        state: what the sentences began with.
        tokens: what was drawn, of shape (photos * sentences, length).
        earned: the reward of each sentence, of shape (photos, sentences); two sentences a photo at least.
    """
    others = (earned.sum(dim=1, keepdim=True) - earned) / (earned.shape[1] - 1)
    advantage = (earned - others).flatten()
    written, _ = network.write(tokens[:, :-1], state)
    wanted = tokens[:, 1:]
    there = wanted != PAD
    likely = log_probabilities(network, written[there]).gather(1, wanted[there][:, None])[:, 0]
    loss = -(likely * advantage[:, None].expand_as(wanted)[there]).sum() / there.sum()
    return loss - loss.detach() - earned.mean()
