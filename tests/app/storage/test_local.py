"""Saved images: whole or not there, under names that lead nowhere else."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound, StorageFailed, StorageFull
from app.storage.local import LocalStore
from tests.server import ROOT

DATA = b"not an image, which the store need not know"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "images")
    store.open()
    return store


def put(store: LocalStore, data: bytes, sha256: str, format: str) -> str:
    """Keep an image as a request does that ends well."""
    with store.keep(data, sha256, format) as name:
        return name


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("format", "extension"),
    [
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
        ("AVIF", "avif"),
        ("HEIF", "heic"),
    ],
)
def test_an_image_is_kept_under_its_hash(store: LocalStore, tmp_path: Path, format: str, extension: str) -> None:
    name = put(store, DATA, SHA256, format)
    assert name == f"{SHA256}.{extension}"
    assert store.find(name) == tmp_path / "images" / name
    assert store.find(name).read_bytes() == DATA


def test_another_copy_may_remove_files_while_this_one_starts(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = put(store, DATA, SHA256, "PNG")
    touch, iterdir = Path.touch, Path.iterdir

    def touched(path: Path) -> None:
        touch(path)
        path.unlink()

    def listed(path: Path) -> Iterator[Path]:
        return iter([*iterdir(path), path / f"{'0' * 64}.png"])

    monkeypatch.setattr(Path, "touch", touched)
    monkeypatch.setattr(Path, "iterdir", listed)
    other = LocalStore(tmp_path / "images")
    other.open()
    assert not caplog.records
    assert [*other._kept] == [name]


def test_the_same_image_twice_is_one_file(store: LocalStore, tmp_path: Path) -> None:
    name = put(store, DATA, SHA256, "PNG")
    written = store.find(name).stat()
    assert put(store, DATA, SHA256, "PNG") == name
    assert names(tmp_path / "images") == [name]
    assert store.find(name).stat().st_ino == written.st_ino


def test_the_same_image_from_many_threads_is_one_file(store: LocalStore, tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def put_at_once() -> None:
        start.wait(10)
        put(store, DATA, SHA256, "PNG")

    threads = [threading.Thread(target=put_at_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert names(tmp_path / "images") == [f"{SHA256}.png"]
    assert store.find(f"{SHA256}.png").read_bytes() == DATA


def test_opening_makes_the_directory_and_sweeps_what_was_half_written(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "images"
    LocalStore(directory).open()
    assert names(directory) == []
    (directory / ".partial-0123").write_bytes(b"half an ima")
    (directory / "README").write_text("kept")
    kept = put(LocalStore(directory), DATA, SHA256, "PNG")
    LocalStore(directory).open()
    assert names(directory) == sorted([kept, "README"])


def test_a_second_instance_leaves_what_the_first_is_writing(store: LocalStore, tmp_path: Path) -> None:
    with store.keep(DATA, SHA256, "PNG") as name:
        open_store(tmp_path / "images")
    assert store.find(name).read_bytes() == DATA


KEEP_AND_WAIT = """
import sys, time
from pathlib import Path
from app.storage.local import LocalStore
with LocalStore(Path(sys.argv[1])).keep(b"half an image", "0" * 64, "PNG"):
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_instance_was_writing_is_swept(store: LocalStore, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEP_AND_WAIT, str(tmp_path / "images")]
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"writing\n"
        (partial,) = names(tmp_path / "images")
        open_store(tmp_path / "images")
        assert names(tmp_path / "images") == [partial]
        other.kill()
    open_store(tmp_path / "images")
    assert names(tmp_path / "images") == []


def open_store(directory: Path) -> None:
    """Open another store on a directory, as a second instance does at its start."""
    LocalStore(directory).open()


