"""Downloads: states and progress on the way, a hub that is gone, a download that was broken off."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.app.api.test_native import INVOICE, SMALL, assert_problem
from tests.hub import COMMIT, Hub
from tests.server import Server

REPOSITORY = "Salesforce/blip-image-captioning-base"


@pytest.fixture
def hub(checkpoints: dict[str, Path]) -> Iterator[Hub]:
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
    assert (answer.status_code, answer.json()["model"]) == (200, "flickr8k-gru"), "others go on"
    assert server.get("/readyz").ok

    hub.release.set()
    entry = server.wait_for_state("blip-base", "ready")
    assert (entry["progress"], entry["error"], entry["device"], entry["precision"]) == (None, None, "cpu", "float32")
    assert server.generate(SMALL).json()["model"] == "blip-base", "the better default is taken when it is there"
    downloaded = [line for line in hub.requests if "pytorch_model.bin" in line and line.startswith("GET")]
    assert len(downloaded) == 1

    # What is on disk needs no hub the next time.
    server.kill()
    hub.close()
    again = Server(server.directory, hf_endpoint=hub.url, hf_hub_offline="0")
    try:
        assert again.state("blip-base")["state"] == "on_disk"
        assert again.generate(SMALL).json()["model"] == "blip-base"
    finally:
        again.kill()


def test_preload_downloads_and_loads_at_start(make_server: Callable[..., Server], hub: Hub) -> None:
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0", preload="blip-base")
    server.wait_for_state("blip-base", "ready")
    assert server.get("/readyz").json() == {"status": "ready", "model": "blip-base"}


def test_a_pinned_revision_is_what_is_asked_for(make_server: Callable[..., Server], hub: Hub) -> None:
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0", model_revisions=f"blip-base={COMMIT}")
    server.post("/models/blip-base/load")
    assert server.wait_for_state("blip-base", "ready")["revision"] == COMMIT
    asked = [line for line in hub.requests if "/revision/" in line or "/resolve/" in line]
    assert asked
    assert all(COMMIT in line for line in asked)


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
    assert server.get("/readyz").json()["model"] == "flickr8k-gru", "a failed download never keeps it from being ready"
    assert_problem(server.generate(SMALL, model="blip-base"), 503)
    assert server.generate(SMALL).json()["model"] == "flickr8k-gru"


def test_a_hub_that_says_nothing_is_found_out_in_seconds(make_server: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        server = make_server(hf_endpoint=url, hf_hub_offline="0", preload="blip-base")
        server.wait_for_state("blip-base", "failed", seconds=20)
        assert time.monotonic() - started < 15


def test_a_repository_that_is_not_there(make_server: Callable[..., Server], hub: Hub) -> None:
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0")
    assert server.post("/models/t5-tags/load").status_code == 202
    assert "answered 404" in server.wait_for_state("t5-tags", "failed")["error"]


def test_a_download_that_was_broken_off_is_completed(
    make_server: Callable[..., Server], hub: Hub, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    hub.release.clear()
    server = make_server(hf_endpoint=hub.url, hf_hub_offline="0", hf_home=tmp_path)
    server.post("/models/blip-base/load")
    while not server.wait_for_state("blip-base", "downloading")["progress"]:
        time.sleep(0.02)
    server.kill()
    hub.release.set()
    again = make_server(hf_endpoint=hub.url, hf_hub_offline="0", hf_home=tmp_path)
    assert again.state("blip-base")["state"] == "absent"
    assert again.post("/models/blip-base/load").json()["state"] in ("absent", "downloading")
    again.wait_for_state("blip-base", "ready")
    shutil.rmtree(tmp_path)


def test_load_of_an_unknown_model(server: Server) -> None:
    assert_problem(server.post("/models/nonesuch/load"), 404, "unknown-model")
