"""Delays Ctrl-C and SIGTERM until the current step is done."""

import signal
from typing import Any


class Interrupt:
    """A context in which the first Ctrl-C or SIGTERM only sets `asked`. A second one has its previous effect."""

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
    """Make a reading process ignore Ctrl-C, which a terminal also sends to the main process. Restore the default effect
    of SIGTERM, because the process may be forked with the handler of `Interrupt`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
