"""How good a text is, against what people wrote: scores of captions, error rates of reading.

Captions: BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040), ROUGE-L (Lin 2004,
https://aclanthology.org/W04-1013) and CIDEr (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726), by the scorers of
the COCO caption evaluation, https://github.com/salaniz/pycocoevalcap. What its `Cider` computes is the paper's CIDEr-D.
Its tokenizer needs Java; `normalise` replaces it, so scores can be compared only with others that this module measured.

Reading: character and word error rate, by https://github.com/jitsi/jiwer.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

CAPTION_SCORES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
_WITHIN_WORDS = frozenset("'’-‐‑")
# Flickr's captions separate some endings from their words: `the dog 's ball`.
_ENDING = re.compile(r"\s+(?=['’](?:s|t|d|m|re|ve|ll)\b)")


@dataclass(frozen=True)
class CaptionScores:
    """The scores of a corpus by their names, and the CIDEr of every image, in the order of the images."""

    corpus: dict[str, float]
    cider: tuple[float, ...]


def normalise(caption: str) -> str:
    """Return a caption as it is scored: lower-cased, without punctuation and symbols, one space between words.

    Apostrophes and hyphens vanish (`T-shirt` is one word, `tshirt`, and `dog 's` is `dogs`, as `dog's` is); other
    punctuation separates (`dog,cat` is two words).
    """
    kept = []
    for character in _ENDING.sub("", unicodedata.normalize("NFKC", caption).lower()):
        if unicodedata.category(character)[0] not in "PS":
            kept.append(character)
        elif character not in _WITHIN_WORDS:
            kept.append(" ")
    return " ".join("".join(kept).split())


def caption_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return BLEU-1 to BLEU-4, ROUGE-L and CIDEr of a corpus: one hypothesis an image, and its references.

    All are between 0 and 1 but CIDEr, which is between 0 and 10: here 1.0 is what other tables call 100. CIDEr weighs
    words by how rare they are among the images, so of one image alone it is 0.

    Raises:
        ValueError: there is nothing to score, the two are not equally many, or an image has no reference with a word.
    """
    return score_captions(hypotheses, references).corpus


def score_captions(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Return what `caption_scores` does, and the CIDEr of every image.

    Raises:
        ValueError: as `caption_scores`.
    """
    _check(hypotheses, references)
    said = {image: [normalise(hypothesis)] for image, hypothesis in enumerate(hypotheses)}
    true = {image: [text for text in map(normalise, texts) if text] for image, texts in enumerate(references)}
    for image, texts in true.items():
        if not texts:
            raise ValueError(f"there is no word in any reference of image {image}, counted from 0")
    bleu, _ = Bleu(4).compute_score(true, said, verbose=0)
    rouge, _ = Rouge().compute_score(true, said)
    cider, each = Cider().compute_score(true, said)
    values = (float(value) for value in (*bleu, rouge, cider))
    return CaptionScores(dict(zip(CAPTION_SCORES, values, strict=True)), tuple(map(float, each)))


def reading_scores(read: Sequence[str], written: Sequence[str]) -> dict[str, float]:
    """Return the character (CER) and the word error rate (WER) of all texts together, 0 for no error.

    Case and punctuation count; where a line breaks, and how much space is between words, does not.

    Raises:
        ValueError: there is nothing to score, the two are not equally many, or nothing is written on any image.
    """
    _check(read, written)
    said, true = ([" ".join(text.split()) for text in texts] for texts in (read, written))
    if not any(true):
        raise ValueError("there is no text to compare with")
    return {"CER": float(jiwer.cer(true, said)), "WER": float(jiwer.wer(true, said))}


def _check(predicted: Sequence[object], true: Sequence[object]) -> None:
    if not predicted or len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predictions and {len(true)} references cannot be scored")
