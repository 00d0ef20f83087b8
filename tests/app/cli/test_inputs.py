"""Inputs: which files are found, in which order, and what is said of those that cannot be."""

import os
from pathlib import Path
from typing import Any

import pytest

from app.cli import inputs
from app.cli.inputs import DOCUMENTS, Finder, Item, Unsteady


def made(directory: Path, *names: str | bytes) -> str:
    for name in names:
        path = os.path.join(os.fsencode(directory), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    return str(directory)


def found(finder: Finder, *paths: str) -> list[str]:
    return [item.relative for item in finder.find(paths) if item.error is None]


def errors(finder: Finder, *paths: str) -> list[str]:
    return [item.error for item in finder.find(paths) if item.error is not None]


def test_a_directory_is_walked_in_the_order_of_names(tmp_path: Path) -> None:
    root = made(tmp_path, "b.jpg", "a/z.PNG", "a/y.webp", "c.txt", ".hidden.jpg", ".dir/x.jpg", "d.pdf")
    assert found(Finder(recursive=True), root) == ["a/y.webp", "a/z.PNG", "b.jpg"]
    assert found(Finder(DOCUMENTS, recursive=True), root)[-1] == "d.pdf"


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    root = made(tmp_path, "photo", ".hidden.jpg")
    assert found(Finder(), f"{root}/.hidden.jpg", f"{root}/photo") == [".hidden.jpg", "photo"]


def test_a_directory_without_r_and_what_is_not_there_are_said(tmp_path: Path) -> None:
    assert errors(Finder(), str(tmp_path), str(tmp_path / "no.jpg")) == [
        "is a directory: -r looks into it",
        "there is no such file",
    ]


def test_patterns_include_and_exclude(tmp_path: Path) -> None:
    root = made(tmp_path, "2024/a.jpg", "2024/b.png", "2025/a.jpg")
    assert found(Finder(recursive=True, include=["2024/*"], exclude=["*.png"]), root) == ["2024/a.jpg"]


def test_a_pattern_that_no_shell_has_expanded_is_one(tmp_path: Path) -> None:
    root = made(tmp_path, "a.jpg", "x/b.jpg", "[1].jpg")
    assert found(Finder(), f"{root}/**/*.jpg") == ["[1].jpg", "a.jpg", "b.jpg"]
    assert found(Finder(), f"{root}/[1].jpg") == ["[1].jpg"]


def test_names_may_hold_anything(tmp_path: Path) -> None:
    names = ["a\nb.jpg", "\"'$x.jpg", "\N{SNOWMAN}.jpg", b"\xff\xfe.jpg", "-r.jpg", "{stem}.jpg"]
    root = made(tmp_path, *names)
    assert sorted(map(os.fsencode, found(Finder(recursive=True), root))) == sorted(map(os.fsencode, names))


def test_a_loop_of_links_ends_and_links_are_followed_only_when_asked(tmp_path: Path) -> None:
    root = made(tmp_path / "root", "a/one.jpg")
    elsewhere = made(tmp_path / "elsewhere", "two.jpg")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "other").symlink_to(elsewhere)
    assert found(Finder(recursive=True), root) == ["a/one.jpg"]
    assert found(Finder(recursive=True, follow=True), root) == ["a/one.jpg", "other/two.jpg"]


def test_a_directory_that_may_not_be_listed_is_said_and_the_others_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made(tmp_path, "closed/a.jpg", "open/b.jpg")
    real = os.scandir

    def scandir(path: str) -> Any:
        # The tests may run as root, whom permissions do not stop.
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert found(Finder(recursive=True), root) == ["open/b.jpg"]
    assert errors(Finder(recursive=True), root) == ["cannot be listed (Permission denied)"]


def test_shards_are_all_of_it_and_share_nothing(tmp_path: Path) -> None:
    root = made(tmp_path, *(f"{number}.jpg" for number in range(40)))
    shards = [set(found(Finder(recursive=True, shard=(number, 3)), root)) for number in (1, 2, 3)]
    assert set.union(*shards) == set(found(Finder(recursive=True), root))
    assert sum(map(len, shards)) == 40
    assert all(shards)


def test_a_shard_is_the_same_wherever_the_directory_lies(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(20)]
    here, there = made(tmp_path / "here", *names), made(tmp_path / "there", *names)
    finder = Finder(recursive=True, shard=(2, 3))
    assert found(finder, here) == found(finder, there) != []


def test_lists_end_their_paths_with_a_newline_or_nul(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"a.jpg\n\n\xff.jpg\nlast.jpg")
    (tmp_path / "nul").write_bytes(b"a\nb.jpg\0c.jpg\0")
    assert [*inputs.listed(str(tmp_path / "lines"), null=False)] == ["a.jpg", "\udcff.jpg", "last.jpg"]
    assert [*inputs.listed(str(tmp_path / "nul"), null=True)] == ["a\nb.jpg", "c.jpg"]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing.jpg"
    path.write_bytes(b"x" * 1000)
    real, calls = os.fstat, []

    def fstat(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:
            with path.open("ab") as file:
                file.write(b"more")
            os.utime(path)
        return real(descriptor)

    monkeypatch.setattr(inputs.os, "fstat", fstat)
    with pytest.raises(Unsteady, match="changes while it is read"):
        inputs.read(str(path), 10_000)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(OSError, match="--max-mb"):
        inputs.read(str(path), 1000)


def test_a_url_is_an_input() -> None:
    (item,) = Finder().find(["https://example.org/a.jpg"])
    assert item.is_url
    assert not item.is_file
    assert not Item("-").is_file
