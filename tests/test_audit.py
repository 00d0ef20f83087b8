"""`make audit`: what is found fails, and what cannot be asked is said."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.server import ROOT

ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1"],
    "details": "It burns.",
    "affected": [
        {
            "package": {"name": "kindling", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    """An index of vulnerabilities that knows one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"vulns": [ADVISORY]} if asked["package"]["name"] == "kindling" else {}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}/"
    web.shutdown()
    web.server_close()


def audit(requirements: Path, index: str, *packages: str) -> subprocess.CompletedProcess[str]:
    requirements.write_text("\n".join(packages))
    options = ["-s", "osv", "--osv-url", index, "-r", str(requirements), "--no-deps", "--disable-pip"]
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_what_is_known_fails(tmp_path: Path, index: str) -> None:
    result = audit(tmp_path / "requirements.txt", index, "kindling==1.0", "asbestos==2.0")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "kindling 1.0: PYSEC-2026-1, CVE-2026-1, fixed in 1.1",
        "2 packages audited, 1 vulnerabilities found",
    ]


def test_nothing_known_is_well(tmp_path: Path, index: str) -> None:
    result = audit(tmp_path / "requirements.txt", index, "asbestos==2.0")
    assert (result.returncode, result.stdout) == (0, "1 packages audited, 0 vulnerabilities found\n")


def test_an_index_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    result = audit(tmp_path / "requirements.txt", "http://127.0.0.1:9/", "kindling==1.0")
    assert result.returncode == 0
    assert result.stderr.startswith("NOTHING WAS AUDITED: ")
    assert result.stdout == ""
