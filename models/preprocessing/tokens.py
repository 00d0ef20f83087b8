"""From text to tokens and back, with the `tokenizers` package: unlike transformers, it does not import torch."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

# The replacements of transformers for `clean_up_tokenization_spaces`.
_CLEANED = [(f" {mark}", mark) for mark in (".", "?", "!", ",")] + [(" ' ", "'")]
_CLEANED += [(f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")]


def cut(tokens: list[int], most: int) -> list[int]:
    """Return at most `most` tokens of a text: the first ones and its end token."""
    return tokens if len(tokens) <= most else [*tokens[: most - 1], tokens[-1]]


class Tokens:
    """A checkpoint's tokenizer."""

    def __init__(self, serialised: str, clean_up: bool) -> None:
        """Make a tokenizer from the text of `tokenizer.json`. `clean_up` removes spaces before punctuation."""
        from tokenizers import Tokenizer

        self.serialised, self.clean_up = serialised, clean_up
        self._tokenizer = Tokenizer.from_str(serialised)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def of(cls, tokenizer: Any) -> "Tokens":
        """Make a tokenizer from one of transformers."""
        backend = tokenizer.backend_tokenizer
        # Like transformers, do not clean up after byte-level tokenizers, whose text it would damage.
        clean_up = bool(tokenizer.clean_up_tokenization_spaces) and type(backend.model).__name__ != "BPE"
        return cls(backend.to_str(), clean_up)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the tokens of a text; with `special`, including the special tokens around it."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return tokens

    def decode(self, tokens: Sequence[int], special: bool = False) -> str:
        """Return the text of tokens; with `special`, including the special tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=not special)
        return reduce(lambda cleaned, pair: cleaned.replace(*pair), _CLEANED, text) if self.clean_up else text
