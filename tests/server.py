"""The real server as a process of its own, on a free port."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SSL_CERT_FILE", "OMP_WAIT_POLICY")

if "NETWORKS_OF_TESTS" not in os.environ:
    # In the process that starts the others: they find it in their environment, and it is removed when this one ends.
    _NETWORKS = tempfile.TemporaryDirectory(prefix="networks-")
    os.environ["NETWORKS_OF_TESTS"] = _NETWORKS.name
NETWORKS = Path(os.environ["NETWORKS_OF_TESTS"])
"""Where converted networks are kept for all of a run's tests, whichever process they run in."""


class Server:
    """A running service. Every setting that the test does not give has its default, but for an empty PRELOAD, for
    float32, in which texts can be compared, and for a cache of networks that all of a run's servers share."""

    def __init__(self, directory: Path, command: list[str] | None = None, **settings: Any) -> None:
        self.directory = directory
        self.log_path = directory / "server.log"
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {"PORT": "0", "PRELOAD": "", "HF_HOME": str(directory / "hub"), "HF_HUB_OFFLINE": "1"}
        environment |= {"PRECISION": "float32", "NETWORK_CACHE": str(NETWORKS)}
        environment |= {name.upper(): str(value) for name, value in settings.items()}
        self.url = "http://not.yet.known"
        with self.log_path.open("wb") as log:
            # In a directory of its own: no .env, and images/ is the test's.
            self.process = subprocess.Popen(
                command or [sys.executable, str(ROOT / "run.py")],
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_alive()

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=120, **kwargs)

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=120, **kwargs)

    def generate(self, image: bytes, **options: Any) -> requests.Response:
        """Post an image as a form, with options as its fields."""
        return self.post("/generate-text", files={"image_file": ("picture.png", image)}, data=options)

    def state(self, model: str) -> dict[str, Any]:
        """Return what GET /models says of a model."""
        return next(entry for entry in self.get("/models").json()["models"] if entry["name"] == model)

    def wait_for_state(self, model: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (entry := self.state(model))["state"] not in states:
            assert time.monotonic() < end, entry
            time.sleep(0.05)
        return entry

    def wait_for_log(self, pattern: str, seconds: float = 30, flags: int = 0) -> re.Match[str]:
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log, flags)):
            assert time.monotonic() < end, self.log
            time.sleep(0.05)
        return found

    def memory(self) -> int:
        """Return how many bytes of memory the process holds, as Linux counts them."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def stop(self, seconds: float = 60) -> int:
        """End the service as an operating system would, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def _wait_until_alive(self) -> None:
        end = time.monotonic() + 30
        while not (listening := re.search(r"listening on (http://\S+)", self.log)):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        self.url = listening[1]
        assert self.get("/healthz").ok
