"""A hub on this machine: speaks the part of the real one's API that its client uses to download a model."""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""What `main` is."""
LARGE = 100_000
"""Bytes from which a file is kept in LFS, and sent from another address."""


class Hub:
    """Serves repositories until it is closed, with all files of theirs.

    Attributes:
        release: large files are held back half-way until it is set.
        requests: every request's method and path.
        sent: how many bytes of each file went out, by its name.
        refuse: statuses (and a Retry-After) with which the next requests to the API are refused, the first first.
        gated: its files are refused without a token, while its listing is open.
        pause: seconds between the four pieces in which large files, and what it says of a repository, are sent.
        cut: a large file's connection is cut half-way so many times.
        revisions: the revisions that are known; None for all hashes and `main`.
    """

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.release = threading.Event()
        self.release.set()
        self.requests: list[str] = []
        self.sent: Counter[str] = Counter()
        self.refuse: list[tuple[int, str | None]] = []
        self.gated = False
        self.pause = 0.0
        self.cut = 0
        self.revisions: set[str] | None = None
        self.repositories = repositories
        # As the real one, it sends large files from another address.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(self)) for _ in range(2)]
        self.url, self.store = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.release.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            hub.requests.append(f"{self.command} {self.path}")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if listing := re.fullmatch(r"/api/models/(.+)/(revision|tree)/([^/]+)", path):
                self._list(*listing.groups())
            elif file := re.fullmatch(r"/(.+/.+)/resolve/([^/]+)/(.+)", path):
                self._file(*file.groups())
            elif stored := re.fullmatch(r"/store/(.+/.+?)/([^/]+)", path):
                self._send(hub.repositories[stored[1]] / stored[2], {})
            else:
                self._refuse(404, "RepoNotFound")

        def _list(self, name: str, what: str, revision: str) -> None:
            if hub.refuse:
                status, retry_after = hub.refuse.pop(0)
                self._refuse(status, None, retry_after)
            elif name not in hub.repositories:
                self._refuse(404, "RepoNotFound")
            elif hub.revisions is not None and revision not in hub.revisions:
                self._refuse(404, "RevisionNotFound")
            else:
                files = [path for path in sorted(hub.repositories[name].rglob("*")) if path.is_file()]
                about = [_about(path, hub.repositories[name]) for path in files]
                answer: Any = [{"type": "file", "path": file.pop("rfilename"), **file} for file in about]
                if what == "revision":
                    about = [_about(path, hub.repositories[name]) for path in files]
                    answer = {"id": name, "sha": _commit(revision), "siblings": about}
                self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _file(self, name: str, revision: str, file: str) -> None:
            if hub.gated:
                return self._refuse(403, "GatedRepo")
            path = hub.repositories.get(name, Path("/nowhere")) / file
            if not path.is_file():
                return self._refuse(404, "EntryNotFound")
            about = _about(path, hub.repositories[name])
            headers = {"X-Repo-Commit": _commit(revision), "ETag": f'"{about["blobId"]}"'}
            if "lfs" not in about:
                return self._send(path, headers)
            headers |= {"X-Linked-Etag": f'"{about["lfs"]["sha256"]}"', "X-Linked-Size": str(about["size"])}
            return self._answer(302, b"", headers | {"Location": f"{hub.store}/store/{name}/{file}"})

        def _send(self, path: Path, headers: dict[str, str]) -> None:
            body, status = path.read_bytes(), 200
            if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                status, whole, body = 206, len(body), body[int(asked[1]) :]
                headers |= {"Content-Range": f"bytes {asked[1]}-{whole - 1}/{whole}"}
            self._answer(status, body, headers, path.name)

        def _refuse(self, status: int, code: str | None, retry_after: str | None = None) -> None:
            headers = {"X-Error-Code": code} if code else {}
            self._answer(status, b"", headers | ({"Retry-After": retry_after} if retry_after else {}))

        def _answer(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
            slow = len(body) > LARGE or "/revision/" in self.path
            self.send_response(status)
            for field, value in headers.items():
                self.send_header(field, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "GET":
                return
            half, large = len(body) // 2, len(body) > LARGE
            self._write(name, body[:half], slow)
            if large:
                hub.release.wait(60)
            if large and hub.cut and name:
                hub.cut -= 1
                self.close_connection = True
                return
            self._write(name, body[half:], slow)

        def _write(self, name: str, body: bytes, slow: bool) -> None:
            pieces = [body[: len(body) // 2], body[len(body) // 2 :]] if slow and hub.pause else [body]
            try:
                for piece in pieces:
                    self.wfile.write(piece)
                    hub.sent[name] += len(piece)
                    time.sleep(hub.pause if slow else 0)
            except ConnectionError:
                # The client was killed.
                self.close_connection = True

    return Handler


def _commit(revision: str) -> str:
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else COMMIT


def _about(path: Path, root: Path) -> dict[str, Any]:
    """Return what the hub says of a file: its name in git, and in LFS where it is large."""
    body = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    about = {"rfilename": str(path.relative_to(root)), "size": len(body), "blobId": git, "oid": git}
    if len(body) <= LARGE:
        return about
    sha256 = hashlib.sha256(body).hexdigest()
    lfs = {"sha256": sha256, "oid": sha256, "size": len(body), "pointerSize": 134}
    return about | {"lfs": lfs}
