"""A hub on this machine: serves a checkpoint's files as the real one does."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves repositories until it is closed. Large files are held back half-way until `release` is set."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.release = threading.Event()
        self.release.set()
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, repositories))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(hub: Hub, repositories: dict[str, Path]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            hub.requests.append(f"{self.command} {self.path}")

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            listing = re.fullmatch(r"/api/models/(.+)/(revision|tree)/[^/]+", path)
            file = re.fullmatch(r"/(.+)/resolve/[^/]+/(.+)", path)
            if listing and listing[1] in repositories:
                self._list(repositories[listing[1]], listing[1], listing[2])
            elif file and (repositories.get(file[1], Path("/nowhere")) / file[2]).is_file():
                self._send_file(repositories[file[1]] / file[2], with_body)
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _list(self, directory: Path, name: str, what: str) -> None:
            sizes = {file.name: file.stat().st_size for file in sorted(directory.iterdir())}
            answer: Any = {
                "id": name,
                "sha": COMMIT,
                "siblings": [{"rfilename": file, "size": size} for file, size in sizes.items()],
            }
            if what == "tree":
                answer = [{"type": "file", "path": file, "size": size, "oid": file} for file, size in sizes.items()]
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_file(self, file: Path, with_body: bool) -> None:
            body = file.read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{file.name}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2])
                if len(body) > 100_000:
                    hub.release.wait(60)
                self.wfile.write(body[len(body) // 2 :])

    return Handler
