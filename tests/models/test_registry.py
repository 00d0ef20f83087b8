"""The registry: what is known, where weights are, states, and MODEL_PATHS."""

import hashlib
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from models import downloads, weights
from models.backends import check_placement
from models.base import Job, Needs, Options, Placement, Source
from models.discovery import discover, with_local_paths, with_revisions
from models.errors import ModelUnavailable, UnknownModel
from models.registry import Entry, Registry, State
from tests.fakes import Fake, fake, registry_of
from tests.server import NETWORKS, ROOT

PUBLISHED = {
    "blip-base": "Salesforce/blip-image-captioning-base",
    "blip-large": "Salesforce/blip-image-captioning-large",
    "kosmos-2": "microsoft/kosmos-2-patch14-224",
    "trocr-large-handwritten": "microsoft/trocr-large-handwritten",
    "trocr-base-handwritten": "microsoft/trocr-base-handwritten",
    "t5-tags": "fabiochiu/t5-base-tag-generation",
    "florence-2-base": "florence-community/Florence-2-base",
    "florence-2-large": "florence-community/Florence-2-large",
    "smolvlm-256m": "HuggingFaceTB/SmolVLM-256M-Instruct",
    "smolvlm-500m": "HuggingFaceTB/SmolVLM-500M-Instruct",
    "smolvlm2-256m": "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
    "smolvlm2-500m": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
    "qwen3.5-0.8b": "Qwen/Qwen3.5-0.8B",
    "qwen3-vl-2b": "Qwen/Qwen3-VL-2B-Instruct",
    "granite-docling-258m": "ibm-granite/granite-docling-258M",
    "lightonocr-2-1b": "lightonai/LightOnOCR-2-1B",
    "paddleocr-vl": "PaddlePaddle/PaddleOCR-VL",
    "kosmos-2.5": "microsoft/kosmos-2.5",
}
UNPINNED = ("t5-tags", "florence-2-base", "florence-2-large", "qwen3.5-0.8b", "qwen3-vl-2b", "granite-docling-258m",
    "lightonocr-2-1b", "paddleocr-vl", "kosmos-2.5")  # fmt: skip


def entry_of(directory: Path) -> Entry:
    """The entry of a model in a directory."""
    return Registry(with_local_paths(discover(), {"mine": directory}).values(), Placement(precision="float32")).entry(
        "mine"
    )


def test_every_published_model_is_found() -> None:
    found = discover()
    assert {name: model.source.hub_id for name, model in found.items() if model.source.hub_id} == PUBLISHED
    for model in found.values():
        assert model.source.license
        # tesseract is installed by the operating system.
        assert model.source.size_bytes or model.name == "tesseract"
        if model.source.hub_id is not None:
            # A changed repository does not change answers; of some, no hash is known.
            pinned = re.fullmatch("[0-9a-f]{40}", model.source.revision or "") and model.source.fallback == "main"
            assert pinned or (model.name in UNPINNED and model.source.revision == "main")


def test_a_family_is_a_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models import families

    (tmp_path / "new_family.py").write_text(
        "from models.base import Source\nfrom models.families.rapidocr import RapidOCR\n"
        "MODELS = (RapidOCR('new', Source()),)\n"
    )
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    assert "new" in discover()
    sys.modules.pop("models.families.new_family")


def test_states_of_a_model_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(discover().values(), Placement(precision="float32"))
    assert registry.entry("rapidocr").state is State.ON_DISK
    with pytest.raises(UnknownModel, match="known: blip-base, "):
        registry.entry("nonesuch")
    assert registry.default_captioner().state is State.ON_DISK


def test_local_paths(checkpoints: dict[str, Path]) -> None:
    known = with_local_paths(discover(), {"blip-base": checkpoints["blip-base"], "mine": checkpoints["t5-tags"]})
    assert known["blip-base"].source.directory == checkpoints["blip-base"]
    assert known["blip-base"].source.license == "BSD-3-Clause"
    assert type(known["mine"]).__name__ == "T5Tags"


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("mine", None, "no config.json"),
        ("mine", "{", "no config.json"),
        ("mine", "[]", "no config.json"),
        ("mine", '{"model_type": "gpt2"}', "gpt2"),
        ("blip-base", '{"model_type": "t5"}', "another family"),
    ],
)
def test_a_wrong_path_is_one_clear_line(tmp_path: Path, name: str, config: str | None, message: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message) as wrong:
        with_local_paths(discover(), {name: tmp_path})
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("shards", [None, '{"weight_map": {"a": "model-1.safetensors"}}'])
def test_a_path_without_weights(tmp_path: Path, shards: str | None) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    if shards:
        (tmp_path / "model.safetensors.index.json").write_text(shards)
    with pytest.raises(ValueError, match=r"mine: .* has no model.safetensors or pytorch_model.bin"):
        with_local_paths(discover(), {"mine": tmp_path})


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="CUDA devices"):
        check_placement(Placement(device="cuda:99"))


