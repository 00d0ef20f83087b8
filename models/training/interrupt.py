"""Ctrl-C and SIGTERM, held back until what is half done is done."""

import signal
from typing import Any


class Interrupt:
    """While it is entered, the first Ctrl-C or SIGTERM only sets `asked`; a second one does what it did before."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        self.__exit__()


def ignore(*_: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes of a command, to the first of them. SIGTERM ends this
    one, which may have been forked off where it would only be noted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
