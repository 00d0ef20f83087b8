"""The benchmarks of hostile files and of the soak say what is not as it should be, and write what they measured."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import hostile, report
from benchmarks.machine import Usage
from benchmarks.soak import Options, Result, clients, instances, lifecycle
from benchmarks.soak.__main__ import main
from benchmarks.soak.clients import Seen
from benchmarks.soak.lifecycle import Taken
from tests.conftest import INPUT

NOTHING_LEFT = Usage(300, 350, 9, 146, 1)


def seen(*statuses: int, seconds: float = 1.0) -> Seen:
    return Seen(Counter(statuses), [seconds] * max(len(statuses), 2))


def test_hostile_files_meet_the_real_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    report.README.write_text("<!-- hostile: begin -->\n<!-- hostile: end -->\n", encoding="utf-8")
    files = tmp_path / "files"
    (files / "below").mkdir(parents=True)
    (files / "good.png").write_bytes((INPUT / "note.png").read_bytes())
    (files / "below" / "cut.png").write_bytes((INPUT / "note.png").read_bytes()[:900])
    (files / "none.txt").write_bytes(b"no image")
    assert hostile.main([str(files), "--models", "efficientnet-gru", "--write"]) == 0
    written = report.README.read_text(encoding="utf-8")
    for status in (200, 415, 422):
        assert f"| `efficientnet-gru` | 2 | {status} |" in written
    assert "| and again |" in written
    assert written.splitlines()[1] in capsys.readouterr().out


def test_the_soak_says_what_is_wrong() -> None:
    alone = seen(200, 200)
    assert not list(clients.wrong(alone, {"good": seen(200, 429, 503)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "good: {500: 1}" in list(clients.wrong(alone, {"good": seen(200, 500)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "huge: {0: 2}" in list(clients.wrong(alone, {"good": alone, "huge": seen(0, 0)}, NOTHING_LEFT, NOTHING_LEFT))
    (slow,) = clients.wrong(alone, {"good": seen(200, seconds=2.5)}, NOTHING_LEFT, NOTHING_LEFT)
    assert "2.5 times as long" in slow
    (grown,) = clients.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(400, 450, 9, 146, 1))
    assert "memory grew from 300 to 400 MB" in grown
    (left,) = clients.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(300, 350, 9, 160, 1))
    assert "threads" in left


def test_what_instances_leave_and_lose_is_said() -> None:
    fine, usages = {"keep": seen(200), "half": seen(401, 401)}, [NOTHING_LEFT, NOTHING_LEFT]
    assert not list(instances.wrong(fine, usages, usages, []))
    assert "keep: not only 200: {200: 1, 0: 1}" in instances.wrong(fine | {"keep": seen(200, 0)}, usages, usages, [])
    assert "half: not only 401: {200: 1}" in instances.wrong(fine | {"half": seen(200)}, usages, usages, [])
    (grown,) = instances.wrong(fine, usages, [NOTHING_LEFT, Usage(600, 650, 9, 146, 1)], [])
    assert grown.startswith("instance 2: memory grew")
    (left,) = instances.wrong(fine, usages, usages, [".partial-1"])
    assert ".partial-1" in left


def test_memory_that_does_not_come_back_is_said() -> None:
    gone, kept, tiny = Taken(300, 800, 310), Taken(300, 800, 500), Taken(300, 310, 310)
    taken = {name: Taken(*(size * 10**6 for size in one)) for name, one in [("a", gone), ("b", kept), ("c", tiny)]}
    (what,) = lifecycle.wrong(taken, Counter({200: 9}))
    assert what == "b: 60% of its memory came back"
    assert "requests failed: {503: 1}" in lifecycle.wrong({}, Counter({200: 9, 503: 1}))
    assert list(lifecycle.wrong({}, Counter())) == ["no request was sent"]
    assert "too little to tell" in lifecycle.text(taken, Counter({200: 9}))


def test_the_soak_runs_what_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Options] = []

    def found(options: Options) -> Result:
        told.append(options)
        return Result("| a table |", ["memory grew"])

    monkeypatch.setattr(clients, "soak", found)
    assert main(["clients", "--minutes", "0.5", "--model-paths", "blip-base=here"]) == 1
    assert told == [Options(0.5, "blip-base=here")]
    assert capsys.readouterr().out.endswith("| a table |\nmemory grew\n")
    with pytest.raises(SystemExit, match="2"):
        main(["nonesuch"])
