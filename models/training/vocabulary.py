"""Which words a captioner learns, chosen by how often people wrote them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from models.captioning.vocabulary import Vocabulary

# Words that do not describe the content of a picture. Numbers are among them, because captions count only what is near.
_TEXT = (
    "a about above across after against all along alongside also among amongst amid an and another any apart are around"
    " as aside at atop away back be beautiful because been before behind being below beneath beside besides between"
    " both but by can close different doing do does down during each eight either else etc even every few five for four"
    " from front full get gets getting give gives giving go goes going has have having he her here hers herself high"
    " him himself his how i if in inside into is it it's its itself just large left like little long lot lots lone made"
    " make makes making many may me middle more most much multiple my near nearby next nice nine no not nothing of off"
    " on one ones onto open opposite or other others out outside over own past pair part people's rather right seven"
    " several she side single six small so some somebody someone something somewhere sort still such ten than that"
    " the their them themselves then there these they thing things this those three through to together top toward"
    " towards trying try tries two type under underneath up upon use uses used using various very via was way we well"
    " were what when where which while who whom whose will with within without you your big appears appear seems seem"
    " look looks looking set sets put puts putting number same end low show shows showing take takes taking piece"
    " whilst setting view end"
)
FUNCTION_WORDS = frozenset(_TEXT.split())


def build(captions: Iterable[Sequence[str]], min_count: int, sentences: Iterable[Sequence[str]] = ()) -> Vocabulary:
    """Return the vocabulary of captions that are cut into words: those found `min_count` times, the commonest first.

    Words of `sentences`, which are about other photos, are in it where they are found three times as often.
    """
    counts = Counter(word for caption in captions for word in caption)
    elsewhere = Counter(word for sentence in sentences for word in sentence)
    return Vocabulary(
        word
        for word, _ in _by_count(counts + elsewhere)
        if counts[word] >= min_count or elsewhere[word] >= 3 * min_count
    )


def content_words(images: Mapping[str, Sequence[Sequence[str]]], number: int) -> dict[str, float]:
    """Return the most common content words, each with the fraction of the images whose captions contain it.

    Args:
        images: the captions of each image, cut into words.
        number: how many to return, at most.
    """
    counts = Counter(word for captions in images.values() for word in set().union(*captions) - FUNCTION_WORDS)
    return {word: count / len(images) for word, count in _by_count(counts)[:number]}


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    # Equally common words are in alphabetical order, because the order of a set differs between processes.
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
