"""Vocabularies cut to the words that the tests need, at the ids that the published tokenizers give them."""

import string
from collections.abc import Mapping

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

SYLLABLES = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrs"]

KOSMOS2 = {
    "<s>": 0,
    "<pad>": 1,
    "</s>": 2,
    "<unk>": 3,
    ".": 4,
    "▁the": 5,
    ",": 6,
    "▁to": 7,
    "▁and": 8,
    "▁of": 9,
    "▁a": 10,
    "▁in": 12,
    "▁is": 17,
    "▁it": 22,
    "▁with": 23,
    "▁The": 24,
    "▁be": 27,
    "▁have": 30,
    "▁by": 32,
    "▁this": 38,
    ":": 55,
    "▁He": 71,
    "e": 247,
    "▁himself": 597,
    "▁fire": 646,
    "▁An": 712,
    "▁sitting": 1280,
    "▁features": 1338,
    "▁placed": 1560,
    "▁image": 1648,
    "▁wearing": 1679,
    "▁appears": 1684,
    "▁snow": 1842,
    "▁warm": 2007,
    "▁nearby": 2255,
    "▁detail": 3391,
    "▁cup": 3486,
    "▁enjoying": 3774,
    "▁hat": 3958,
    "▁atmosphere": 4337,
    "▁pot": 4363,
    "▁warming": 5950,
    "▁gloves": 9626,
    "▁warmth": 10356,
    "▁scarf": 15719,
    "▁cozy": 16239,
    "▁campfire": 30879,
    "▁Describ": 34645,
    "▁snowman": 43867,
    "<mask>": 64001,
}
"""Pieces of Kosmos-2, of which there are 64,002."""
KOSMOS2_TAGS = [
    *("</doc>", "<image>", "</image>", "</chunk>", "</line>", "<phrase>", "</phrase>", "<object>", "</object>"),
    *("</delimiter_of_multi_objects/>", "<grounding>", *(f"<patch_index_{i:04}>" for i in range(1024))),
]
"""What follows them, from 64002 on."""

BERT = {
    "[PAD]": 0,
    "[UNK]": 100,
    "[CLS]": 101,
    "[SEP]": 102,
    "[MASK]": 103,
    "a": 1037,
    "the": 1996,
    "of": 1997,
    "and": 1998,
    "on": 2006,
    "with": 2007,
    "her": 2014,
    "woman": 2450,
    "beach": 3509,
    "sitting": 3564,
    "picture": 3861,
    "dog": 3899,
}
"""Words of the 30,522 of BERT, which BLIP takes. BLIP's own start token is the id after the last."""

ROBERTA = {
    "<s>": 0,
    "<pad>": 1,
    "</s>": 2,
    "<unk>": 3,
    ".": 4,
    ",": 6,
    "Ġa": 10,
    'Ġ"': 22,
    "Ġhave": 33,
    "Ġus": 201,
    "ĠMr": 427,
    "ry": 1506,
    "ĠBrown": 1547,
    "ĠLet": 2780,
    "ily": 5846,
    "Ġcommented": 7181,
    "indust": 21267,
    "Ġic": 41591,
    "<mask>": 50264,
}
"""Pieces of RoBERTa, which TrOCR writes; "Ġ" stands for a space."""


def kosmos2_tokenizer() -> Tokenizer:
    """Return a tokenizer of as many pieces as the published one: those above, and made ones."""
    letters = [prefix + letter for letter in string.printable[:94] for prefix in ("▁", "")]
    made = [f"▁{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in ("", "s")]
    tokenizer = unigram(_filled(KOSMOS2, ["▁", *letters, *made], 64_002), unknown=3, ends=("<s>", "</s>"))
    # As published, the tags are in it, and none of them is a special token.
    tokenizer.add_tokens([AddedToken(tag, lstrip=True, normalized=False) for tag in KOSMOS2_TAGS])
    return tokenizer


def bert_vocabulary() -> str:
    """Return the text of a `vocab.txt` with the words above, and unused ones between them."""
    return "\n".join(_filled(BERT, [f"[unused{i}]" for i in range(30_522)], 30_522)) + "\n"


def unigram(pieces: list[str], unknown: int, ends: tuple[str, str]) -> Tokenizer:
    """Return a tokenizer that cuts texts into the longest pieces."""
    tokenizer = Tokenizer(models.Unigram([(piece, -20.0 + len(piece)) for piece in pieces], unk_id=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([piece for piece in pieces if piece.startswith("<") and len(piece) > 1])
    single = " ".join(filter(None, (ends[0], "$A", ends[1])))
    used = [(end, pieces.index(end)) for end in ends if end]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=used)
    return tokenizer


def _filled(known: Mapping[str, int], others: list[str], size: int) -> list[str]:
    """Return `size` words: the known ones at their ids, and others between them."""
    words = {number: word for word, number in known.items()}
    rest = (word for word in others if word not in known)
    return [words.get(number) or next(rest) for number in range(size)]
