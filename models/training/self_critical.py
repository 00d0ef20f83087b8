"""Self-critical training: the network samples sentences, and learns from their rewards.

Rennie et al. 2016 (https://arxiv.org/abs/1612.00563). Several sentences are sampled for each photo, and the baseline of
each is the mean reward of the others (Luo 2020, https://arxiv.org/abs/2003.09971): sentences above it become likelier,
those below it less likely. Cross entropy trains on given sentences word by word; this trains for the score itself.
"""

import math

import torch
from torch import Tensor

from models.captioning.network import RecurrentCaptioner, State
from models.captioning.vocabulary import END, PAD, SPECIAL, START

_NEVER_DRAWN = [index for index in range(len(SPECIAL)) if index != END]


@torch.no_grad()
def draw(network: RecurrentCaptioner, state: State, most: int) -> Tensor:
    """Sample sentences from the distribution of the network.

    Args:
        network: the captioner.
        state: the state before the first word.
        most: the most tokens of a sentence, besides the start.

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
    """Return the log-probabilities of the next word (…, vocabulary), minus infinity for tokens never sampled."""
    logits = network.output(written).float()
    logits[..., _NEVER_DRAWN] = -math.inf
    return torch.log_softmax(logits, dim=-1)


def self_critical_loss(network: RecurrentCaptioner, state: State, tokens: Tensor, earned: Tensor) -> Tensor:
    """Return a loss whose gradient is the negative gradient of the expected reward, and whose value is minus the mean
    reward.

    Args:
        network: the captioner that sampled the sentences.
        state: the state before the first word.
        tokens: the sampled sentences, of shape (photos * sentences, length).
        earned: the reward of each sentence, of shape (photos, sentences), with at least two sentences for a photo.
    """
    others = (earned.sum(dim=1, keepdim=True) - earned) / (earned.shape[1] - 1)
    advantage = (earned - others).flatten()
    written, _ = network.write(tokens[:, :-1], state)
    wanted = tokens[:, 1:]
    there = wanted != PAD
    likely = log_probabilities(network, written[there]).gather(1, wanted[there][:, None])[:, 0]
    loss = -(likely * advantage[:, None].expand_as(wanted)[there]).sum() / there.sum()
    return loss - loss.detach() - earned.mean()
