"""Commands against a running service: what they print and write, what they remember, and how they end."""

import csv
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from app.cli.exits import NoModel
from app.cli.inputs import Item
from app.cli.outputs import ItemFailed
from app.cli.remote import Remote
from tests.app.cli.conftest import Command, paths
from tests.conftest import INPUT
from tests.server import Server

ORDER = ["a.jpg", "b.png", "c.webp", "more/d.jpg", "more/e.png"]


def test_one_picture_is_one_text(asking: Command, server: Server) -> None:
    ended = asking("caption", INPUT / "scene.jpg")
    said = server.generate((INPUT / "scene.jpg").read_bytes(), model="efficientnet-gru").json()["text"]
    assert (ended.status, ended.out.decode()) == (0, f"{said}\n")


def test_a_directory_comes_in_order_as_the_service_says_it(asking: Command, server: Server, photos: Path) -> None:
    ended = asking("caption", "-r", photos, "-f", "jsonl")
    assert ended.status == 0
    assert paths(ended) == ORDER
    for record in ended.records:
        said = server.generate(Path(record["path"]).read_bytes(), model="efficientnet-gru").json()
        said["image"].pop("saved_as", None)
        for volatile in ("id", "timings_ms", "cached"):
            said.pop(volatile, None)
        assert record == {"path": record["path"], **said}


def test_texts_of_several_have_their_paths_before_them(asking: Command, photos: Path) -> None:
    lines = asking("caption", "-r", photos).out.decode().splitlines()
    assert [line.partition(": ")[0].rpartition("photos/")[2] for line in lines] == ORDER


def test_tables(asking: Command, photos: Path) -> None:
    table = [*csv.DictReader(io.StringIO(asking("caption", "-r", photos, "-f", "csv").out.decode()))]
    assert [row["path"].rpartition("photos/")[2] for row in table] == ORDER
    assert {row["model"] for row in table} == {"efficientnet-gru"}
    assert len(json.loads(asking("caption", "-r", photos, "-f", "json").out)) == 5


def test_the_same_command_again_adds_nothing(asking: Command, photos: Path) -> None:
    first = asking("caption", "-r", photos, "-o", "out.jsonl")
    written = Path("out.jsonl").read_bytes()
    again = asking("caption", "-r", photos, "-o", "out.jsonl")
    assert (first.status, again.status) == (0, 5)
    assert Path("out.jsonl").read_bytes() == written
    assert len(written.splitlines()) == 5


def test_what_is_missing_is_finished(asking: Command, photos: Path) -> None:
    asking("caption", "-r", photos, "-o", "whole.jsonl")
    assert asking("caption", "-r", photos, "-o", "out.jsonl", "--limit", 2).status == 0
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 2
    asking("caption", "-r", photos, "-o", "out.jsonl")
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def requests_of(server: Server) -> int:
    return server.log.count("batch of")


def test_a_renamed_file_is_not_computed_again_and_a_changed_one_is(
    asking: Command, server: Server, photos: Path
) -> None:
    asking("caption", "-r", photos, "-o", "out.jsonl")
    computed = requests_of(server)
    (photos / "a.jpg").rename(photos / "renamed.jpg")
    asking("caption", "-r", photos, "-o", "out.jsonl")
    assert requests_of(server) == computed
    # Another picture under a name that is known.
    shutil.copy(INPUT / "scene.jpg", photos / "c.webp")
    asking("caption", "-r", photos, "-o", "out.jsonl")
    assert requests_of(server) == computed + 1
    lines = [json.loads(line) for line in Path("out.jsonl").read_bytes().splitlines()]
    assert [line["path"].rpartition("photos/")[2] for line in lines] == [*ORDER, "renamed.jpg", "c.webp"]
    assert lines[5]["text"] == lines[0]["text"]


