"""What the service does to the outside: whom it connects to, and what it writes, while it starts, idles and works."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests import drawn
from tests.app.api.test_native import SMALL
from tests.conftest import encoded
from tests.server import ROOT, Server

# Larger than what waitress and werkzeug keep in memory of their own accord.
LARGE = SMALL + bytes(1_500_000)
NOISE = encoded(Image.effect_noise((1500, 1000), 90), "BMP")


class Watched:
    """A service, and the lines that a watcher wrote about it."""

    def __init__(self, make_server: Callable[..., Server], directory: Path, watcher: str, **settings: str) -> None:
        self.file = directory / "watched"
        # -D: the service is the process that was started, and strace ends with it, not the other way round.
        strace = ["strace", "-D", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,openat,creat", "-o", str(self.file)]
        command = {
            "python": [sys.executable, "-m", "tests.watched", str(self.file)],
            "strace": [*strace, sys.executable, str(ROOT / "run.py")],
        }[watcher]
        self.server = make_server(command=command, pythonpath=ROOT, pythondontwritebytecode="1", **settings)
        self._watcher = watcher

    def connections(self) -> list[str]:
        """Return what connections were tried, and names looked up."""
        if self._watcher == "python":
            return [line for line in self._lines() if line[:6] == "socket"]
        return [line for line in self._lines() if re.search(r"(connect|sendto|sendmsg)\(.*AF_INET", line)]

    def written(self) -> list[str]:
        """Return the files that were opened to be written."""
        if self._watcher == "python":
            return [line[5:] for line in self._lines() if line[:5] == "file "]
        opened = [line for line in self._lines() if re.search(r"creat\(|openat\(.*O_(WRONLY|RDWR|CREAT)", line)]
        return [line for line in opened if '"/dev/' not in line and '"/proc/' not in line and ") = -1 " not in line]

    def _lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8", errors="replace").splitlines()


@pytest.fixture(params=["python", "strace"])
def watcher(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Python's own events, and the system's calls, which libraries in other languages make too."""
    if request.param == "strace":
        strace = shutil.which("strace")
        if strace is None or subprocess.run([strace, "-o", tmp_path / "try", "true"], check=False).returncode:
            pytest.skip("needs strace, and the permission to trace")
    return str(request.param)


def test_nothing_of_an_upload_touches_a_disk_and_nobody_is_called(
    make_server: Callable[..., Server], tmp_path: Path, watcher: str
) -> None:
    watched = Watched(make_server, tmp_path, watcher, save_uploads="false", preload="", hf_hub_offline="0")
    server = watched.server
    for send in (
        lambda: server.generate(LARGE, model="rapidocr"),
        lambda: server.post("/generate-text?model=rapidocr", data=LARGE),
        lambda: server.post("/generate-text?model=rapidocr", data=iter([LARGE[:999_999], LARGE[999_999:]])),
        lambda: server.generate(drawn.pdf([Image.new("RGB", (100, 100))]), model="rapidocr"),
        # The answer holds the image, and is larger than what waitress keeps in memory.
        lambda: server.generate(NOISE, model="rapidocr", format="pdf"),
    ):
        answer = send()
        assert answer.ok, answer.text
    assert len(answer.content) > 1_000_000
    assert server.get("/models").ok
    assert watched.written() == []
    assert watched.connections() == []
    assert sorted(path.name for path in server.directory.iterdir()) == ["server.log"]
    server.kill()


def test_the_watchers_see_what_there_is_to_see(
    make_server: Callable[..., Server], tmp_path: Path, watcher: str
) -> None:
    watched = Watched(make_server, tmp_path, watcher, fetch_allow_hosts="127.0.0.1:9")
    server = watched.server
    assert server.post("/generate-text", json={"image_url": "http://127.0.0.1:9/"}).status_code == 502
    assert any("127.0.0.1" in line for line in watched.connections())
    before = len(watched.written())
    # A body of this size goes through a temporary file where that is not forbidden.
    assert server.generate(LARGE, model="nonesuch").status_code == 404
    assert len(watched.written()) > before
    server.kill()
