"""The benchmarks of hostile files and of the soak say what is not as it should be, and write what they measured."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import hostile, report, soak
from benchmarks.machine import Usage
from benchmarks.soak import Seen
from tests.conftest import INPUT

NOTHING_LEFT = Usage(300, 350, 9, 146, 1)


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
    assert hostile.main([str(files), "--models", "flickr8k-gru", "--write"]) == 0
    written = report.README.read_text(encoding="utf-8")
    for status in (200, 415, 422):
        assert f"| `flickr8k-gru` | 2 | {status} |" in written
    assert "| and again |" in written
    assert written.splitlines()[1] in capsys.readouterr().out


def test_the_soak_says_what_is_wrong() -> None:
    def seen(*statuses: int, seconds: float = 1.0) -> Seen:
        return Seen(Counter(statuses), [seconds] * max(len(statuses), 2))

    alone = seen(200, 200)
    assert not list(soak.wrong(alone, {"good": seen(200, 429, 503)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "good: {500: 1}" in list(soak.wrong(alone, {"good": seen(200, 500)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "huge: {0: 2}" in list(soak.wrong(alone, {"good": alone, "huge": seen(0, 0)}, NOTHING_LEFT, NOTHING_LEFT))
    (slow,) = soak.wrong(alone, {"good": seen(200, seconds=2.5)}, NOTHING_LEFT, NOTHING_LEFT)
    assert "2.5 times as long" in slow
    (grown,) = soak.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(400, 450, 9, 146, 1))
    assert "memory grew from 300 to 400 MB" in grown
    (left,) = soak.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(300, 350, 9, 160, 1))
    assert "threads" in left
