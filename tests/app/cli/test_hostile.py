"""A tree that nobody would wish for: every file in it has a result or a reason, and the journal is whole."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests import hostile
from tests.app.cli.conftest import Command
from tests.conftest import encoded

NAMES = [
    "line\nbreak.jpg",
    "\"quotes' $HOME `x`.jpg",
    "\N{SNOWMAN}\N{DOG FACE}.jpg",
    b"latin-\xe9.jpg",
    "-r.jpg",
    "{dir}.jpg",
]


@pytest.fixture
def tree(tmp_path: Path, pictures: list[Image.Image]) -> Iterator[Path]:
    """Pictures under hostile names, files that are no pictures or harm decoders, links, and a file that grows."""
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    picture = encoded(pictures[0], "JPEG")
    for number, name in enumerate(NAMES):
        (root / "deep" / os.fsdecode(name)).write_bytes(encoded(pictures[number % 8], "JPEG"))
    (root / "empty.jpg").touch()
    (root / "text.png").write_text("no picture")
    (root / "cut.jpg").write_bytes(picture[: len(picture) // 3])
    (root / "tile.tif").write_bytes(hostile.tiff_of_a_huge_tile())
    (root / "exif.jpg").write_bytes(hostile.exif_in_pieces(50))
    (root / "deep" / "er" / "loop").symlink_to(root)
    (root / "dangling.jpg").symlink_to(root / "nowhere.jpg")
    (root / "directory.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    ended = threading.Event()

    def grow() -> None:
        with (root / "growing.jpg").open("ab", buffering=0) as file:
            while not ended.wait(0.001):
                file.write(picture[:100])

    growing = threading.Thread(target=grow)
    growing.start()
    yield root
    ended.set()
    growing.join()


@pytest.mark.parametrize("links", [[], ["--follow-symlinks"]], ids=["as it is", "links followed"])
def test_every_file_has_a_result_or_a_reason(asking: Command, tree: Path, links: list[str]) -> None:
    ended = asking("caption", "-r", tree, *links, "-o", "out.jsonl", "--failed", "failed", "-0")
    assert ended.status == 1
    done = {os.fsencode(json.loads(line)["path"]) for line in Path("out.jsonl").read_bytes().splitlines()}
    failed = Path("failed").read_bytes().split(b"\0")[:-1]
    # Neither a pipe, nor a directory, nor a link to nothing is a file of the tree.
    files = {
        os.path.join(directory, name)
        for directory, _, names in os.walk(os.fsencode(tree))
        for name in names
        if name not in (b"pipe.jpg", b"dangling.jpg")
    }
    assert done | set(failed) == files
    assert not done & set(failed)
    assert {os.fsencode(tree / "deep" / os.fsdecode(name)) for name in NAMES} <= done
    bad = {os.path.basename(path) for path in failed}
    assert {b"empty.jpg", b"text.png", b"cut.jpg", b"tile.tif"} <= bad
    # A line for each failure, whatever its name.
    assert len([line for line in ended.err.splitlines() if line.startswith(str(tree))]) == len(failed)
    journal = sqlite3.connect("out.jsonl.journal")
    assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert journal.execute("SELECT count(*) FROM claims").fetchone() == (0,)
    journal.close()
