"""This service with one model more, which does nothing: `python -m benchmarks.speed.idle`."""

from pathlib import Path

import models
from app.config import Settings
from app.serving import serve


def main() -> None:
    """Serve with the settings of the environment."""
    models.__path__.append(str(Path(__file__).parent / "families"))
    serve(Settings.read())


if __name__ == "__main__":
    main()
