"""`i2t models` and `i2t doctor`: what this machine has, fetches and removes, and what to do about what it lacks."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.cli.conftest import Command
from tests.hub import Hub
from tests.server import ROOT

Tried = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tried(tmp_path: Path) -> Tried:
    """Run a command as a process, with a hub's cache of its own: the hub's client reads its settings only once."""

    def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HF_HOME": str(tmp_path / "hub"),
            "PRELOAD": "",
            **settings,
        }
        command = [sys.executable, "-m", "app.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    return run


def test_a_model_is_downloaded_shown_and_removed(tried: Tried, checkpoints: dict[str, Path]) -> None:
    hub = Hub({"Salesforce/blip-image-captioning-base": checkpoints["blip-base"]})
    try:
        fetched = tried("models", "download", "blip-base", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    finally:
        hub.close()
    assert fetched.returncode == 0, fetched.stderr
    assert (Path(fetched.stdout.strip()) / "config.json").is_file()
    assert fetched.stdout.strip() in tried("models", "show", "blip-base").stdout
    assert tried("models", "download", "blip-base").returncode == 5
    removed = tried("models", "remove", "blip-base")
    assert removed.returncode == 0
    assert "freed" in removed.stderr
    assert not Path(fetched.stdout.strip()).exists()
    assert tried("models", "remove", "blip-base").stderr == "i2t: blip-base is not on this machine\n"


def test_a_hub_that_is_away_is_3(tried: Tried) -> None:
    ended = tried("models", "download", "blip-base", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert ended.returncode == 3
    assert "the hub could not be reached" in ended.stderr
    caption = tried("caption", "-m", "blip-base", str(ROOT / "Input" / "sign.jpg"), HF_HUB_OFFLINE="1")
    assert caption.returncode == 3
    assert "HF_HUB_OFFLINE forbids" in caption.stderr


def test_the_list_has_sizes_and_licences(i2t: Command) -> None:
    table = {line.split()[0]: line for line in i2t("models", "list").out.decode().splitlines()}
    assert "here" in table["rapidocr"]
    assert "BSD-3-Clause" in table["blip-base"]
    assert "MB" in table["blip-base"]
    assert i2t("models", "show", "nothing").status == 2
    assert i2t("models", "remove", "efficientnet-gru").status == 1


def test_the_doctor_looks_at_all_and_says_what_to_do(i2t: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("PATH", "/nowhere")
        ended = i2t("doctor")
    assert ended.status == 0
    lines = {line[5:].partition(":")[0]: line for line in ended.out.decode().splitlines()}
    assert lines.keys() >= {"processor", "GPU", "memory", "disk", "models", "hub", "port", "exiftool", "tesseract"}
    assert "PORT chooses another" in lines["port"]
    assert lines["exiftool"].startswith("[--] ")
    assert "apt install libimage-exiftool-perl" in lines["exiftool"]


def test_what_the_service_cannot_do_without_is_1(i2t: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATHS", "mine=/nowhere")
    ended = i2t("doctor")
    assert ended.status == 1
    assert b"[!!] models: MODEL_PATHS: mine: /nowhere is not a directory" in ended.out
    monkeypatch.setenv("MODEL_PATHS", "")
    monkeypatch.setenv("PORT", "many")
    assert i2t("doctor").out.startswith(b"[!!] settings: PORT")


def test_the_doctor_compares_a_model_with_plain_transformers(
    i2t: Command, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATHS", f"blip-base={checkpoints['blip-base']}")
    same = i2t("doctor", "blip-base")
    assert same.status == 0, same.out
    assert [line.split()[0] for line in same.out.decode().splitlines()] == ["same"] * 5
    from models import reference

    real = reference.reference
    monkeypatch.setattr("app.cli.parity.reference", lambda family, _: real(family, checkpoints["blip-large"]))
    different = i2t("doctor", "blip-base")
    assert different.status == 1
    assert "transformers: " in different.out.decode()


def test_the_doctor_says_what_it_has_nothing_to_compare_with(i2t: Command) -> None:
    assert i2t("doctor", "rapidocr").status == 3
    assert i2t("doctor", "nothing").status == 2
    absent = i2t("doctor", "blip-large")
    assert absent.status == 3
    assert "i2t models download blip-large" in absent.err
