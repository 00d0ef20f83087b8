"""`i2t run --ray`: a folder by a cluster of two nodes, and what is in a store of objects."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from app.cli import objects
from app.cli.inputs import Finder, Item, Unsteady
from app.cli.journal import Journal
from app.cli.main import main
from app.cli.objects import Objects
from app.cli.tasks import TASKS
from app.cli.work import Answerer, Work, key_of
from tests.conftest import encoded
from tests.shared import S3Server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from tests.cluster import make_cluster

    with make_cluster(nodes=2, cpus=1, serve=False) as cluster:
        yield cluster


@pytest.fixture
def photos(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number in range(40):
        name = f"{number:02}.png" if number % 2 else f"more/{number:02}.png"
        pictures[number % 8].rotate(number * 3).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def test_a_file_with_metadata_that_was_written_has_the_answer_of_its_original(tmp_path: Path) -> None:
    journal = Journal(None)
    journal.remember_rewritten("with metadata", "original")
    answerer = cast(Answerer, SimpleNamespace(identity="a model"))
    work = Work(answerer, journal, [], TASKS["caption"])
    item = Item(str(tmp_path / "a.jpg"))
    content, key = work.remember(item, "with metadata", (5, 6))
    assert (content, key) == ("original", key_of("original", answerer))
    assert journal.content_of(item.path, 5, 6) == "original"
    journal.close()


def lines(path: Path) -> list[bytes]:
    return sorted(path.read_bytes().splitlines())


def test_a_cluster_writes_the_same_lines_and_goes_on(
    cluster: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    command = ["run", "-m", "efficientnet-gru", "-r", "photos"]
    late = photos / "more" / "late.png"
    later = late.with_suffix(".later")
    (photos / "00.png").with_name("01.png").rename(later)
    assert main([*command, "--ray", "-o", "cluster.jsonl"]) == 1
    assert "photos/broken.png: " in capfd.readouterr().err
    first = lines(tmp_path / "cluster.jsonl")
    assert len(first) == 39
    later.rename(late)
    # What is done is not done again, and what failed for its content is not tried again.
    assert main([*command, "--ray", "-o", "cluster.jsonl"]) == 1
    again = capfd.readouterr().err
    assert "failed before" in again
    assert "1 done" in again
    assert main([*command, "-o", "alone.jsonl"]) == 1
    there, here = ([json.loads(line) for line in lines(tmp_path / name)] for name in ("cluster.jsonl", "alone.jsonl"))
    # Other batches round otherwise.
    scores = [[line.pop("confidence", 0.0) for line in side] for side in (there, here)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert there == here


def test_what_does_not_go_together_is_said(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for other in (["--server", "http://localhost:1"], ["--watch", str(tmp_path)]):
        assert main(["run", "-m", "rapidocr", "--ray", str(tmp_path), *other]) == 2
        assert "--ray goes with" in capfd.readouterr().err
    assert main(["run", "-m", "efficientnet-gru", "s3://bucket/a.png"]) == 1
    assert "--ray takes it" in capfd.readouterr().err


def test_objects_are_listed_and_read(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.environment["AWS_ENDPOINT_URL_S3"])
    objects._opened.cache_clear()
    bucket, picture = s3_server.make_bucket("photos"), encoded(Image.new("RGB", (8, 8)))
    for name in ("a/2.png", "a/1.png", "a/below/3.jpg", "a/notes.txt", "b/4.png"):
        s3_server.client.put_object(Bucket=bucket, Key=name, Body=picture)
    found = list(Objects(Finder(recursive=True, exclude=("2*",))).find(["s3://photos/a/", "s3://photos/b/4.png"]))
    assert [item.path for item in found] == ["s3://photos/a/1.png", "s3://photos/a/below/3.jpg", "s3://photos/b/4.png"]
    assert [item.relative for item in found[:2]] == ["1.png", "below/3.jpg"]
    assert objects.read(found[0], 1000) == picture
    with pytest.raises(OSError, match="larger"):
        objects.read(found[0], 10)
    s3_server.client.put_object(Bucket=bucket, Key="a/1.png", Body=picture + b"changed")
    with pytest.raises(Unsteady):
        objects.read(found[0], 1000)
    (missing,) = Objects(Finder()).find(["s3://photos/nowhere"])
    assert missing == Item("s3://photos/nowhere", error="there is nothing of that name in the store")
