"""A second look at lines that the reader of print is not sure of, by one that knows small and bad print.

Both are the same network; the second has weights of this project's own (`models/shipped/print/README.md`). Clean print,
of which the first is sure, stays as it is and is read once. So does what the second has hardly learned: lines with
other characters than ASCII's, and with underscores, which look like the rules of forms.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from models.reading.crops import Pixels
from models.reading.ctc import Reading

SURE = 0.995  # confidence from which the first reading counts
HIGHEST = 64  # pixels of the crops that the second has learned; what is higher is not small, and may be handwriting


class Reader(Protocol):
    """What reads a crop (height, width, 3) of one line."""

    def read(self, crop: Pixels) -> Reading: ...


class TwoLooks:
    """Reads lines with one reader, and those that it is not sure of with another."""

    def __init__(self, first: Reader, load_second: Callable[[], Reader]) -> None:
        """Args:
        first: reads every line.
        load_second: called once, for the first doubtful line: the second reader takes 100 MB, and finding lines needs
            none.
        """
        self._first, self._load_second = first, load_second

    @cached_property
    def _second(self) -> Reader:
        return self._load_second()

    def read(self, crop: Pixels) -> Reading:
        """Read one upright line or word."""
        first = self._first.read(crop)
        if len(crop) > HIGHEST or not is_doubtful(first):
            return first
        second = self._second.read(crop)
        # The second has seen more capitals than there are.
        return first if second.text.lower() == first.text.lower() else second


def is_doubtful(reading: Reading) -> bool:
    """Tell whether the second reader may read a line better. Where the first sees no text at all, there is none."""
    text = reading.text
    return bool(text) and reading.confidence < SURE and text.isascii() and "_" not in text
