"""The command line: `i2t serve`."""

import argparse
import signal
import sys

from app import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="i2t", description="Turn images into text, on this machine.")
    parser.add_argument("--version", action="version", version=f"i2t {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "serve", help="start the service", description="Start the service. Other settings: see .env.example."
    )
    command.add_argument("--host", help="address to listen on (HOST)")
    command.add_argument("--port", help="port to listen on (PORT)")
    asked = parser.parse_args(arguments)
    return _serve({name: value for name in ("host", "port") if (value := getattr(asked, name)) is not None})


def _serve(overrides: dict[str, str]) -> int:
    # As the first process of a container, Python gets no SIGTERM unless it says what to do; until serving does, end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    from app.config import Settings, SettingsError

    try:
        settings = Settings.read(**overrides)
        from app.serving import serve

        serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