@pytest.mark.parametrize("runtime", ["auto", "openvino"])
def test_half_precision_is_not_for_cpus(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    # As in a service; where there can be no GPU, finding out does not bring torch.
    monkeypatch.setattr("models.backends._may_have_gpu", lambda: False)
    monkeypatch.setitem(sys.modules, "models.backends.torch", None)
    with pytest.raises(ValueError, match="float16 is not for CPUs: use one of float32, bfloat16, int8"):
        check_placement(Placement(precision="float16", runtime=runtime))
    check_placement(Placement(precision="bfloat16", runtime=runtime))


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_damaged_weights_fail_with_a_wait(
    tmp_path: Path, checkpoints: dict[str, Path], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    directory = tmp_path / "blip"
    shutil.copytree(checkpoints["blip-large"], directory)
    weights = directory / "model.safetensors"
    entry = entry_of(directory)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "foreign":
        weights.write_bytes(b"not weights at all" * 100)
    else:
        weights.unlink()
    for _ in range(2):
        with pytest.raises(ModelUnavailable) as failed:
            entry.load()
        assert str(tmp_path) not in str(failed.value)
    if damage != "missing":
        (line,) = caplog.records
        assert line.message.startswith("mine: model.safetensors is cut off or damaged: get it again (")
        assert line.exc_info is None
    assert entry.state is State.FAILED
    shutil.copy(checkpoints["blip-large"] / "model.safetensors", weights)
    entry.forget_failure()
    entry.load()
    assert (entry.state, entry.error) == (State.READY, None)


def test_all_models_load_at_once(checkpoints: dict[str, Path]) -> None:
    registry = Registry(with_local_paths(discover(), checkpoints).values(), Placement(precision="float32"))
    entries = [registry.entry(name) for name in checkpoints]
    with ThreadPoolExecutor(len(entries)) as pool:
        loaded = list(pool.map(Entry.load, entries))
    placement = Placement(precision="float32", cache=NETWORKS)
    alone = [entry.model.load(checkpoints[entry.model.name], placement) for entry in entries]
    job = Job(Image.new("RGB", (60, 40), "teal"), "a dog", Options())
    for together, one in zip(loaded, alone, strict=True):
        assert together.predict([job]) == one.predict([job])


def test_a_checkpoint_that_lacks_tensors_is_not_filled_with_noise(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    from safetensors.torch import load_file, save_file

    directory = tmp_path / "blip"
    shutil.copytree(checkpoints["blip-large"], directory)
    tensors = load_file(directory / "model.safetensors")
    some = {name: tensor for name, tensor in tensors.items() if "text_decoder" not in name}
    assert 0 < len(some) < len(tensors)
    save_file(some, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailable):
        entry_of(directory).load()


def test_a_family_judges_the_whole_config(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    config = json.loads((checkpoints["trocr-base-handwritten"] / "config.json").read_text())
    config["decoder"]["model_type"] = "gpt2"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no family here can load"):
        with_local_paths(discover(), {"captioner": tmp_path})


def test_a_family_may_be_a_special_case_of_another(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    class Special(type(discover()["blip-base"])):  # type: ignore[misc]
        model_type = "special-blip"

    directory = Path(shutil.copytree(checkpoints["blip-base"], tmp_path / "special"))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"model_type": "special-blip"}))
    assert type(with_local_paths(discover(), {"mine": directory})["mine"]) is Special


def test_code_in_a_pickle_does_not_run(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    directory = tmp_path / "blip"
    shutil.copytree(checkpoints["blip-base"], directory)
    torch.save({"weight": Evil()}, directory / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable):
        entry_of(directory).load()
    assert not (tmp_path / "ran").exists()


def test_a_config_that_asks_for_its_own_code_is_not_obeyed(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    directory = tmp_path / "blip"
    shutil.copytree(checkpoints["blip-large"], directory)
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    entry_of(directory).load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["none", "changed", "missing", "garbled"])
def test_files_are_compared_with_their_sums(tmp_path: Path, checkpoints: dict[str, Path], damage: str) -> None:
    directory = tmp_path / "blip"
    shutil.copytree(checkpoints["blip-large"], directory)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(directory.iterdir())]
    (directory / "SHA256SUMS").write_text("\n".join(lines) + ("\ngarbled" if damage == "garbled" else "\n"))
    if damage == "changed":
        config = directory / "tokenizer_config.json"
        config.write_text(config.read_text() + " ")
    elif damage == "missing":
        (directory / "vocab.txt").unlink()
    if damage == "none":
        assert entry_of(directory).load().device == "cpu"
    else:
        with pytest.raises(ModelUnavailable, match="SHA256SUMS"):
            entry_of(directory).load()


def test_the_weights_that_come_with_the_project_have_their_sums() -> None:
    for directory in (ROOT / "models" / "weights").glob("*/"):
        listed = {line.split(maxsplit=1)[1] for line in (directory / "SHA256SUMS").read_text().splitlines()}
        files = {path.name for path in directory.iterdir() if path.suffix in (".safetensors", ".json", ".txt")}
        assert files, directory
        assert files <= listed
        assert not list(directory.glob("*.bin")), "safetensors only"


def test_a_revision_can_be_pinned() -> None:
    known = with_revisions(discover(), {"blip-base": "0123abc"})
    assert known["blip-base"].source.revision == "0123abc"
    assert known["blip-large"] == discover()["blip-large"]
    for name in ("nonesuch", "rapidocr"):
        with pytest.raises(ValueError, match=name):
            with_revisions(discover(), {name: "v1"})


def test_the_identity_is_that_of_the_weights(tmp_path: Path) -> None:
    directory = tmp_path / "trained"
    directory.mkdir()
    (directory / "pytorch_model.bin").write_bytes(b"weights")

    def started() -> Entry:
        return registry_of(Fake("fake", Source(directory=directory)).behave()).entry("fake")

    running = started()
    before = running.identity
    assert started().identity == before
    # Trained again: the weights in memory are the old ones until they are loaded.
    (directory / "pytorch_model.bin").write_bytes(b"better weights")
    assert running.identity == before
    assert started().identity != before
    running.load()
    assert running.identity == started().identity
    # Where the sums are known, another copy of the same files is the same.
    (directory / "SHA256SUMS").write_text("")
    moved = shutil.copytree(directory, tmp_path / "moved")
    entry = registry_of(Fake("fake", Source(directory=moved)).behave()).entry("fake")
    assert entry.identity == started().identity


@pytest.mark.parametrize(("asked", "waits"), [(3600.0, 3600.0), (5.0, 30.0)])
def test_a_failed_model_waits_as_long_as_the_hub_asks(asked: float, waits: float) -> None:
    def load() -> None:
        raise ModelUnavailable("the hub answered 429", asked)

    entry = registry_of(fake(load=load)).entry("fake")
    with pytest.raises(ModelUnavailable) as failed:
        entry.load()
    assert failed.value.retry_after == waits
    assert waits - 10 < entry.retry_in <= waits


def test_load_is_once_for_all_callers() -> None:
    model = fake()
    entry = registry_of(model).entry("fake")
    assert entry.load() is entry.load()
    assert model.loads == 1


def test_after_a_download_was_stopped_other_errors_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def download(source: Source, report: Callable[[float], None], needs: Needs) -> Path:
        assert entry.stop_download()
        report(0.5)
        return tmp_path

    def load() -> None:
        raise ValueError("damaged")

    monkeypatch.setattr(weights, "find", lambda source, needs: None)
    monkeypatch.setattr(downloads, "download", download)
    entry = registry_of(Fake("fake", Source("a/fake")).behave(load=load)).entry("fake")
    with pytest.raises(ModelUnavailable, match="its download was stopped"):
        entry.load()
    monkeypatch.setattr(weights, "find", lambda source, needs: tmp_path)
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        entry.load()
    assert entry.retry_in > 0


def test_the_old_default_answers_until_the_new_one_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here: set[str | None] = set()
    loading, defaults = threading.Event(), []

    def download(source: Source, report: Callable[[float], None], needs: Needs) -> Path:
        defaults.append(registry.default_captioner().model.name)
        here.add(source.hub_id)
        return tmp_path

    def load() -> None:
        defaults.append(registry.default_captioner().model.name)
        assert new.state is State.LOADING
        loading.set()

    monkeypatch.setattr(weights, "find", lambda source, needs: tmp_path if source.hub_id in {None, *here} else None)
    monkeypatch.setattr(downloads, "download", download)
    registry = registry_of(Fake("blip-base", Source("a/blip")).behave(load=load), fake("efficientnet-gru"))
    new = registry.entry("blip-base")
    new.load()
    assert loading.is_set()
    assert defaults == ["efficientnet-gru", "efficientnet-gru"]
    assert registry.default_captioner() is new
    # One that comes back into memory is waited for.
    assert new.unload()
    assert registry.default_captioner() is new
