"""The journal: what it remembers, across processes that are killed and beside others that live."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.exits import NoOutput
from app.cli.journal import Journal
from tests.server import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from app.cli.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.begin()
print(journal.claim("/photos/a.jpg", "caption"), flush=True)
time.sleep(60)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has claimed a picture in the same journal."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "journal")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()


def test_a_content_is_that_of_a_path_while_size_and_time_are_the_same(journal: Journal) -> None:
    journal.remember_file("/a\udcff\n.jpg", 10, 20, "content")
    assert journal.content_of("/a\udcff\n.jpg", 10, 20) == "content"
    assert journal.content_of("/a\udcff\n.jpg", 11, 20) is None
    assert journal.content_of("/a\udcff\n.jpg", 10, 21) is None
    assert journal.content_of("/b.jpg", 10, 20) is None


def test_a_claim_of_a_process_that_lives_holds(journal: Journal, other: subprocess.Popen[str]) -> None:
    assert not journal.claim("/photos/a.jpg", "caption")
    assert journal.claim("/photos/a.jpg", "read")
    assert journal.claim("/photos/b.jpg", "caption")


def test_a_claim_of_a_process_that_was_killed_is_free_at_once(journal: Journal, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert journal.claim("/photos/a.jpg", "caption")


def test_reading_a_journal_leaves_it_and_the_claims_of_others_alone(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    reading = Journal(tmp_path / "journal", reading=True)
    reading.begin()
    with pytest.raises(NoOutput):
        reading.remember_file("/photos/a.jpg", 1, 1, "a")
    assert reading.content_of("/photos/a.jpg", 1, 1) is None
    reading.close()
    journal = Journal(tmp_path / "journal")
    assert not journal.claim("/photos/a.jpg", "caption")
    journal.close()


def test_reading_writes_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.remember_answer("k", "dog", "{}", "a dog", "")
    journal.close()
    (tmp_path / "empty").touch()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, found in (("journal", "{}"), ("empty", None)):
        reading = Journal(tmp_path / name, reading=True)
        assert reading.answer("k") == found
        reading.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_process_with_the_number_of_a_killed_one_forgets_its_claims(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    living = Journal(tmp_path / "journal")
    other.kill()
    other.wait()
    follower = Journal(tmp_path / "journal")
    assert follower.broken_off
    follower.begin()
    assert living.claim("/photos/a.jpg", "caption")
    follower.close()
    living.close()


def test_words_are_found_whatever_their_accents_and_case(journal: Journal) -> None:
    journal.remember_file("/dog.jpg", 1, 1, "dog")
    journal.remember_file("/again.jpg", 1, 1, "dog")
    journal.remember_file("/cat.jpg", 1, 1, "cat")
    journal.remember_answer("k1", "dog", "{}", "A dog at the Café", "animal beach")
    journal.remember_answer("k2", "cat", "{}", "a cat", "animal")
    assert [path for path, _, _ in journal.search("CAFE dog")] == ["/again.jpg", "/dog.jpg"]
    assert {path for path, _, _ in journal.search("animal")} == {"/dog.jpg", "/again.jpg", "/cat.jpg"}
    with pytest.raises(sqlite3.Error):
        [*journal.search('"')]


def test_what_fails_within_a_block_leaves_nothing(journal: Journal) -> None:
    def fail() -> None:
        with journal.writing():
            journal.set_length("out", 5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert journal.length("out") is None


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff" * 100)
    with pytest.raises(NoOutput, match="cannot be written"):
        Journal(tmp_path / "photo.jpg")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(NoOutput, match="another version"):
        Journal(tmp_path / "newer")
