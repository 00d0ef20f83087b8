"""`i2t serve`."""

import signal
import sys

from app.cli.exits import Exit
from app.config import Settings, SettingsError


def serve(overrides: dict[str, str]) -> int:
    """Serve until the process is told to end; return the exit status where the service cannot start."""
    # As the first process of a container, Python gets no SIGTERM unless it says what to do; until serving does, end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.DONE))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(Exit.INTERRUPTED))
    try:
        settings = Settings.read(**overrides)
        from app.serving import serve as start

        start(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
