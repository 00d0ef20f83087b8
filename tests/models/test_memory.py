"""Models leave memory: what is idle, or was not used longest when another needs the room; and the memory comes back."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import budget as budget_module
from models import weights
from models.base import Loaded, Placement, Source
from models.budget import MemoryBudget
from models.errors import BudgetExhausted, ModelUnavailable
from models.registry import Entry, Registry, State
from tests.fakes import Fake, fake, wait_until
from tests.server import ROOT


def of_size(directory: Path, name: str, size: int) -> Fake:
    """A model whose weights have so many bytes."""
    folder = directory / name
    folder.mkdir()
    # Safetensors without a tensor: the length of the header, and a header that is mostly spaces.
    (folder / "model.safetensors").write_bytes((size - 8).to_bytes(8, "little") + b"{}".ljust(size - 8))
    return Fake(name, Source(directory=folder)).behave()


def entries(budget: MemoryBudget, *models: Fake) -> list[Entry]:
    return list(Registry(models, Placement(), budget))


def states(some: list[Entry]) -> list[str]:
    return [str(entry.state) for entry in some]


def use(entry: Entry) -> None:
    with entry.in_use():
        pass


def test_the_one_not_used_longest_makes_room(tmp_path: Path) -> None:
    some = entries(MemoryBudget(250), *(of_size(tmp_path, name, 100) for name in "abc"))
    a, b, c = some
    use(a), use(b), use(a), use(c)
    assert states(some) == ["ready", "on_disk", "ready"]
    use(b)
    assert states(some) == ["on_disk", "ready", "ready"]
    assert (a.model.loads, b.model.loads) == (1, 2)  # type: ignore[attr-defined]


def test_as_many_leave_as_must(tmp_path: Path) -> None:
    some = entries(
        MemoryBudget(300), *(of_size(tmp_path, name, 100) for name in "abc"), of_size(tmp_path, "large", 250)
    )
    for entry in some:
        use(entry)
    assert states(some) == ["on_disk", "on_disk", "on_disk", "ready"]


def test_larger_than_the_limit_fails_and_displaces_nothing(tmp_path: Path) -> None:
    some = entries(MemoryBudget(150), of_size(tmp_path, "small", 100), of_size(tmp_path, "large", 151))
    use(some[0])
    with pytest.raises(ModelUnavailable, match="MAX_MODEL_MEMORY_MB"):
        use(some[1])
    assert [entry.state for entry in some] == [State.READY, State.FAILED]


def test_a_model_in_use_is_waited_for(tmp_path: Path) -> None:
    busy, other = entries(MemoryBudget(150), of_size(tmp_path, "busy", 100), of_size(tmp_path, "other", 100))
    with ThreadPoolExecutor(1) as pool:
        with busy.in_use():
            waiting = pool.submit(use, other)
            wait_until(lambda: other.state is State.LOADING)
            time.sleep(0.05)
            assert (busy.state, other.state) == (State.READY, State.LOADING)
        waiting.result(10)
    assert states([busy, other]) == ["on_disk", "ready"]


def test_a_model_that_is_never_idle_keeps_nobody_out(tmp_path: Path) -> None:
    busy, other = entries(MemoryBudget(150), of_size(tmp_path, "busy", 100), of_size(tmp_path, "other", 100))
    end = threading.Event()

    def use_again_and_again() -> None:
        while not end.is_set():
            with busy.in_use():
                time.sleep(0.005)

    with ThreadPoolExecutor(2) as pool:
        try:
            pool.submit(use_again_and_again)
            wait_until(lambda: busy.loaded is not None)
            pool.submit(use, other).result(10)
        finally:
            end.set()


def test_only_who_is_displaced_waits(tmp_path: Path) -> None:
    some = entries(
        MemoryBudget(150), *(of_size(tmp_path, n, s) for n, s in (("busy", 100), ("small", 10), ("new", 100)))
    )
    busy, small, new = some
    use(small)
    with ThreadPoolExecutor(3) as pool:
        with busy.in_use():
            waiting = pool.submit(use, new)
            wait_until(lambda: new.state is State.LOADING)
            for _ in range(3):
                pool.submit(use, small).result(5)
            again = pool.submit(use, busy)
            time.sleep(0.05)
            assert not waiting.done()
            assert not again.done(), "it would never become idle"
        waiting.result(10)
        again.result(10)
    # What did not have to leave has stayed.
    assert (busy.model.loads, small.model.loads) == (2, 1)  # type: ignore[attr-defined]


def test_each_that_waits_displaces_others(tmp_path: Path) -> None:
    some = entries(MemoryBudget(250), *(of_size(tmp_path, name, 100) for name in "abcd"))
    a, b, c, d = some
    with ThreadPoolExecutor(2) as pool:
        with a.in_use(), b.in_use():
            waiting = [pool.submit(use, entry) for entry in (c, d)]
            wait_until(lambda: {c.state, d.state} == {State.LOADING})
            time.sleep(0.05)
        for each in waiting:
            each.result(10)
    assert states(some) == ["on_disk", "on_disk", "ready", "ready"]


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "PATIENCE", 0.05)
    busy, other = entries(MemoryBudget(150), of_size(tmp_path, "busy", 100), of_size(tmp_path, "other", 100))
    with busy.in_use(), pytest.raises(BudgetExhausted, match=r"other: .*in use"):
        use(other)
    # That was no failure of its own, after which it would not be tried for a while.
    assert (other.state, other.retry_in) == (State.ON_DISK, 0)
    use(other)
    assert states([busy, other]) == ["on_disk", "ready"]


def test_nothing_leaves_where_that_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "PATIENCE", 0.05)
    some = entries(
        MemoryBudget(250), *(of_size(tmp_path, name, 100) for name in ("busy", "idle")), of_size(tmp_path, "large", 200)
    )
    busy, idle, large = some
    use(idle)
    with busy.in_use(), pytest.raises(BudgetExhausted):
        use(large)
    assert states(some) == ["ready", "ready", "on_disk"]
    use(large)
    assert states(some) == ["on_disk", "on_disk", "ready"]


def test_a_failed_load_takes_no_room(tmp_path: Path) -> None:
    def broken() -> None:
        raise OSError("broken")

    bad = of_size(tmp_path, "bad", 100).behave(load=broken)
    some = entries(MemoryBudget(150), of_size(tmp_path, "good", 100), bad)
    with pytest.raises(ModelUnavailable):
        use(some[1])
    use(some[0])
    assert states(some) == ["ready", "failed"]


def test_only_what_is_idle_is_unloaded_and_nothing_holds_it(tmp_path: Path) -> None:
    (entry,) = entries(MemoryBudget(), fake())
    assert not entry.unload(0)
    with entry.in_use() as loaded:
        gone: weakref.ref[Loaded] = weakref.ref(loaded)
        del loaded
        assert not entry.unload(0)
    assert not entry.unload(60)
    assert entry.unload(0)
    gc.collect()
    assert gone() is None
    assert entry.state is State.ON_DISK


def test_many_users_of_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.backends.allocator.release", lambda: None)
    some = entries(MemoryBudget(250), *(of_size(tmp_path, name, 100) for name in "abcd"))

    def visit(number: int) -> None:
        for turn in range(20):
            with some[(number + turn) % 4].in_use() as loaded:
                assert sum(entry.loaded is not None for entry in some) <= 2
                assert loaded is some[(number + turn) % 4].loaded

    with ThreadPoolExecutor(6) as pool:
        for visitor in [pool.submit(visit, number) for number in range(6)]:
            visitor.result(60)


def test_the_weights_that_are_loaded_are_counted(tmp_path: Path) -> None:
    assert weights.size(tmp_path) == 0
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(70))
    assert weights.size(tmp_path) == 70
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(bytes(30))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(bytes(31))
    (tmp_path / "tokenizer.json").write_bytes(bytes(1000))
    assert weights.size(tmp_path) == 61


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_large_blocks_return_to_the_system_when_they_are_freed() -> None:
    # In a process of its own, for it holds for the whole process.
    program = """
import psutil
from models.backends import allocator
allocator.configure()
taken, small = psutil.Process().memory_info().rss, []
for _ in range(4):
    large = b"x" * 20_000_000
    # Behind the large one, so that it does not lie at the end of what is free.
    small.append(b"x" * 100_000)
    del large
print(psutil.Process().memory_info().rss - taken)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 5_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_a_page_took_to_read_is_returned_to_the_system() -> None:
    program = """
import psutil
from PIL import Image
from models.backends import allocator
from models.base import Job, Placement
from models.families.rapidocr import MODELS
allocator.configure()
model = MODELS[0]
loaded = model.load(model.source.directory, Placement())
for size in [(1200, 1600), (900, 2400)]:
    loaded.predict([Job(image=Image.effect_noise(size, 60).convert("RGB"))])
taken = psutil.Process().memory_info().rss
allocator.trim()
print(taken - psutil.Process().memory_info().rss)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 20_000_000
