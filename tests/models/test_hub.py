"""Downloads: from an empty cache to text, progress, a hub that is gone or slow, a download that was broken off."""

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import torch
from PIL import Image

from models import downloads, weights
from models.base import Source
from models.discovery import discover
from models.errors import ModelUnavailable
from tests.app.api.test_native import INVOICE, SMALL, assert_problem
from tests.conftest import encoded
from tests.hub import COMMIT, Hub
from tests.server import Server

REPOSITORY = "Salesforce/blip-image-captioning-base"


@pytest.fixture
def hub(checkpoints: dict[str, Path], model_paths: str) -> Iterator[Hub]:
    running = Hub({REPOSITORY: checkpoints["blip-base"]})
    yield running
    running.close()


def test_a_model_is_downloaded_at_its_first_request(make_server: Callable[..., Server], hub: Hub) -> None:
    hub.release.clear()
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0")
    assert server.state("blip-base")["state"] == "absent"
    assert hub.requests == [], "nothing is asked of the hub before it is needed"

    assert_problem(server.generate(SMALL, model="blip-base"), 503)
    entry = server.wait_for_state("blip-base", "downloading")
    while not 0 < (entry["progress"] or 0) < 1:
        entry = server.wait_for_state("blip-base", "downloading")
    assert f"downloading {REPOSITORY}" in server.log
    assert "downloaded" in assert_problem(server.generate(SMALL, model="blip-base"), 503)["detail"]
    answer = server.generate(INVOICE)
    assert (answer.status_code, answer.json()["model"]) == (200, "efficientnet-gru"), "others go on"
    assert server.get("/readyz").ok

    hub.release.set()
    entry = server.wait_for_state("blip-base", "ready")
    assert (entry["progress"], entry["error"], entry["device"], entry["precision"]) == (None, None, "cpu", "float32")
    assert server.generate(SMALL).json()["model"] == "blip-base", "the better default is taken when it is there"
    assert server.log.count(f"downloading {REPOSITORY}") == 1

    # What is on disk needs no hub the next time.
    server.kill()
    hub.close()
    again = Server(server.directory, hf_endpoint=hub.url, hf_hub_offline="0")
    try:
        assert again.state("blip-base")["state"] == "on_disk"
        assert again.generate(SMALL).json()["model"] == "blip-base"
    finally:
        again.kill()


def test_who_may_have_models_downloaded(make_server: Callable[..., Server], hub: Hub) -> None:
    settings = {"hf_endpoint": hub.url, "hf_hub_offline": "0", "trusted_proxies": "127.0.0.1", "rate_limit": "none"}
    server = make_server(**settings)
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}

    def ask(**options: str) -> requests.Response:
        return server.post("/generate-text", data=SMALL, params=options, headers=elsewhere)

    for refused in (
        server.post("/models/blip-base/load", headers=elsewhere),
        ask(model="blip-base"),
        server.post("/generate-tags", json={"text": "a", "tagger": "t5-tags"}, headers=elsewhere),
    ):
        assert "MODELS_ALLOWED" in assert_problem(refused, 403, "download-forbidden")["detail"]
    (warning,) = ask(tags="true", tagger="t5-tags").json()["warnings"]
    assert "MODELS_ALLOWED" in warning
    assert server.post("/models/rapidocr/load", headers=elsewhere).status_code == 202, "it is here"
    assert hub.requests == []
    # A caller on this machine starts it, and others may ask for what is on its way.
    hub.release.clear()
    assert server.post("/models/blip-base/load").status_code == 202
    server.wait_for_state("blip-base", "downloading")
    assert_problem(ask(model="blip-base"), 503)


def test_models_that_are_named_may_be_downloaded_by_all(make_server: Callable[..., Server], hub: Hub) -> None:
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0", models_allowed="blip-base")
    chat = {"model": "kosmos-2", "messages": [{"role": "user", "content": "hello"}], "prompt": "", "images": []}
    assert_problem(server.post("/models/kosmos-2/load"), 403, "download-forbidden")
    assert server.post("/api/generate", json=chat).status_code == 404
    assert hub.requests == []
    # Ollama's clients load a model so.
    hub.release.clear()
    assert server.post("/api/generate", json=chat | {"model": "blip-base"}).ok
    server.wait_for_state("blip-base", "downloading")
    # And take it back so.
    assert server.post("/api/generate", json=chat | {"model": "blip-base", "keep_alive": 0}).ok
    hub.release.set()
    server.wait_for_state("blip-base", "absent")