def test_another_option_is_another_answer(asking: Command, photos: Path) -> None:
    asking("caption", photos / "a.jpg", "-f", "jsonl", "-o", "out.jsonl")
    assert asking("caption", photos / "a.jpg", "-f", "jsonl", "-o", "out.jsonl", "--max-new-tokens", 3).status == 0
    assert asking("caption", photos / "a.jpg", "-f", "jsonl", "-o", "out.jsonl").status == 5
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 2


def test_stdout_resumes_with_a_journal(asking: Command, photos: Path) -> None:
    first = asking("caption", "-r", photos, "-f", "jsonl", "--journal", "j", "--limit", 2)
    rest = asking("caption", "-r", photos, "-f", "jsonl", "--journal", "j")
    assert paths(first) + paths(rest) == ORDER


def test_one_bad_file_does_not_stop_the_others(asking: Command, photos: Path) -> None:
    (photos / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (photos / "bad\nname.jpg").write_text("no image")
    ended = asking("caption", "-r", photos, "nowhere.jpg", "-o", "out.jsonl", "--failed", "failed", "-0")
    assert ended.status == 1
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 4
    failures = [line for line in ended.err.splitlines() if "photos" in line or "nowhere" in line]
    assert len(failures) == 3
    assert "bad\\nname.jpg: " in failures[1]
    assert failures[2] == "nowhere.jpg: there is no such file"
    listed = Path("failed").read_bytes().split(b"\0")
    assert [os.path.basename(path) for path in listed] == [b"b.png", b"bad\nname.jpg", b"nowhere.jpg", b""]


def test_what_failed_is_tried_again_only_when_asked(asking: Command, server: Server, photos: Path) -> None:
    (photos / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    asking("caption", "-r", photos, "-o", "out.jsonl")
    again = asking("caption", "-r", photos, "-o", "out.jsonl")
    assert again.status == 1
    assert "failed before" in again.err
    retried = asking("caption", "-r", photos, "-o", "out.jsonl", "--retry-failed")
    assert retried.status == 1
    assert "failed before" not in retried.err
    # A changed file is another content.
    shutil.copy(INPUT / "scene.jpg", photos / "b.png")
    assert asking("caption", "-r", photos, "-o", "out.jsonl").status == 0


def test_fail_fast_stops_at_the_first(asking: Command, photos: Path) -> None:
    (photos / "a.jpg").write_text("no image")
    ended = asking("caption", "-r", photos, "-o", "out.jsonl", "--fail-fast")
    assert ended.status == 1
    assert Path("out.jsonl").read_bytes() == b""


def test_a_list_of_files(asking: Command, photos: Path) -> None:
    Path("list").write_bytes(b"\0".join(os.fsencode(photos / name) for name in ORDER[:2]))
    ended = asking("caption", "-0", "--files-from", "list", "-f", "jsonl")
    assert paths(ended) == ORDER[:2]


def test_a_directory_of_results_in_several_formats(asking: Command) -> None:
    ended = asking("read", INPUT, "-r", "--include", "s*", "-f", "text,pdf,jsonl,alto", "-o", "out/", model="rapidocr")
    assert ended.status == 0, ended.err
    names = sorted(path.name for path in Path("out").iterdir() if not path.name.startswith("."))
    each = [f"{name}.jpg.{ending}" for name in ("scene", "sign") for ending in ("pdf", "txt", "xml")]
    assert names == ["results.jsonl", *each]
    assert "MIND THE STEP" in Path("out/sign.jpg.txt").read_text(encoding="utf-8")
    assert Path("out/sign.jpg.pdf").read_bytes().startswith(b"%PDF")
    assert b"PLATFORM" in Path("out/sign.jpg.xml").read_bytes()


def test_sidecars(asking: Command, photos: Path) -> None:
    ended = asking("caption", "-r", photos, "--sidecar", "txt,json,xmp,xmp-adobe")
    assert (ended.status, ended.out) == (0, b"")
    beside = sorted(path.name for path in (photos / "more").iterdir() if path.name.startswith("d."))
    assert beside == ["d.jpg", "d.jpg.json", "d.jpg.txt", "d.jpg.xmp", "d.xmp"]
    text = (photos / "more" / "d.jpg.txt").read_text(encoding="utf-8").strip()
    assert text in (photos / "more" / "d.xmp").read_text(encoding="utf-8")
    assert json.loads((photos / "more" / "d.jpg.json").read_bytes())["text"] == text
    # Neither the journal nor the sidecars are inputs of the next run.
    assert asking("caption", "-r", photos, "--sidecar", "txt,json,xmp,xmp-adobe").status == 5


def test_results_are_no_inputs(asking: Command, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(INPUT / "note.png", scans / "note.png")
    assert asking("read", "-r", scans, "--sidecar", "pdf", model="rapidocr").status == 0
    assert asking("read", "-r", scans, "--sidecar", "pdf", model="rapidocr").status == 5
    assert sorted(each.name for each in scans.iterdir() if each.name[0] != ".") == ["note.png", "note.png.pdf"]


def test_an_input_is_never_replaced_by_its_result(asking: Command, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    Image.new("RGB", (60, 40), "white").save(letter)
    before = letter.read_bytes()
    ended = asking(
        "read", letter, "-o", "{dir}/{stem}.{ext}", "-f", "pdf", "--if-exists", "overwrite", model="rapidocr"
    )
    assert (ended.status, letter.read_bytes()) == (1, before)
    assert "would take the place of the input itself" in ended.err


def test_a_template_beside_the_pictures_is_what_trainers_want(asking: Command, photos: Path) -> None:
    asking("caption", "-r", photos, "-o", "{dir}/{stem}.{ext}", "-f", "text")
    assert (photos / "more" / "d.txt").is_file()


def test_search_finds_what_was_read_under_its_present_name(asking: Command, i2t: Command, photos: Path) -> None:
    shutil.copy(INPUT / "sign.jpg", photos / "sign.jpg")
    asking("read", "-r", photos, "-o", "out.jsonl", model="rapidocr")
    assert i2t("search", "platform").out == b"photos/sign.jpg\n"
    (photos / "sign.jpg").rename(photos / "station.jpg")
    asking("read", "-r", photos, "-o", "out.jsonl", model="rapidocr")
    found = i2t("search", "mind", "STEP", "--texts")
    assert found.out.startswith(b"photos/station.jpg: PLATFORM 4")
    assert i2t("search", "--query", "plat* NOT step").status == 1
    assert i2t("search", "x", "--journal", "nowhere").status == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["caption"], "name a PATH"),
        (["caption", "a.jpg", "--format", "gif"], "none of"),
        (["caption", "a.jpg", "-o", "{nothing}.txt"], "there is no {nothing}"),
        (["caption", "a.jpg", "b.jpg", "-f", "pdf"], "needs --output"),
        (["caption", "a.jpg", "-f", "pdf,text"], "several formats need"),
        (["caption", "a.jpg", "--shard", "9/8"], "no part such as"),
        (["caption", "a.jpg", "--region", "1,2"], "--region"),
        (["read", "a.jpg", "--pages", "0"], "pages"),
        (["caption", "--files-from", "nowhere"], "No such file"),
        (["caption", "--watch", "nowhere"], "is no directory"),
        (["run", "a.jpg"], "--model"),
        (["nothing"], "No such command"),
    ],
)
def test_what_makes_no_sense_is_2(asking: Command, arguments: list[str], words: str) -> None:
    ended = asking(*arguments, model=None)
    assert ended.status == 2
    assert words in ended.err


def test_a_model_that_cannot_be_had_is_3(asking: Command, i2t: Command, photos: Path) -> None:
    assert asking("caption", photos / "a.jpg", model="no-such-model").status == 3
    away = i2t("caption", photos / "a.jpg", "--server", "http://127.0.0.1:9")
    assert away.status == 3
    assert "no Image to Text service answers at http://127.0.0.1:9" in away.err


def test_a_model_under_a_former_name_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["absent", "downloading", "ready"])

    def said(remote: Remote, method: str, path: str) -> dict[str, Any]:
        if method == "POST":
            return {"name": "new", "state": "absent"}
        return {"models": [{"name": "new", "state": next(states), "progress": 0.5}], "default": "other"}

    monkeypatch.setattr(Remote, "_json", said)
    told: list[str] = []
    remote = Remote("http://a.test", None, 1, {"model": "old"}, told.append, threading.Event())
    assert told == ["new: the service is downloading it, 50%"]
    assert next(states, None) is None
    assert "'new'" in remote.identity


