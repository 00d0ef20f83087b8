"""What tests of the command line share: pictures in a directory, and commands that run in this process."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.cli.main import main
from tests.server import NETWORKS, Server


@dataclass(frozen=True)
class Ended:
    """How a command has ended."""

    status: int
    out: bytes
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


@pytest.fixture
def i2t(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run a command in this process, in a directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETWORK_CACHE", str(NETWORKS))
    monkeypatch.setenv("PRECISION", "float32")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def run(*arguments: object) -> Ended:
        status = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ended(status, out, err.decode())

    return run


@pytest.fixture
def asking(i2t: Command, server: Server) -> Command:
    """Run a command that asks the shared server."""

    def run(name: str, *arguments: object, model: str | None = "efficientnet-gru") -> Ended:
        chosen = ["--model", model] if model and name in ("caption", "read", "tags") else []
        return i2t(name, "--server", server.url, "--jobs", 2, *chosen, *arguments)

    return run


@pytest.fixture
def photos(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A directory of five pictures, two of which lie in a directory below."""
    directory = tmp_path / "photos"
    (directory / "more").mkdir(parents=True)
    for name, picture in zip(("b.png", "a.jpg", "c.webp", "more/d.jpg", "more/e.png"), pictures, strict=False):
        picture.save(directory / name)
    return directory


def paths(ended: Ended) -> list[str]:
    """Return the paths of records as they were printed, without the directory of the test."""
    return [record["path"].rpartition("photos/")[2] for record in ended.records]


def copy_of(directory: Path, name: str) -> Path:
    """Return a copy of a directory beside it."""
    return Path(shutil.copytree(directory, directory.with_name(name)))
