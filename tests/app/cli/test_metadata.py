"""Metadata in the pictures and in sidecars, as exiftool reads it back; pixels stay as they were."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from app.cli import xmp
from app.cli.metadata import BACKUP
from app.cli.tasks import TASKS
from app.cli.xmp import Words
from app.types import AltTextParts, Answer, Tags
from tests.app.cli.conftest import Command

pillow_heif.register_heif_opener()
exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
FORMATS = ("jpg", "png", "webp", "heic", "tif")


def test_ci_has_exiftool(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    assert "CI" not in os.environ or shutil.which("exiftool")


@pytest.fixture
def album(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A directory with a picture in each format."""
    directory = tmp_path / "album"
    directory.mkdir()
    for suffix, picture in zip(FORMATS, pictures, strict=False):
        picture.save(directory / f"picture.{suffix}")
    return directory


def read_back(path: Path, *tags: str) -> dict[str, Any]:
    """Return what exiftool finds in a file, by names with their groups."""
    command = ["exiftool", "-j", "-G1", "-struct", *(f"-{tag}" for tag in tags), str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return dict(found)


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


@exiftool
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_caption_and_keywords_are_read_back_and_the_pixels_are_the_same(
    asking: Command, album: Path, suffix: str
) -> None:
    path = album / f"picture.{suffix}"
    before, original = pixels(path), path.read_bytes()
    captioned = asking("caption", path, "--write-metadata")
    assert captioned.status == 0, captioned.err
    tagged = asking("tags", path, "--tagger", "efficientnet-gru", "--write-metadata", "-f", "jsonl")
    assert tagged.status == 0, tagged.err
    (record,) = tagged.records
    found = read_back(path, "XMP:all", "IPTC:all")
    assert found["XMP-dc:Description"] == record["text"]
    keywords = found.get("XMP-dc:Subject", [])
    assert ([keywords] if isinstance(keywords, str) else keywords) == record["tags"]
    if suffix in ("jpg", "tif"):
        assert found["IPTC:Caption-Abstract"] == record["text"]
    else:
        assert "IPTC:Caption-Abstract" not in found
    assert pixels(path) == before
    assert path.with_name(path.name + BACKUP).read_bytes() == original
    assert sorted(each.name for each in album.iterdir() if each.name.startswith(f".i2t-{suffix}")) == []


@exiftool
def test_an_alt_text_has_a_place_of_its_own(asking: Command, album: Path) -> None:
    path = album / "picture.jpg"
    ended = asking("alt", path, "--write-metadata", "--no-backup", "-f", "jsonl")
    assert ended.status == 0, ended.err
    found = read_back(path, "XMP:all")
    assert found["XMP-iptcCore:AltTextAccessibility"] == ended.records[0]["text"]
    assert found["XMP-dc:Description"] == ended.records[0]["parts"]["caption"]
    assert not path.with_name(path.name + BACKUP).exists()


@exiftool
def test_the_same_command_again_writes_nothing(asking: Command, album: Path) -> None:
    first = asking("caption", "-r", album, "--write-metadata")
    assert first.status == 0, first.err
    written = {path: path.read_bytes() for path in album.iterdir() if path.suffix != ".journal"}
    again = asking("caption", "-r", album, "--write-metadata")
    assert again.status == 5, again.err
    assert {path: path.read_bytes() for path in written} == written
    # Under another name it has what this program would write.
    (album / "picture.jpg").rename(album / "renamed.jpg")
    assert asking("caption", "-r", album, "--write-metadata").status == 5


@exiftool
def test_what_others_have_written_stays(asking: Command, album: Path) -> None:
    path = album / "picture.jpg"
    theirs = ["-XMP-dc:Description=theirs", "-XMP-dc:Subject=holiday", "-XMP-xmp:Rating=4"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *theirs, str(path)], check=True)
    assert asking("caption", path, "--write-metadata").status == 5
    assert asking("caption", "-r", album, "--only-missing", "-f", "jsonl").out.count(b"\n") == len(FORMATS) - 1
    assert read_back(path, "XMP:all")["XMP-dc:Description"] == "theirs"
    assert asking("caption", path, "--write-metadata", "--if-exists", "overwrite").status == 0
    found = read_back(path, "XMP:all")
    assert found["XMP-dc:Description"] != "theirs"
    assert (found["XMP-dc:Subject"], found["XMP-xmp:Rating"]) in ((["holiday"], 4), ("holiday", 4))