def test_a_service_that_does_not_come_back_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.remote._LONGEST_PAUSE", 0.0)
    there = {"models": [{"name": "new", "state": "ready"}], "default": "new"}
    with monkeypatch.context() as while_there:
        while_there.setattr(Remote, "_json", lambda *_: there)
        remote = Remote("http://127.0.0.1:9", None, 1, {"model": "new"}, print, threading.Event())
        # It answers when it is asked whether it is there: this input ended it.
        with pytest.raises(ItemFailed, match="cannot be reached"):
            remote.answer(Item("a.jpg"), b"an image")
    with pytest.raises(NoModel, match="no Image to Text service answers"):
        remote.answer(Item("a.jpg"), b"an image")


def test_a_service_that_stays_busy_fails_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def busy(_: requests.Session, method: str, url: str, **__: Any) -> requests.Response:
        asked.append(url)
        response = requests.Response()
        response.status_code, response._content = 503, b'{"detail": "too much to do"}'
        return response

    monkeypatch.setattr("app.cli.remote._LONGEST_PAUSE", 0.0)
    with monkeypatch.context() as while_idle:
        while_idle.setattr(Remote, "_json", lambda *_: {"models": [{"name": "new", "state": "ready"}], "default": ""})
        remote = Remote("http://a.test", None, 1, {"model": "new"}, print, threading.Event())
    monkeypatch.setattr(requests.Session, "request", busy)
    with pytest.raises(ItemFailed, match="too much to do"):
        remote.answer(Item("a.jpg"), b"an image")
    assert {*asked} == {"http://a.test/generate-text"}


