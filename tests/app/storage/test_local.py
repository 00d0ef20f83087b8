"""Saved images: whole or not there, under names that lead nowhere else."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from app.errors import NotFound, StorageFull
from app.storage.local import LocalStore

DATA = b"not an image, which the store need not know"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "images")
    store.open()
    return store


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
    name = store.put(DATA, SHA256, format)
    assert name == f"{SHA256}.{extension}"
    assert store.find(name) == tmp_path / "images" / name
    assert store.find(name).read_bytes() == DATA


def test_the_same_image_twice_is_one_file(store: LocalStore, tmp_path: Path) -> None:
    name = store.put(DATA, SHA256, "PNG")
    written = store.find(name).stat()
    assert store.put(DATA, SHA256, "PNG") == name
    assert names(tmp_path / "images") == [name]
    assert store.find(name).stat().st_ino == written.st_ino


def test_the_same_image_from_many_threads_is_one_file(store: LocalStore, tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def put() -> None:
        start.wait(10)
        store.put(DATA, SHA256, "PNG")

    threads = [threading.Thread(target=put) for _ in range(8)]
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
    kept = LocalStore(directory).put(DATA, SHA256, "PNG")
    LocalStore(directory).open()
    assert names(directory) == sorted([kept, "README"])


def test_what_is_half_written_cannot_be_found(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "images" / ".partial-0123").write_bytes(b"half an ima")
    with pytest.raises(NotFound):
        store.find(".partial-0123")


def test_delete(store: LocalStore, tmp_path: Path) -> None:
    name = store.put(DATA, SHA256, "PNG")
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
    kept = [store.put(DATA, SHA256, "PNG"), f"{SHA256}.png~"]
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
    with pytest.raises(StorageFull) as caught:
        store.put(DATA, SHA256, "PNG")
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(NotFound):
        store.find(f"{SHA256}.png")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "images").chmod(0o500)
    with pytest.raises(StorageFull):
        store.put(DATA, SHA256, "PNG")
    assert names(tmp_path / "images") == []


def test_a_full_disk_leaves_nothing(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StorageFull, match="No space left on device"):
        store.put(DATA, SHA256, "PNG")
    assert names(tmp_path / "images") == []
    monkeypatch.undo()
    assert store.put(DATA, SHA256, "PNG") == f"{SHA256}.png"


def test_an_image_that_cannot_be_removed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    name = store.put(DATA, SHA256, "PNG")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFull):
        store.delete(name)