def test_a_hub_that_refuses_is_found_out_in_seconds_and_said_in_one_line(make_server: Callable[..., Server]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        server = make_server(hf_endpoint=url, hf_hub_offline="0", preload="blip-base")
        entry = server.wait_for_state("blip-base", "failed", seconds=10)
    assert "could not be reached" in entry["error"]
    assert len([line for line in server.log.splitlines() if "could not be reached" in line]) == 1
    assert "downloading" not in server.log
    assert "log" not in entry["error"]
    assert "Traceback" not in server.log
    assert server.get("/readyz").json()["model"] == "efficientnet-gru", (
        "a failed download does not keep it from being ready"
    )
    assert_problem(server.generate(SMALL, model="blip-base"), 503)
    assert server.generate(SMALL).json()["model"] == "efficientnet-gru"


def test_a_download_that_was_killed_goes_on_where_it_was(
    make_server: Callable[..., Server], hub: Hub, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    # The client writes 10 MiB at a time.
    chunk, large = 10 * 2**20, tmp_path / "large"
    shutil.copytree(checkpoints["blip-base"], large)
    tensors = torch.load(large / "pytorch_model.bin", weights_only=True)
    torch.save(tensors | {"unused": torch.zeros(chunk)}, large / "pytorch_model.bin")
    hub.repositories[REPOSITORY] = large
    size = (large / "pytorch_model.bin").stat().st_size
    hub.release.clear()
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0", hf_home=tmp_path)
    server.post("/models/blip-base/load")
    server.wait_for_state("blip-base", "downloading")
    # Progress tells what has come, which is not yet on the disk.
    kept, deadline = 0, time.monotonic() + 60
    while not kept and time.monotonic() < deadline:
        time.sleep(0.02)
        kept = sum(part.stat().st_size for part in tmp_path.rglob("*.part.incomplete"))
    server.kill()
    (part,) = tmp_path.rglob("*.part.incomplete")
    kept = part.stat().st_size
    hub.release.set()
    again = make_server(hf_endpoint=hub.url, hf_hub_offline="0", hf_home=tmp_path)
    assert again.state("blip-base")["state"] == "absent"
    hub.sent.clear()
    again.post("/models/blip-base/load")
    # Its sum was right, then.
    again.wait_for_state("blip-base", "loading", "ready", seconds=200)
    assert kept > 0
    assert hub.sent["pytorch_model.bin"] == size - kept, "what has come does not come again"
    assert not list(tmp_path.rglob("*.incomplete"))


def test_from_an_empty_cache_to_text(
    make_server: Callable[..., Server], checkpoints: dict[str, Path], pictures: list[Image.Image], model_paths: str
) -> None:
    sources = {name: discover()[name].source for name in checkpoints}
    hub = Hub({str(source.hub_id): checkpoints[name] for name, source in sources.items()})
    settings = {"hf_endpoint": hub.url, "hf_hub_offline": "0", "preload": ",".join(checkpoints)}
    # Of some the hash is not known, so their branch is what is asked for unless somebody pins it.
    revisions = {name: COMMIT if source.revision == "main" else source.revision for name, source in sources.items()}
    settings["model_revisions"] = ",".join(f"{name}={COMMIT}" for name, at in revisions.items() if at == COMMIT)

    def texts(server: Server) -> dict[str, str]:
        said = {}
        for name in sources:
            entry = server.wait_for_state(name, "ready", "failed", seconds=200)
            assert (entry["state"], entry["revision"]) == ("ready", revisions[name]), entry
            if name == "t5-tags":
                answer = server.post("/generate-tags", json={"text": "a dog on a hill", "tagger": name})
            else:
                line = {"segment": "none"} if name.startswith("trocr") else {}
                answer = server.generate(encoded(pictures[0]), model=name, **line)
            assert answer.status_code == 200, answer.text
            said[name] = str(answer.json()["tags" if name == "t5-tags" else "text"])
        return said

    try:
        server = make_server(**settings, runtime="openvino")
        said = texts(server)
        assert all(said.values())
        assert server.get("/readyz").json() == {"status": "ready", "model": "blip-large"}
        asked = [line for line in hub.requests if "/revision/" in line or "/resolve/" in line]
        assert not [line for line in asked if "main" in line], "what is pinned is what is asked for"
        assert "training_args.bin" not in hub.sent
        assert not re.search("LOAD REPORT|tied|Traceback", server.log), "nothing of what a user can do nothing about"
        server.stop()
        hub.requests.clear()
        # The cache stays: a second start, on the other backend, says the same.
        assert texts(make_server(**settings, runtime="torch", hf_home=server.directory / "hub")) == said
        assert hub.requests == [], "a second start asks nothing of the hub"
    finally:
        hub.close()


def test_load_of_an_unknown_model(server: Server) -> None:
    assert_problem(server.post("/models/nonesuch/load"), 404, "unknown-model")


@pytest.fixture
def cache(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this process, whose client asks the hub of the tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for module in ("huggingface_hub.constants", "huggingface_hub.hf_api", "huggingface_hub.file_download"):
        __import__(module)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.url)
    return tmp_path


BLIP = discover()["blip-base"]


def test_progress_runs_from_0_to_100_and_what_is_missing_is_completed(hub: Hub, cache: Path) -> None:
    seen: list[float] = []
    path = downloads.download(BLIP.source, seen.append, BLIP.files)
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.5
    assert seen[-1] == 1.0
    assert weights.find(BLIP.source, BLIP.files) == path
    for name in ("tokenizer_config.json", "vocab.txt", "preprocessor_config.json"):
        (path / name).unlink()
    assert weights.missing(path, BLIP.files) == [
        "preprocessor_config.json or processor_config.json",
        "tokenizer.json or vocab.txt",
    ]
    assert weights.find(BLIP.source, BLIP.files) is None
    hub.sent.clear()
    downloads.download(BLIP.source, seen.append, BLIP.files)
    assert weights.find(BLIP.source, BLIP.files) == path
    assert "pytorch_model.bin" not in hub.sent


def test_offline_the_missing_file_is_named(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = downloads.download(BLIP.source, lambda _: None, BLIP.files)
    (path / "vocab.txt").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match=r"lacks tokenizer\.json or vocab\.txt"):
        downloads.download(BLIP.source, lambda _: None, BLIP.files)


@pytest.mark.parametrize(
    ("statuses", "says"),
    [([401], "HF_TOKEN"), ([403], "HF_TOKEN"), ([500] * 9, "answered 500"), ([429], None), ([503, 500], None)],
)
def test_what_the_hub_refuses(hub: Hub, cache: Path, statuses: list[int], says: str | None) -> None:
    hub.refuse = [(status, "0") for status in statuses]
    if says is None:
        assert downloads.download(BLIP.source, lambda _: None, BLIP.files)
        return
    with pytest.raises(ModelUnavailable, match=says):
        downloads.download(BLIP.source, lambda _: None, BLIP.files)


def test_files_that_need_a_token(hub: Hub, cache: Path) -> None:
    hub.gated = True
    with pytest.raises(ModelUnavailable, match=rf"answered 403 for {REPOSITORY}: .* set HF_TOKEN"):
        downloads.download(BLIP.source, lambda _: None, BLIP.files)


def test_a_repository_that_is_not_there(hub: Hub, cache: Path) -> None:
    source = discover()["t5-tags"].source
    with pytest.raises(ModelUnavailable, match="answered 404 for fabiochiu/t5-base-tag-generation"):
        downloads.download(source, lambda _: None)


def test_a_hub_that_says_nothing_is_found_out_in_seconds(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert downloads._TIMEOUT <= 10
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ModelUnavailable, match="could not be reached"):
            downloads.download(BLIP.source, lambda _: None, BLIP.files)
        assert time.monotonic() - started < 5


def test_a_slow_hub_is_not_away(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts from the last byte that came: an answer may take longer than that in all."""
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.6)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.6)
    hub.pause = 0.25
    assert weights.missing(downloads.download(BLIP.source, lambda _: None, BLIP.files), BLIP.files) == []


def test_a_connection_that_is_cut_is_taken_up_again(hub: Hub, cache: Path) -> None:
    hub.cut = 1
    weights_file = downloads.download(BLIP.source, lambda _: None, BLIP.files) / "pytorch_model.bin"
    assert hub.cut == 0
    assert weights_file.read_bytes() == (hub.repositories[REPOSITORY] / "pytorch_model.bin").read_bytes()


def test_a_revision_that_is_gone(hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub.revisions = {"main", COMMIT}
    path = downloads.download(BLIP.source, lambda _: None, BLIP.files)
    assert path.name == COMMIT
    assert f"no revision {BLIP.source.revision}" in caplog.text
    assert weights.find(BLIP.source, BLIP.files) == path
    with pytest.raises(ModelUnavailable, match="no revision nonesuch"):
        downloads.download(Source(REPOSITORY, "nonesuch"), lambda _: None)


def test_files_are_chosen_as_the_loader_takes_them(
    hub: Hub, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = tmp_path_factory.mktemp("repository")
    index = json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}})
    for name in (
        *("adapter_model.safetensors", "tf_model.h5", "training_args.bin", "chat_template.jinja", "config.json"),
        "pytorch_model-00001-of-00001.bin",
    ):
        (repository / name).write_text(name)
    (repository / "pytorch_model.bin.index.json").write_text(index)
    (repository / "onnx").mkdir()
    (repository / "onnx" / "config.json").write_text("{}")
    hub.repositories["a/b"] = repository
    path = downloads.download(Source("a/b"), lambda _: None)
    assert {file.name for file in path.iterdir()} == {
        "config.json",
        "chat_template.jinja",
        "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00001.bin",
    }
    # Where there are both, as of trocr-base-handwritten, safetensors are enough.
    (repository / "model.safetensors").write_text("{}")
    downloads.download(Source("a/b", "0" * 40), lambda _: None)
    assert "model.safetensors" in hub.sent
    assert hub.sent["pytorch_model-00001-of-00001.bin"] == len("pytorch_model-00001-of-00001.bin")
