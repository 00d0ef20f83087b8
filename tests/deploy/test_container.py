"""What compose.yaml, the systemd unit and Kubernetes take for granted: the service writes to its volumes and to the
directory of temporary files, and to nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.api.test_native import SMALL
from tests.server import ROOT, Server

# A mount namespace with the root file system read-only, except for one directory.
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && cd "$0" && ! touch "$1" 2>&- && shift && exec "$@"'


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Server]:
    probe = tmp_path.parent / f"{tmp_path.name}-outside"
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(tmp_path), str(probe)]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs the permission to mount")
    (tmp_path / "tmp").mkdir()
    running = Server(
        tmp_path,
        [*command, sys.executable, str(ROOT / "run.py")],
        tmpdir=tmp_path / "tmp",
        network_cache=tmp_path / "weights" / "networks",
    )
    yield running
    running.kill()


def test_the_service_works_on_a_read_only_file_system(read_only: Server) -> None:
    sign = (ROOT / "Input" / "sign.jpg").read_bytes()
    answer = read_only.generate(sign, model="rapidocr", format="pdf")
    assert answer.ok, answer.text
    # Larger than what stays in memory on its way in.
    answer = read_only.generate(SMALL + bytes(2_000_000), model="efficientnet-gru")
    assert answer.ok, answer.text
    assert (read_only.directory / answer.json()["image"]["saved_as"]).stat().st_size > 2_000_000
    assert read_only.stop() == 0
    assert "ERROR" not in read_only.log
    assert "Read-only" not in read_only.log