def test_an_output_that_cannot_be_written_is_4(asking: Command, photos: Path) -> None:
    Path("file").touch()
    assert asking("caption", "-r", photos, "-o", "file/out.jsonl").status == 4
    assert asking("caption", "-r", photos, "-o", "out.jsonl", "--journal", "file/journal").status == 4
    Path("out.jsonl").write_text("theirs\n")
    assert asking("caption", "-r", photos, "-o", "out.jsonl", "--if-exists", "fail").status == 4
    assert Path("out.jsonl").read_text() == "theirs\n"


def test_nothing_to_do_is_5(asking: Command) -> None:
    Path("empty").mkdir()
    assert asking("caption", "-r", "empty").status == 5


def test_a_dry_run_estimates_and_writes_nothing(asking: Command, photos: Path) -> None:
    ended = asking("caption", "-r", photos, "-o", "out.jsonl", "--dry-run")
    assert ended.status == 0
    assert ended.out.startswith(b"5 inputs, of which 5 are new")
    assert b"about " in ended.out
    assert not Path("out.jsonl").exists()
    assert not Path("out.jsonl.journal").exists()


def test_a_client_over_its_limit_waits(i2t: Command, make_server: Callable[..., Server], photos: Path) -> None:
    server = make_server(preload="", rate_limit="2/5 seconds")
    for _ in range(2):
        server.get("/models")
    ended = i2t("caption", photos / "a.jpg", "--server", server.url, "--model", "efficientnet-gru")
    assert ended.status == 0, ended.err


def test_a_key_is_sent_and_its_absence_is_said(i2t: Command, make_server: Callable[..., Server], photos: Path) -> None:
    locked = make_server(api_keys="secret-key")
    refused = i2t("caption", photos / "a.jpg", "--server", locked.url)
    assert refused.status == 3
    assert "--api-key" in refused.err
    Path("key").write_text("secret-key\n")
    assert i2t("caption", photos / "a.jpg", "--server", locked.url, "--api-key", "@key").status == 0
