"""Converted networks on disk: found again, made again when they cannot be used, and needing no torch."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from models.backends import cache as cache_module
from models.base import Job, Placement
from models.errors import ModelUnavailable
from models.families.blip import MODELS
from tests.fakes import wait_until
from tests.server import ROOT

BLIP = MODELS[0]


@pytest.fixture(scope="module")
def filled(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds blip-base."""
    cache = tmp_path_factory.mktemp("cache")
    BLIP.load(checkpoints["blip-base"], Placement("cpu", "float32", cache=cache))
    return cache


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def said(directory: Path, cache: Path | None, picture: Image.Image, runtime: str = "auto") -> str:
    loaded = BLIP.load(directory, Placement("cpu", "float32", runtime, cache))
    return loaded.predict([Job(picture)])[0].text


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


@pytest.mark.parametrize("start", ["first", "second"])
def test_no_start_imports_torch_or_transformers(checkpoints: dict[str, Path], cache: Path, start: str) -> None:
    if start == "first":
        # The conversion then runs in a process of its own, and takes its memory along when it ends.
        shutil.rmtree(cache)
    code = (
        "import sys; from pathlib import Path; from PIL import Image; from models.families.blip import MODELS; "
        "from models.base import Job, Placement; "
        f"loaded = MODELS[0].load(Path({str(checkpoints['blip-base'])!r}), "
        f"Placement('cpu', 'float32', cache=Path({str(cache)!r}))); "
        "print(loaded.predict([Job(Image.new('RGB', (90, 60), 'red'))])[0].text); "
        "print(sorted({'torch', 'transformers', 'rapidocr', 'cv2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    text, modules = result.stdout.splitlines()
    assert modules == "[]"
    assert text == said(checkpoints["blip-base"], None, Image.new("RGB", (90, 60), "red"), "torch")
    assert len(entries(cache)) == 1


def test_a_conversion_outlives_the_service_only_until_it_is_done(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    # A program without `if __name__ == "__main__"`, as people write them.
    program = tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path; from models.families.blip import MODELS; from models.base import Placement; "
        f"MODELS[0].load(Path({str(checkpoints['blip-base'])!r}), "
        f"Placement('cpu', 'float32', cache=Path({str(tmp_path / 'cache')!r})))"
    )
    service = psutil.Popen([sys.executable, str(program)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    wait_until(lambda: len(service.children()) == 1, 60)
    started = service.children()
    service.kill()
    service.wait(10)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
    assert len(entries(tmp_path / "cache")) == 1


WITHOUT_MEMORY = """
import sys
sys.path[:] = {path!r}
from models.backends import cache

def convert(*_):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

cache._convert = convert
cache.main(*sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ("os.kill(os.getpid(), 9)", MemoryError),
        (WITHOUT_MEMORY, MemoryError),
        ("raise ValueError('no such tensor')", ModelUnavailable),
    ],
)
def test_a_conversion_that_fails(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(cache_module, "_PROGRAM", f"import os\n{ends}")
    # As in a service, in which torch is not imported.
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(error, match="convert"):
        BLIP.load(checkpoints["blip-base"], Placement("cpu", "float32", cache=tmp_path))
    assert entries(tmp_path) == []


@pytest.mark.parametrize("damage", ["shorter weights", "no network", "other json", "no json", "an empty folder"])
def test_what_cannot_be_used_is_made_again(
    checkpoints: dict[str, Path], cache: Path, pictures: list[Image.Image], damage: str
) -> None:
    (entry,) = entries(cache)
    if damage == "shorter weights":
        os.truncate(entry / "decoder.bin", 1000)
    elif damage == "no network":
        (entry / "encoder.xml").unlink()
    elif damage == "other json":
        (entry / "about.json").write_text(json.dumps({"sizes": {}}))
    elif damage == "no json":
        (entry / "about.json").write_bytes(b"\x00\xff")
    else:
        shutil.rmtree(entry)
        entry.mkdir()
    whole = said(checkpoints["blip-base"], cache, pictures[0])
    assert whole == said(checkpoints["blip-base"], None, pictures[0], "torch")
    assert entries(cache) == [entry]
    assert (entry / "decoder.bin").stat().st_size > 1000


def test_a_full_disk_leaves_nothing_half_and_the_model_is_loaded_all_the_same(
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pictures: list[Image.Image],
) -> None:
    def save(network: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        # As OpenVINO says it.
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr("openvino.save_model", save)
    importlib.import_module("torch")
    assert said(checkpoints["blip-base"], tmp_path, pictures[0])
    assert "converted networks are not kept: " in caplog.text
    assert entries(tmp_path) == []


def test_too_little_memory_to_read_it_is_no_reason_to_make_it_again(
    checkpoints: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise RuntimeError("Exception from src/inference/core.cpp: std::bad_alloc")

    monkeypatch.setattr(cache_module, "_read", read)
    (entry,) = entries(cache)
    with pytest.raises(RuntimeError, match="bad_alloc"):
        BLIP.load(checkpoints["blip-base"], Placement("cpu", "float32", cache=cache))
    assert (entry / "about.json").exists()


def test_hashes_that_cannot_be_kept_do_no_harm(
    checkpoints: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "hashes.json").unlink()
    (cache / "hashes.json").mkdir()
    # Nothing is converted.
    monkeypatch.setattr(cache_module, "_convert", None)
    assert BLIP.load(checkpoints["blip-base"], Placement("cpu", "float32", cache=cache))


def test_other_weights_are_another_entry(
    checkpoints: dict[str, Path], cache: Path, pictures: list[Image.Image], tmp_path: Path
) -> None:
    said(checkpoints["blip-large"], cache, pictures[0])
    assert len(entries(cache)) == 2
    # The same weights elsewhere are not.
    moved = shutil.copytree(checkpoints["blip-base"], tmp_path / "elsewhere")
    said(moved, cache, pictures[0])
    assert len(entries(cache)) == 2


def test_replaced_weights_leave_nothing_behind(
    checkpoints: dict[str, Path], tmp_path: Path, pictures: list[Image.Image]
) -> None:
    directory, cache = tmp_path / "model", tmp_path / "cache"
    shutil.copytree(checkpoints["blip-base"], directory)
    said(directory, cache, pictures[0])
    (old,) = entries(cache)
    shutil.rmtree(directory)
    shutil.copytree(checkpoints["blip-large"], directory)
    assert said(directory, cache, pictures[0]) == said(directory, None, pictures[0], "torch")
    (new,) = entries(cache)
    assert new != old


def test_another_revision_on_the_hub_replaces_the_one_before(
    checkpoints: dict[str, Path], tmp_path: Path, pictures: list[Image.Image]
) -> None:
    snapshots, cache = tmp_path / "models--some--model" / "snapshots", tmp_path / "cache"
    for revision, name in (("a" * 40, "blip-base"), ("b" * 40, "blip-large")):
        shutil.copytree(checkpoints[name], snapshots / revision)
        said(snapshots / revision, cache, pictures[0])
        assert len(entries(cache)) == 1


def test_what_another_version_made_of_the_same_weights_is_removed(
    checkpoints: dict[str, Path], cache: Path, pictures: list[Image.Image]
) -> None:
    loaded = BLIP.load(checkpoints["blip-base"], Placement("cpu", "float32", cache=cache))
    (entry,) = entries(cache)
    entry.rename(cache / "blip-anotherversion")
    # Versions before this one did not write what an entry is made from.
    first = Path(shutil.copytree(cache / "blip-anotherversion", cache / "blip-first-version"))
    about = json.loads((first / "about.json").read_text())
    del about["made_from"]
    (first / "about.json").write_text(json.dumps(about))
    others = [cache / "blip-other", cache / "blip", cache / "trocr-other"]
    for other in others:
        other.mkdir()
    about["made_from"] = ["/elsewhere", "float32"]
    (others[0] / "about.json").write_text(json.dumps(about))
    text = said(checkpoints["blip-base"], cache, pictures[0])
    assert entries(cache) == sorted([entry, *others])
    # A service of that version that runs goes on.
    assert loaded.predict([Job(pictures[0])])[0].text == text


def test_what_a_killed_conversion_left_is_swept(
    checkpoints: dict[str, Path], cache: Path, pictures: list[Image.Image]
) -> None:
    (entry,) = entries(cache)
    shutil.rmtree(entry)
    left, in_work = cache / "unfinished-left", cache / "unfinished-in-work"
    for directory in (left, in_work):
        directory.mkdir()
        (directory / "encoder.bin").write_bytes(b"half")
    os.utime(left, (0, 0))
    said(checkpoints["blip-base"], cache, pictures[0])
    assert entries(cache) == [entry, in_work]


@pytest.mark.parametrize("broken", ["hashes", "a file in its place"])
def test_a_cache_that_cannot_be_kept_does_no_harm(
    checkpoints: dict[str, Path], cache: Path, pictures: list[Image.Image], broken: str
) -> None:
    if broken == "hashes":
        (cache / "hashes.json").write_text('["no", "hashes"]')
    else:
        shutil.rmtree(cache)
        cache.write_text("not a directory")
    assert said(checkpoints["blip-base"], cache, pictures[0])
    assert broken == "a file in its place" or len(entries(cache)) == 1


@pytest.mark.parametrize("imported", [True, False])
def test_weights_that_cannot_be_read_are_not_said_to_be_a_cache_that_cannot_be_written(
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    imported: bool,
) -> None:
    directory = Path(shutil.copytree(checkpoints["blip-base"], tmp_path / "blip"))
    (directory / "pytorch_model.bin").unlink()
    if imported:
        importlib.import_module("torch")
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises((ValueError, ModelUnavailable), match="read"):
        BLIP.load(directory, Placement("cpu", "float32", cache=tmp_path / "cache"))
    assert "not kept" not in caplog.text
    assert entries(tmp_path / "cache") == []
