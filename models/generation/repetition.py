"""The guard against texts that go round in circles, the commonest fault of vision-language models."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

_WINDOW = 512
"""How many of the last tokens are looked at."""
_LEAST_TOKENS = 60
"""Fewer tokens that repeat are no loop: dots of a table of contents, zeros of a table."""
_LEAST_TIMES = 4
_LEAST_LINES = 8
_LEAST_LETTERS = 12

WARNING = "the text repeated itself, and was ended there; another prompt, or a larger model, may do better"


def loop_start(tokens: Sequence[int]) -> int | None:
    """Return where a text begins to repeat its end, or None if it does not.

    A loop is a run of tokens that comes at least four times in a row, sixty tokens in all, at the end of the text. The
    tokens before the returned index hold the run once.
    """
    window = np.asarray(tokens[-_WINDOW:])
    for period in range(1, len(window) // _LEAST_TIMES + 1):
        differing = np.flatnonzero(window[period:] != window[:-period])
        repeated = len(window) - period - (int(differing[-1]) + 1 if len(differing) else 0)
        if repeated >= max((_LEAST_TIMES - 1) * period, _LEAST_TOKENS):
            return len(tokens) - repeated
    return None


def repeats_a_line(text: str) -> bool:
    """Return True if a line of some length comes again and again, with or without others between."""
    lines = Counter(line.strip() for line in text.splitlines()[:-1])
    return any(times >= _LEAST_LINES and sum(map(str.isalpha, line)) >= _LEAST_LETTERS for line, times in lines.items())
