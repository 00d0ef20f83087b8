"""Ctrl-C, held back until what is half done is done."""

import signal
from typing import Any


class Interrupt:
    """While it is entered, the first Ctrl-C only sets `asked`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interrupt":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore(*_: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes of a command, to the first of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
