"""This service with one model more, which does nothing: `python -m benchmarks.speed.idle`."""

from pathlib import Path

from app.config import Settings
from app.serving import serve
from models import families


def main() -> None:
    """Serve with the settings of the environment."""
    families.__path__.append(str(Path(__file__).parent / "families"))
    serve(Settings.read())


if __name__ == "__main__":
    main()
