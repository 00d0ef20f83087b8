"""Sentences about photos that are not there: a decoder learns language from them, and to write about what it is told.

The memory of a captioner holds, besides the places of an image, the words that are likely to be said of it and what the
encoder's classifier takes it for. For a sentence without a photo both are drawn at random around what the sentence
names. The noise, without which the decoder would trust them more than it may, follows CapDec (Nukrai et al. 2022,
https://arxiv.org/abs/2211.00575).
"""

import gzip
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.captioning.vocabulary import END, PAD, START, Vocabulary
from models.training.datasets import words
from models.training.formats import DatasetError

Words = tuple[str, ...]

_FEWEST, _MOST = 4, 24
# The logit of a word that the sentence has, and by how much that of another is below its frequency: mean and deviation.
_SAID, _UNSAID = (0.5, 1.3), (-0.7, 0.8)
# Probability of the classes that the sentence names, all together.
_NAMED = (0.15, 0.95)
# Of other classes, so many share the rest, and how unevenly (the parameter of a Dirichlet distribution).
_OTHERS, _UNEVEN = 12, 0.3


def read_sentences(file: Path) -> list[Words]:
    """Return the sentences of a text file, one a line, which may be packed by gzip, cut into words. Those of fewer than
    4 or more than 24 words are left out.

    Raises:
        DatasetError: the file cannot be read, or has no such sentence.
    """
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
            found = [tuple(words(line)) for line in lines]
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read: {error}") from error
    sentences = [sentence for sentence in found if _FEWEST <= len(sentence) <= _MOST]
    if not sentences:
        raise DatasetError(f"{file} has no sentence of {_FEWEST} to {_MOST} words")
    return sentences


class Sentences:
    """Batches of sentences, each with words and classes that a photo of it might have."""

    def __init__(
        self, sentences: Sequence[Words], vocabulary: Vocabulary, tags: Sequence[str], classes: Sequence[str]
    ) -> None:
        """Args:
        sentences: cut into words.
        vocabulary: the captioner's.
        tags: the words of its auxiliary head.
        classes: the tag of each class of its encoder, "" for none.
        """
        self._sentences = sentences
        self._vocabulary = vocabulary
        self._tags = {tag: place for place, tag in enumerate(tags)}
        self._classes: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(classes):
            if name:
                self._classes[name].append(place)
        self._number = len(classes)
        said = Counter(word for sentence in sentences for word in {*sentence})
        shares = np.array([max(said[tag], 0.5) / len(sentences) for tag in tags])
        self._odds: NDArray[np.float64] = np.log(shares / (1 - shares))

    def batch(self, number: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return sentences drawn at random: tokens (number, length), padded, and the probabilities of words (number,
        tags) and of classes (number, classes)."""
        drawn = [self._sentences[place] for place in random.integers(len(self._sentences), size=number)]
        tokens = [torch.tensor([START, *self._vocabulary.ids(sentence), END]) for sentence in drawn]
        padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PAD)
        heads = [(self._words(sentence, random), self._seen(sentence, random)) for sentence in drawn]
        words, classes = (torch.tensor(np.array(part), dtype=torch.float32) for part in zip(*heads, strict=True))
        return padded, words.sigmoid(), classes

    def _words(self, sentence: Words, random: np.random.Generator) -> NDArray[np.float64]:
        """Return the logits of the auxiliary head."""
        logits = self._odds + random.normal(*_UNSAID, len(self._odds))
        # The order of a set differs between processes.
        for word in sorted({*sentence} & self._tags.keys()):
            logits[self._tags[word]] = random.normal(*_SAID)
        return logits

    def _seen(self, sentence: Words, random: np.random.Generator) -> NDArray[np.float64]:
        """Return the probabilities of the classes."""
        seen = np.zeros(self._number)
        if not self._number:
            return seen
        named = sorted(_named(sentence, self._classes))
        share = random.uniform(*_NAMED) if named else 0.0
        np.add.at(
            seen, random.integers(self._number, size=_OTHERS), (1 - share) * random.dirichlet([_UNEVEN] * _OTHERS)
        )
        for name, part in zip(named, random.dirichlet(np.ones(len(named))) if named else (), strict=True):
            seen[random.choice(self._classes[name])] += share * part
        return seen


def _named(sentence: Words, names: Mapping[str, object]) -> set[str]:
    """Return the names in a sentence, each of one word or two, in the singular or the plural."""
    pairs = (" ".join(pair) for pair in pairwise(sentence))
    found = set()
    for text in (*sentence, *pairs):
        found |= {text, text.removesuffix("s"), text.removesuffix("es")} & names.keys()
    return found
