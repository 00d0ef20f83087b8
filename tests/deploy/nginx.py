"""A real nginx with the project's configuration, on free ports and with a certificate of its own."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from tests.deploy.prometheus import free_port, program
from tests.server import ROOT

CONFIGURATION = ROOT / "deploy" / "nginx" / "image-to-text.conf"
BALANCER = ROOT / "deploy" / "balancer" / "image-to-text.conf"

_AROUND = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {sites}/*.conf;
}}
"""


def around(sites: Path, directory: Path) -> str:
    """Return the configuration around those in `sites`, for an nginx that writes to a directory only."""
    # Its workers would be nobody, who may not write to the directories of tests.
    user = "user root;" if os.getuid() == 0 else ""
    return _AROUND.format(sites=sites, directory=directory, user=user)


def adapted(configuration: str, service: str, http: int, https: int, tls: Path, logs: Path) -> str:
    """Return the configuration with other addresses and places, each of which must be in it."""
    for documented, here in (
        ("server 127.0.0.1:5000;", f"server {service};"),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("listen [::]:80;", ""),
        ("listen 443 ssl;", f"listen 127.0.0.1:{https} ssl;"),
        ("listen [::]:443 ssl;", ""),
        ("/etc/nginx/tls/", f"{tls}/"),
        ("/var/log/nginx/", f"{logs}/"),
    ):
        assert documented in configuration, documented
        configuration = configuration.replace(documented, here)
    return configuration


def make_certificate(directory: Path) -> Path:
    """Write a certificate for this machine and its key; return the certificate's path."""
    certificate = directory / "image-to-text.pem"
    key = directory / "image-to-text.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate


class Running:
    """An nginx with one site, at `url`."""

    def __init__(self, directory: Path, site: str, url: str, certificate: Path | None = None) -> None:
        self.directory = directory
        self.url = url
        self.certificate = certificate
        (directory / "sites").mkdir()
        (directory / "sites" / "image-to-text.conf").write_text(site, encoding="utf-8")
        (directory / "nginx.conf").write_text(around(directory / "sites", directory), encoding="utf-8")
        self.process = subprocess.Popen(
            [program("nginx"), "-e", str(directory / "error.log"), "-p", str(directory), "-c", "nginx.conf"]
        )
        end = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < end, self.errors
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", verify=str(self.certificate or True), timeout=30).ok
        except requests.ConnectionError:
            return False

    @property
    def log(self) -> str:
        return (self.directory / "image-to-text.log").read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        path = self.directory / "error.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Nginx(Running):
    """Passes requests on to a service."""

    certificate: Path

    def __init__(self, directory: Path, service: str) -> None:
        self.http, https = free_port(), free_port()
        site = adapted(CONFIGURATION.read_text(encoding="utf-8"), service, self.http, https, directory, directory)
        super().__init__(directory, site, f"https://127.0.0.1:{https}/i2t", make_certificate(directory))


class Balancer(Running):
    """Passes requests on to several copies of the service."""

    def __init__(self, directory: Path, copies: Sequence[str]) -> None:
        port = free_port()
        site = BALANCER.read_text(encoding="utf-8")
        for documented, here in (
            ("listen 8080;", f"listen 127.0.0.1:{port};"),
            *zip(("127.0.0.1:5001", "127.0.0.1:5002"), copies, strict=True),
        ):
            assert documented in site, documented
            site = site.replace(documented, here)
        super().__init__(directory, site, f"http://127.0.0.1:{port}")
