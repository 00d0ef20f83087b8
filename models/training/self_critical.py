"""Self-critical training: sentences that the network draws itself are weighed by the CIDEr that they earn.

Rennie et al. 2016 (https://arxiv.org/abs/1612.00563). Several sentences are drawn for each photo, and what one earns is
compared with the mean of the others (Luo 2020, https://arxiv.org/abs/2003.09971): better ones become likelier, worse
ones less so. Cross entropy asks for one given sentence word by word; this asks for any that the scorer likes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.captioning.network import RecurrentCaptioner, State
from models.captioning.vocabulary import END, PAD, SPECIAL, START

_LONGEST_NGRAM = 4
_LENGTH_DEVIATION = 6.0
# A word of its own in what is scored: without it, sentences that stop in the middle ("a dog in a") score well.
_END = "<end>"
_NEVER_DRAWN = [index for index in range(len(SPECIAL)) if index != END]

Words = Sequence[str]
Ngrams = Counter[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Vector:
    """A sentence by its n-grams, for each n: their weights, the length of that vector; and how many words it has."""

    weights: tuple[dict[tuple[str, ...], float], ...]
    norms: tuple[float, ...]
    length: int


class Cider:
    """CIDEr-D (Vedantam et al. 2014, https://arxiv.org/abs/1411.5726) of one sentence at a time.

    How rare an n-gram is is counted once, over the references of all photos; pycocoevalcap's scorer, which gives the
    same values, counts it anew over whatever it is asked to score.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        found = Counter(ngram for texts in references for ngram in set().union(*map(_ngrams, texts)))
        self._rarity = {ngram: math.log(len(references) / count) for ngram, count in found.items()}
        self._rarest = math.log(len(references))
        self._references = [[self._vector(text) for text in texts] for texts in references]

    def score(self, photo: int, sentence: Words) -> float:
        """Return the CIDEr of a sentence, between 0 and 10, against the references of a photo."""
        said = self._vector(sentence)
        references = self._references[photo]
        return 10.0 * sum(_similarity(said, reference) for reference in references) / len(references)

    def _vector(self, sentence: Words) -> _Vector:
        weights: tuple[dict[tuple[str, ...], float], ...] = tuple({} for _ in range(_LONGEST_NGRAM))
        for ngram, count in _ngrams(sentence).items():
            weights[len(ngram) - 1][ngram] = count * self._rarity.get(ngram, self._rarest)
        norms = tuple(math.sqrt(sum(weight**2 for weight in of_length.values())) for of_length in weights)
        return _Vector(weights, norms, len(sentence))


def _ngrams(sentence: Words) -> Ngrams:
    words = (*sentence, _END)
    return Counter(
        words[start : start + n] for n in range(1, _LONGEST_NGRAM + 1) for start in range(len(words) - n + 1)
    )


def _similarity(said: _Vector, reference: _Vector) -> float:
    """Return the mean over n of the cosine of two sentences' n-grams; repeated words do not pay."""
    total = 0.0
    for mine, theirs, norm, their_norm in zip(
        said.weights, reference.weights, said.norms, reference.norms, strict=True
    ):
        if norm and their_norm:
            both = mine.keys() & theirs.keys()
            shared = sum(min(mine[ngram], theirs[ngram]) * theirs[ngram] for ngram in both)
            total += shared / (norm * their_norm)
    difference = said.length - reference.length
    return total / _LONGEST_NGRAM * math.exp(-(difference**2) / (2 * _LENGTH_DEVIATION**2))


@torch.no_grad()
def draw(network: RecurrentCaptioner, memory: Tensor, most: int) -> Tensor:
    """Draw sentences by chance, each word as likely as the network says.

    Args:
        network: what writes.
        memory: of shape (sentences, slots, hidden).
        most: how many tokens a sentence has at most, besides the start.

    Returns:
        Tokens of shape (sentences, length) with start and end, padded.
    """
    last = torch.full((len(memory),), START, device=memory.device)
    ended = torch.zeros_like(last, dtype=torch.bool)
    tokens, state = [last], None
    while len(tokens) <= most and not ended.all():
        written, state = _written(network, last, memory, state)
        drawn = torch.multinomial(log_probabilities(network, written).exp(), 1)[:, 0]
        last = drawn.masked_fill(ended, PAD)
        ended = ended | (last == END)
        tokens.append(last)
    return torch.stack(tokens, dim=1)


def _written(network: RecurrentCaptioner, last: Tensor, memory: Tensor, state: State | None) -> tuple[Tensor, State]:
    written, state = network.write(last[:, None], memory, state)
    return written[:, 0], state


def log_probabilities(network: RecurrentCaptioner, written: Tensor) -> Tensor:
    """Return the logarithms of the next words' probabilities (…, vocabulary); tokens that are no words have none."""
    logits = network.output(written).float()
    logits[..., _NEVER_DRAWN] = -math.inf
    return torch.log_softmax(logits, dim=-1)


def self_critical_loss(network: RecurrentCaptioner, memory: Tensor, tokens: Tensor, earned: Tensor) -> Tensor:
    """Return a loss whose gradient is that of the expected reward, turned round; its value, minus the mean reward.

    Args:
        network: what drew the sentences.
        memory: of shape (photos * sentences, slots, hidden).
        tokens: what was drawn, of shape (photos * sentences, length).
        earned: the reward of each sentence, of shape (photos, sentences); two sentences a photo at least.
    """
    others = (earned.sum(dim=1, keepdim=True) - earned) / (earned.shape[1] - 1)
    advantage = (earned - others).flatten()
    written, _ = network.write(tokens[:, :-1], memory)
    wanted = tokens[:, 1:]
    there = wanted != PAD
    likely = log_probabilities(network, written[there]).gather(1, wanted[there][:, None])[:, 0]
    loss = -(likely * advantage[:, None].expand_as(wanted)[there]).sum() / there.sum()
    return loss - loss.detach() - earned.mean()


def rewards(cider: Cider, photos: Iterable[int], sentences: Sequence[Words]) -> Tensor:
    """Return what the sentences, equally many for each photo one after the other, earn: (photos, sentences)."""
    photos = list(photos)
    each = len(sentences) // len(photos)
    earned = [cider.score(photos[place // each], sentence) for place, sentence in enumerate(sentences)]
    return torch.tensor(earned).view(len(photos), each)
