"""Servers that the faults share: starting one costs more than most tests."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.internet import Answer, Upstream, certificate, tls_server
from tests.server import ROOT, Server

CAP = 600_000
"""The largest image of the servers with limits, in bytes."""


class Online:
    """A running service, and an internet of this test's own around it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "internet.json"
        self._names: dict[str, list[list[str]]] = {}
        self._routes: dict[str, int] = {}
        self._upstreams: list[Upstream] = []
        self._write()
        self.proxy = self._started()
        trusted = certificate(directory, "tls.test")
        self.tls = tls_server(trusted)
        self.server = Server(
            directory,
            [sys.executable, "-m", "tests.faults.online", str(self._file), str(trusted[0])],
            pythonpath=ROOT,
            max_upload_mb=CAP / 1_000_000,
            fetch_timeout=1,
            fetch_allow_hosts="allowed.test",
            trusted_hosts="photos.example",
            http_proxy=self.proxy.url(),
            https_proxy=self.proxy.url(),
            all_proxy=self.proxy.url(),
        )

    def host(self, name: str, **answers: Answer | Any) -> Upstream:
        """Put a server on the internet, under a name and a public address; each answer is a path, `index` is `/`.
        `tls` is what a server of https needs."""
        tls = answers.pop("tls", None)
        upstream = self._started(tls, **answers)
        address = f"93.184.216.{len(self._upstreams)}"
        self._routes[address] = upstream.port
        self.name(name, [address])
        return upstream

    def name(self, name: str, *answers: list[str]) -> None:
        """Let a name have these addresses: the first answer is given first, the last again and again."""
        self._names[name] = list(answers)
        self._write()

    def address(self, name: str) -> str:
        return self._names[name][0][0]

    def route(self, address: str, port: int) -> None:
        """Let a port of this machine play an address."""
        self._routes[address] = port
        self._write()

    def fetch(self, url: str) -> requests.Response:
        """Ask the service for the text of the image at a URL."""
        return self.server.post("/generate-text", json={"image_url": url, "model": "rapidocr"})

    def close(self) -> None:
        self.server.kill()
        for upstream in self._upstreams:
            upstream.close()

    def _started(self, tls: Any = None, **answers: Answer) -> Upstream:
        paths = {"/" if path == "index" else f"/{path}": found for path, found in answers.items()}
        self._upstreams.append(Upstream(paths, tls))
        return self._upstreams[-1]

    def _write(self) -> None:
        # Whole or not at all: the service may be reading.
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"names": self._names, "routes": self._routes}), encoding="utf-8")
        new.replace(self._file)


@pytest.fixture(scope="session")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    """A service on an internet of the tests' own, with a cap of CAP bytes and a second for each fetch. It trusts the
    certificate of tls.test, and may fetch from allowed.test wherever that is."""
    running = Online(tmp_path_factory.mktemp("online"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers that a module's tests share; they end with the module."""
    servers: list[Server] = []

    def make(*command: str, **settings: Any) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("server"), list(command) or None, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()
