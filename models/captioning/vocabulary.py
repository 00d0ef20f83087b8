"""The words that a recurrent captioner knows, one token each."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
PAD, START, END, UNKNOWN = range(len(SPECIAL))
FILE = "vocab.json"


class Vocabulary:
    """Words and their ids: the special tokens first, then words in order of how common they are."""

    def __init__(self, words: Iterable[str]) -> None:
        self.tokens = (*SPECIAL, *words)
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            raise ValueError("a word is in the vocabulary twice")

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, words: Sequence[str]) -> list[int]:
        """Return the id of each word; UNKNOWN for a word that is not in the vocabulary."""
        return [self._ids.get(word, UNKNOWN) for word in words]

    def text(self, ids: Iterable[int]) -> str:
        """Return the sentence of tokens: lower-case words separated by spaces.

        Captioners are trained on captions without case and punctuation, so there is none to restore. Special tokens are
        dropped, and so is all that follows the end token.
        """
        words = []
        for index in ids:
            if index == END:
                break
            if index >= len(SPECIAL):
                words.append(self.tokens[index])
        return " ".join(words)

    def save(self, directory: Path) -> None:
        """Write the words, as a JSON list in the order of their ids."""
        text = json.dumps(self.tokens, ensure_ascii=False, indent=0)
        (directory / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not such a list.
        """
        tokens = json.loads((directory / FILE).read_text(encoding="utf-8"))
        if not isinstance(tokens, list) or tuple(tokens[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(f"{directory / FILE} is not a list of tokens that starts with {', '.join(SPECIAL)}")
        return cls(tokens[len(SPECIAL) :])
