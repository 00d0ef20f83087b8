"""Outputs: rows that are there once and whole, and files that are whole and nobody else's."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import atomic
from app.cli.exits import NoOutput
from app.cli.formats import FILES, TABLES, Result
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.outputs import Files, IfExists, ItemFailed, Need, Rows
from app.cli.places import template
from app.cli.tasks import TASKS
from app.types import Answer, ImageInfo, Page

CAPTION = TASKS["caption"]


def result(path: str, text: str = "a dog", key: str | None = None) -> Result:
    answer = Answer(text, "model", (Page(3, 2, text),), image=ImageInfo(3, 2, "PNG", "00"))
    return Result(Item(path), key or f"key of {path}", answer)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def rows(path: Path, journal: Journal, format: str = "jsonl", if_exists: IfExists = "skip") -> Rows:
    return Rows(path, journal, CAPTION, TABLES[format], if_exists)


def written(path: Path) -> list[str]:
    return [json.loads(line)["path"] for line in path.read_bytes().splitlines()]


def test_a_row_is_there_once(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    first = rows(out, journal)
    assert first.need(Item("a"), "key of a") is Need.WANTED
    first.put(result("a"))
    first.finish()
    again = rows(out, journal)
    assert again.need(Item("a"), "key of a") is Need.DELIVERED
    assert again.need(Item("a"), "another model") is Need.WANTED
    again.put(result("b"))
    assert written(out) == ["a", "b"]


def test_half_a_row_of_a_killed_process_is_cut_off(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    rows(out, journal).put(result("a"))
    with out.open("ab") as file:
        file.write(b'{"path": "b", "te')
    journal.claim("/b", "caption")
    journal.broken_off = True
    rows(out, journal).put(result("c"))
    assert written(out) == ["a", "c"]


def test_half_a_row_of_another_process_is_cut_off_by_the_next_row(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    mine = rows(out, journal)
    mine.put(result("a"))
    with out.open("ab") as file:
        file.write(b'{"path": "b", "te')
    mine.put(result("c"))
    assert written(out) == ["a", "c"]


def test_what_others_have_added_is_not_cut_off(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    rows(out, journal).put(result("a"))
    with out.open("ab") as file:
        file.write(b'{"mine": 1}\n')
    with pytest.raises(NoOutput, match="changed by others"):
        rows(out, journal)
    assert b"mine" in out.read_bytes()


def test_rows_that_are_gone_are_written_again(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    before = rows(out, journal)
    for path in "abc":
        before.put(result(path))
    first = out.read_bytes().splitlines(keepends=True)[0]
    # A power cut takes the end of a file, and half a row with it.
    os.truncate(out, len(first) + 5)
    after = rows(out, journal)
    assert after.need(Item("a"), "key of a") is Need.DELIVERED
    assert after.need(Item("b"), "key of b") is Need.WANTED
    assert written(out) == ["a"]
    out.unlink()
    assert rows(out, journal).need(Item("a"), "key of a") is Need.WANTED


@pytest.mark.parametrize("number", [0, 1, 3])
def test_json_is_whole_after_each_run(tmp_path: Path, journal: Journal, number: int) -> None:
    out = tmp_path / "out.json"
    for run in range(2):
        output = rows(out, journal, "json")
        for index in range(number):
            output.put(result(f"{run}-{index}"))
        output.finish()
        assert len(json.loads(out.read_bytes())) == number * (run + 1)


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_a_table_has_one_head(tmp_path: Path, journal: Journal, format: str) -> None:
    out = tmp_path / f"out.{format}"
    for path in ("a", 'tab\tquote"comma,\nline'):
        output = rows(out, journal, format)
        output.put(result(path))
        output.finish()
    text = out.read_text(encoding="utf-8")
    assert text.count("model") == 3
    assert text.startswith("path")
    if format == "tsv":
        assert text.splitlines()[2].split("\t")[0] == 'tab\\tquote"comma,\\nline'
    else:
        assert '"tab\tquote""comma,\nline"' in text


def test_rows_of_others_stay_unless_they_are_to_go(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(b'{"path": "theirs"}\n')
    with pytest.raises(NoOutput, match="--if-exists overwrite"):
        rows(out, journal, if_exists="fail")
    rows(out, journal).put(result("a"))
    assert written(out) == ["theirs", "a"]
    rows(out, journal, if_exists="overwrite").put(result("b"))
    assert written(out) == ["b"]


@pytest.mark.parametrize(("content", "format"), [(b"precious\n", "jsonl"), (b'{"path": "a"}\n', "csv")])
def test_a_file_in_another_format_is_not_written_into(
    tmp_path: Path, journal: Journal, content: bytes, format: str
) -> None:
    out = tmp_path / "out"
    out.write_bytes(content)
    with pytest.raises(NoOutput, match="not in this format"):
        rows(out, journal, format)
    assert out.read_bytes() == content


def test_another_format_of_its_own_is_refused(tmp_path: Path, journal: Journal) -> None:
    out = tmp_path / "out"
    rows(out, journal, "csv").put(result("a"))
    with pytest.raises(NoOutput, match="not in this format"):
        rows(out, journal, "jsonl")


def test_a_full_disk_ends_the_command_and_the_row_is_not_half_there(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    output = rows(out, journal)
    output.put(result("a"))
    real = os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if len(data) > 10:
            return real(file, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(NoOutput, match="No space left"):
        output.put(result("b"))
    monkeypatch.undo()
    assert output.need(Item("b"), "key of b") is Need.WANTED
    output.put(result("b"))
    assert written(out) == ["a", "b"]


def files(directory: Path, journal: Journal, if_exists: IfExists = "skip", text: str = "{stem}.{ext}") -> Files:
    target = template(f"{directory}/{text}", "txt")
    return Files("text", target, FILES["text"][1], journal, CAPTION, if_exists)


def test_a_file_by_others_stays(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "a.txt").write_text("theirs")
    assert files(tmp_path, journal).need(Item("a.jpg"), None) is Need.EXISTS
    with pytest.raises(ItemFailed, match="--if-exists"):
        files(tmp_path, journal, "fail").need(Item("a.jpg"), None)
    overwriting = files(tmp_path, journal, "overwrite")
    assert overwriting.need(Item("a.jpg"), "key") is Need.WANTED
    overwriting.put(result("a.jpg"))
    assert (tmp_path / "a.txt").read_text() == "a dog\n"


def test_an_older_result_is_replaced_unless_somebody_has_changed_it(tmp_path: Path, journal: Journal) -> None:
    output = files(tmp_path, journal)
    output.put(result("a.jpg", key="old"))
    assert output.need(Item("a.jpg"), "old") is Need.DELIVERED
    assert output.need(Item("a.jpg"), "new") is Need.WANTED
    (tmp_path / "a.txt").write_text("a better caption, by hand")
    assert output.need(Item("a.jpg"), "new") is Need.EXISTS


def test_two_inputs_do_not_share_a_file(tmp_path: Path, journal: Journal) -> None:
    output = files(tmp_path, journal)
    (tmp_path / "a.jpg").touch()
    output.put(result(str(tmp_path / "a.jpg")))
    with pytest.raises(ItemFailed, match=r"has the result of .*a\.jpg"):
        output.need(Item(str(tmp_path / "a.png")), "key")


def test_the_fields_of_a_template(tmp_path: Path) -> None:
    target = template("out/{rel}/{stem}-{name}.{ext}", ".json")
    assert target(Item("photos/x/a.jpg", "photos")) == Path("out/x/a-a.jpg.json")
    assert target(Item("photos/x/{a}.jpg")) == Path("out/{a}-{a}.jpg.json")
    assert template("{dir}/{stem}.txt", "")(Item("/x/a.b.jpg")) == Path("/x/a.b.txt")
    assert template("{dir}/{name}", "")(Item("https://example.org/x/a%20b.jpg?c")) == Path("a b.jpg")


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deep" / "a.txt"
    atomic.write(target, b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(target, b"new and longer")
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
