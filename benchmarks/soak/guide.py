"""Follow docs/deploy.md for a laptop from a clone to an answer, with all that `make` installs."""

import tempfile
import time
from pathlib import Path

from benchmarks.report import table
from benchmarks.soak import Options, Result
from tests.deploy.guide import SIGN, follow_laptop
from tests.deploy.machine import Machine

_LONGEST = 3600.0
"""Seconds that downloads and installing may take."""


def soak(options: Options) -> Result:
    """Install and start the service, and ask it; that takes as long as it takes."""
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory) / "machine", installed=False)
        begun = time.monotonic()
        try:
            answer = follow_laptop(machine, _LONGEST)
        finally:
            machine.stop()
    measured = table(["what", "seen"], [("from `git clone` to an answer", f"{time.monotonic() - begun:.0f} s")])
    return Result(measured, [] if answer == SIGN else [f"the answer is {answer!r}"])