def test_where_there_are_no_locks_a_partial_file_goes_after_a_day(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with store.keep(DATA, SHA256, "PNG") as name:
        open_store(tmp_path / "images")
    assert store.find(name).read_bytes() == DATA
    leftover = tmp_path / "images" / ".partial-0123"
    leftover.write_bytes(b"half an ima")
    os.utime(leftover, (time.time() - 90_000,) * 2)
    open_store(tmp_path / "images")
    assert names(tmp_path / "images") == [name]


def test_an_image_that_is_deleted_while_it_comes_again_is_written_anew(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(store, DATA, SHA256, "PNG")
    utime = os.utime

    def delete_first(path: Path, *arguments: Any) -> None:
        monkeypatch.undo()
        store.delete(name)
        utime(path, *arguments)

    monkeypatch.setattr(os, "utime", delete_first)
    assert put(store, DATA, SHA256, "PNG") == name
    assert store.find(name).read_bytes() == DATA


def test_what_is_half_written_cannot_be_found(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "images" / ".partial-0123").write_bytes(b"half an ima")
    with pytest.raises(NotFound):
        store.find(".partial-0123")


def test_delete(store: LocalStore, tmp_path: Path) -> None:
    name = put(store, DATA, SHA256, "PNG")
    store.delete(name)
    assert names(tmp_path / "images") == []
    for call in (store.find, store.delete):
        with pytest.raises(NotFound):
            call(name)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        f"../{SHA256}.png",
        f"{SHA256}.png/../../{SHA256}.png",
        "{directory}/" + f"{SHA256}.png",
        f"{SHA256}.png\0",
        f"{SHA256}.png\n",
        f"{SHA256}",
        f"{SHA256.upper()}.PNG",
        f"{SHA256}.partial",
        f"{SHA256}.png~",
        f"{SHA256[:-1]}/.png",
        ".",
        "..",
        "",
        "x" * 5000,
    ],
)
def test_other_names_are_not_found(store: LocalStore, tmp_path: Path, name: str) -> None:
    outside = [tmp_path / f"{SHA256}.png", tmp_path / "secret.png"]
    for path in outside:
        path.write_bytes(b"secret")
    kept = [put(store, DATA, SHA256, "PNG"), f"{SHA256}.png~"]
    (tmp_path / "images" / kept[1]).write_bytes(b"somebody's backup")
    for call in (store.find, store.delete):
        with pytest.raises(NotFound):
            call(name.format(directory=tmp_path))
    assert all(path.exists() for path in outside)
    assert names(tmp_path / "images") == kept


def test_a_directory_is_not_an_image(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "images" / f"{SHA256}.png").mkdir()
    with pytest.raises(NotFound):
        store.find(f"{SHA256}.png")


@pytest.mark.parametrize("path", ["file/images", "x" * 300], ids=["under a file", "name too long"])
def test_a_directory_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str) -> None:
    (tmp_path / "file").write_text("no directory")
    store = LocalStore(tmp_path / path)
    store.open()
    assert "IMAGES_DIR" in caplog.text
    with pytest.raises(StorageFailed) as caught:
        put(store, DATA, SHA256, "PNG")
    assert str(tmp_path) not in caught.value.detail
    assert caught.value.code == "storage-failed"
    with pytest.raises(NotFound):
        store.find(f"{SHA256}.png")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "images").chmod(0o500)
    with pytest.raises(StorageFailed):
        put(store, DATA, SHA256, "PNG")
    assert names(tmp_path / "images") == []


def test_a_full_disk_leaves_nothing(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode))
    with pytest.raises(StorageFull, match="No space left on device"):
        put(store, DATA, SHA256, "PNG")
    assert names(tmp_path / "images") == []
    monkeypatch.undo()
    assert put(store, DATA, SHA256, "PNG") == f"{SHA256}.png"


def test_an_image_that_cannot_be_removed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    name = put(store, DATA, SHA256, "PNG")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFailed):
        store.delete(name)


# What is too much, or too old


def image(number: int, size: int = 100) -> tuple[bytes, str, str]:
    """Return the bytes, the hash and the format of an image that is not one."""
    data = bytes([number]) * size
    return data, hashlib.sha256(data).hexdigest(), "PNG"


def name_of(number: int, size: int = 100) -> str:
    return f"{image(number, size)[1]}.png"


def of_age(directory: Path, number: int, seconds: float) -> None:
    """Make an image in a directory that came so long ago."""
    path = directory / name_of(number)
    path.write_bytes(image(number)[0])
    came = time.time() - seconds
    os.utime(path, (came, came))


