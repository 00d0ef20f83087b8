"""Text to tokens and back, without torch: transformers' tokenizers import it, those that they wrap do not."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

# What transformers does after decoding where a checkpoint asks for `clean_up_tokenization_spaces`.
_CLEANED = [(f" {mark}", mark) for mark in (".", "?", "!", ",")] + [(" ' ", "'")]
_CLEANED += [(f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")]


def cut(tokens: list[int], most: int) -> list[int]:
    """Return the first of a text's tokens where they are more than `most`, and the one that ends it."""
    return tokens if len(tokens) <= most else [*tokens[: most - 1], tokens[-1]]


class Tokens:
    """A checkpoint's tokenizer."""

    def __init__(self, serialised: str, clean_up: bool) -> None:
        """Make one of what `tokenizer.json` holds."""
        from tokenizers import Tokenizer

        self.serialised, self.clean_up = serialised, clean_up
        self._tokenizer = Tokenizer.from_str(serialised)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def of(cls, tokenizer: Any) -> "Tokens":
        """Make one of a tokenizer of transformers."""
        backend = tokenizer.backend_tokenizer
        # It spoils byte-level tokenizers, and transformers leaves it out for them.
        clean_up = bool(tokenizer.clean_up_tokenization_spaces) and type(backend.model).__name__ != "BPE"
        return cls(backend.to_str(), clean_up)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the tokens of a text, with those that frame it if `special`."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return reduce(lambda cleaned, pair: cleaned.replace(*pair), _CLEANED, text) if self.clean_up else text
