"""The reward of a sampled sentence, compared with the references of the photo: CIDEr, and BLEU-4 with a weight."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LONGEST_NGRAM = 4
_LENGTH_DEVIATION = 6.0
# A word of its own in what is scored: without it, sentences that stop in the middle ("a dog in a") score well.
_END = "<end>"
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

    The document frequencies of n-grams are counted once, over the references of all photos. pycocoevalcap's scorer
    gives the same values, but counts them again in each call.
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
    """Return the mean over n of the cosine of two sentences' n-grams. Repeated words do not raise it."""
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


class Bleu:
    """BLEU-4 (Papineni et al. 2002, https://aclanthology.org/P02-1040) of one sentence at a time.

    Counts of more than one word are smoothed by one (Lin and Och 2004, https://aclanthology.org/C04-1072): hardly any
    sentence has four words in a row as they are in a reference.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        # The clipped count of an n-gram is at most its largest count in one reference.
        self._most: list[Ngrams] = [_union(map(_ngrams, texts)) for texts in references]
        self._lengths = [[len(text) for text in texts] for texts in references]

    def score(self, photo: int, sentence: Words) -> float:
        """Return the BLEU-4 of a sentence, between 0 and 1, against the references of a photo."""
        said, found = Counter[int](), Counter[int]()
        for ngram, count in _ngrams(sentence).items():
            said[len(ngram)] += count
            found[len(ngram)] += min(count, self._most[photo][ngram])
        if not found[1]:
            return 0.0
        precisions = [found[1] / said[1], *((found[n] + 1) / (said[n] + 1) for n in range(2, _LONGEST_NGRAM + 1))]
        closest = min(self._lengths[photo], key=lambda length: (abs(length - len(sentence)), length))
        brevity = min(0.0, 1 - (closest + 1) / said[1])
        return math.exp(brevity + sum(map(math.log, precisions)) / _LONGEST_NGRAM)


def _union(counts: Iterable[Ngrams]) -> Ngrams:
    most = Ngrams()
    for count in counts:
        most |= count
    return most


class Reward:
    """The reward of sentences: their CIDEr plus `bleu` times their BLEU-4."""

    def __init__(self, references: Sequence[Sequence[Words]], bleu: float) -> None:
        self._cider, self._bleu, self._weight = Cider(references), Bleu(references), bleu

    def __call__(self, photos: Sequence[int], sentences: Sequence[Words]) -> Tensor:
        """Return the rewards (photos, sentences) of sentences, equally many for each photo and in its order."""
        each = len(sentences) // len(photos)
        earned = [self._score(photos[place // each], sentence) for place, sentence in enumerate(sentences)]
        return torch.tensor(earned).view(len(photos), each)

    def _score(self, photo: int, sentence: Words) -> float:
        bleu = self._weight * self._bleu.score(photo, sentence) if self._weight else 0.0
        return self._cider.score(photo, sentence) + bleu