def test_the_oldest_go_first(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=300)
    store.open()
    for number in range(3):
        put(store, *image(number))
    # One that comes again is as young as any.
    put(store, *image(0))
    put(store, *image(3))
    assert names(tmp_path) == sorted(map(name_of, (0, 2, 3)))
    put(store, *image(4, 250))
    assert names(tmp_path) == [name_of(4, 250)]


def test_what_was_there_at_the_start_counts_by_its_age(tmp_path: Path) -> None:
    for number, seconds in enumerate((10, 30, 20)):
        of_age(tmp_path, number, seconds)
    (tmp_path / "README").write_text("no image" * 1000)
    store = LocalStore(tmp_path, max_bytes=300)
    store.open()
    put(store, *image(9))
    assert names(tmp_path) == sorted(["README", *map(name_of, (0, 2, 9))])


def test_a_smaller_limit_holds_from_the_start(tmp_path: Path) -> None:
    for number, seconds in enumerate((10, 30, 20)):
        of_age(tmp_path, number, seconds)
    LocalStore(tmp_path, max_bytes=150).open()
    assert names(tmp_path) == [name_of(0)]


def test_none_in_use_is_removed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=250, max_age=1000)
    store.open()
    put(store, *image(0))
    with store.keep(*image(0)) as old, store.keep(*image(1)):
        put(store, *image(2))
        assert store.find(old).read_bytes() == image(0)[0]
    # Over the limit while all were in use, and not any more: of two that ended at once the older goes.
    store.tidy()
    assert names(tmp_path) == sorted([name_of(1), name_of(2)])


def test_old_images_go_after_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, seconds in enumerate((10, 3600, 90_000)):
        of_age(tmp_path, number, seconds)
    store = LocalStore(tmp_path, max_age=86_400)
    store.open()
    assert names(tmp_path) == sorted(map(name_of, (0, 1)))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 83_000)
    store.tidy()
    assert names(tmp_path) == [name_of(0)]


def test_a_request_does_not_wait_until_all_old_images_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path, max_age=1000)
    for number in range(40):
        of_age(tmp_path, number, 10)
    store.open()
    now, unlink, removed = time.time(), Path.unlink, threading.Event()

    def unlink_slowly(path: Path, missing_ok: bool = False) -> None:
        removed.set()
        time.sleep(0.05)
        unlink(path, missing_ok)

    monkeypatch.setattr(time, "time", lambda: now + 2000)
    monkeypatch.setattr(Path, "unlink", unlink_slowly)
    tidying = threading.Thread(target=store.tidy)
    tidying.start()
    assert removed.wait(10)
    put(store, *image(99))
    left = len(names(tmp_path))
    tidying.join(10)
    assert left > 20
    assert names(tmp_path) == [name_of(99)]


def test_one_that_is_larger_than_all_that_may_be_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=300)
    store.open()
    put(store, *image(0))
    with pytest.raises(StorageFull, match="MAX_STORE_MB"):
        put(store, *image(1, 301))
    assert names(tmp_path) == [name_of(0)]


def test_an_image_is_kept_only_if_the_request_ends_well(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=250)
    store.open()
    with pytest.raises(NotFound), store.keep(*image(0)) as name:
        # Not before its end.
        store.find(name)
    assert names(tmp_path) == []
    # Nor does it count.
    put(store, *image(1))
    put(store, *image(2))
    assert names(tmp_path) == sorted(map(name_of, (1, 2)))
    # One that was there before stays.
    with pytest.raises(RuntimeError), store.keep(*image(1)):
        raise RuntimeError
    assert name_of(1) in names(tmp_path)


def test_what_a_person_removed_is_not_missed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=250)
    store.open()
    for number in range(2):
        put(store, *image(number))
        (tmp_path / name_of(number)).unlink()
    put(store, *image(2))
    put(store, *image(3))
    assert names(tmp_path) == sorted(map(name_of, (2, 3)))
    store.delete(name_of(2))
    put(store, *image(4))
    assert names(tmp_path) == sorted(map(name_of, (3, 4)))