@exiftool
def test_iptc_in_latin_1_is_still_read_beside_what_is_written(asking: Command, album: Path) -> None:
    path = album / "picture.jpg"
    theirs = ["-charset", "iptc=latin", "-IPTC:Headline=Grüße", "-IPTC:Keywords=Straße"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *theirs, str(path)], check=True)
    assert asking("caption", path, "--write-metadata").status == 0
    found = read_back(path, "IPTC:all")
    assert (found["IPTC:Headline"], found["IPTC:Keywords"]) in (("Grüße", "Straße"), ("Grüße", ["Straße"]))


@exiftool
def test_names_may_hold_line_breaks(asking: Command, album: Path) -> None:
    path = album / 'a "$x" @y\n.jpg'
    (album / "picture.jpg").rename(path)
    assert asking("caption", path, "--write-metadata").status == 0
    link = album / "link.jpg"
    link.symlink_to(path)
    assert read_back(link, "XMP:all")["XMP-dc:Description"]


@exiftool
def test_a_sidecar_that_another_program_has_begun_keeps_what_it_has(asking: Command, album: Path) -> None:
    sidecar = album / "picture.jpg.xmp"
    sidecar.write_bytes(xmp.packet(Words("theirs", ("holiday",))))
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-xmp:Rating=4", str(sidecar)], check=True)
    picture = album / "picture.jpg"
    assert asking("caption", picture, "--sidecar", "xmp").status == 5
    ended = asking("caption", picture, "--sidecar", "xmp", "--if-exists", "overwrite")
    assert ended.status == 0, ended.err
    found = read_back(sidecar, "XMP:all")
    assert found["XMP-xmp:Rating"] == 4
    assert found["XMP-dc:Description"] != "theirs"


@exiftool
def test_a_sidecar_of_ours_is_read_by_exiftool(tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(xmp.packet(Words('one "two" <three> & four\nfive', ("a & b", "\N{SNOWMAN}"), "alt")))
    found = read_back(path, "XMP:all")
    assert found["XMP-dc:Description"] == 'one "two" <three> & four\nfive'
    assert found["XMP-dc:Subject"] == ["a & b", "\N{SNOWMAN}"]
    assert found["XMP-iptcCore:AltTextAccessibility"] == "alt"


def test_what_exiftool_cannot_write_into_is_said(asking: Command, tmp_path: Path, album: Path) -> None:
    with Image.open(album / "picture.png") as picture:
        picture.save(tmp_path / "picture.bmp")
    ended = asking("caption", tmp_path / "picture.bmp", "--write-metadata")
    assert ended.status == (1 if shutil.which("exiftool") else 4)
    assert "exiftool" in ended.err


def test_without_exiftool_it_is_said_where_to_get_it(
    asking: Command, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended = asking("caption", album / "picture.jpg", "--write-metadata")
    assert ended.status == 4
    assert "apt install libimage-exiftool-perl" in ended.err


def test_what_a_command_says_has_its_place() -> None:
    answer = Answer("a dog", "m", (), Tags(("dog", "")), AltTextParts("a dog", "m", "STOP", "r"))
    assert Words.of(TASKS["caption"], answer) == Words("a dog", ("dog",))
    assert Words.of(TASKS["tags"], answer) == Words(None, ("dog",))
    assert Words.of(TASKS["alt"], answer) == Words("a dog", ("dog",), "a dog")
