"""A small dataset of pictures and of lines, and the evaluation as a command."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.training import evaluate
from tests.drawn import page
from tests.models.training import drawings

CAPTIONS = ("A dog, brown and wet, runs .", "Two dogs run", "The dog is wet <b>&amp; brown</b>", "Run , dog 's run !")
LINES = ("The quick brown fox", "jumps over the lazy dog", "on 14 March 2024")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by sharing work than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, pictures: list[Image.Image]) -> Path:
    """Eight pictures with captions, six of them in a split; and three lines with their text."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "images").mkdir()
    rows = ["image,caption"]
    for number, picture in enumerate(pictures):
        picture.save(folder / "images" / f"{number}.png")
        rows += [f"{number}.png,{caption} number {number}" for caption in CAPTIONS]
    (folder / "captions.txt").write_text("\n".join(rows) + "\n")
    (folder / "dev.txt").write_text("".join(f"{number}.png\n" for number in (5, 1, 0, 7, 2, 4)))
    (folder / "lines").mkdir()
    for number, line in enumerate(LINES):
        page([line], size=(560, 64), at=(20, 12), height=36).save(folder / "lines" / f"{number}.png")
    (folder / "lines.tsv").write_text("".join(f"{number}.png\t{line}\n" for number, line in enumerate(LINES)))
    return folder


@pytest.fixture
def run(dataset: Path, model_paths: str) -> Callable[..., int]:
    """Run the command with the tiny models, on the captions unless lines are asked for."""

    def main(*arguments: str | Path, **changed: str | Path | None) -> int:
        usual: dict[str, str | Path | None] = {"model_paths": model_paths}
        if "--lines" not in arguments:
            usual |= {"images": dataset / "images", "captions": dataset / "captions.txt", "split": dataset / "dev.txt"}
        options = {
            f"--{name.replace('_', '-')}": value for name, value in (usual | changed).items() if value is not None
        }
        return evaluate.main([*map(str, arguments), *(str(part) for pair in options.items() for part in pair)])

    return main


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments for a training on 64 drawings, with a small CNN from a directory."""
    directory = tmp_path_factory.mktemp("drawn")
    return [*drawings.dataset(directory), "--encoder", str(drawings.tiny_cnn(directory / "cnn")), *drawings.SMALL]
