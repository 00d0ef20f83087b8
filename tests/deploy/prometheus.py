"""A real Prometheus with the project's configuration, and what its dashboard and alerts ask for."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.server import ROOT

CONFIGURATION = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "image-to-text.json"


def program(name: str, path: str = os.environ["PATH"]) -> str:
    """Return where a program is on a search path; skip the test where there is none, except in CI."""
    found = shutil.which(name, path=f"{path}:/usr/sbin")
    if found is None:
        message = f"needs {name}: sh .ci/programs.sh"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Prometheus:
    """Scrapes one service.

    In a `hurry` it scrapes every other second, and its alerts fire at once; otherwise as the configuration says.
    """

    def __init__(self, directory: Path, target: str, key: str | None = None, hurry: bool = True) -> None:
        configuration = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text(encoding="utf-8"))
        alerts = (CONFIGURATION / "alerts.yml").read_text(encoding="utf-8")
        (scrape,) = configuration["scrape_configs"]
        (static,) = scrape["static_configs"]
        assert static["targets"] == ["localhost:5000"]
        static["targets"] = [target]
        if key is not None:
            (directory / "key").write_text(key, encoding="utf-8")
            scrape["authorization"] = {"credentials_file": str(directory / "key")}
        if hurry:
            configuration["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
            alerts = re.sub(r"for: \d+m", "for: 0s", alerts)
        (directory / "alerts.yml").write_text(alerts, encoding="utf-8")
        (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_for('up{job="image-to-text"} == 1')

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", (expression, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_for(self, expression: str, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until an expression has a series."""
        end = time.monotonic() + seconds
        while True:
            try:
                if found := self.query(expression):
                    return found
            except (requests.ConnectionError, ValueError):
                # It starts, and says in plain words that it is not ready.
                assert self._process.poll() is None
            assert time.monotonic() < end, expression
            time.sleep(0.2)

    def wait_for_alert(self, name: str, seconds: float = 120) -> dict[str, str]:
        """Wait until an alert fires, and return its labels."""
        found = self.wait_for(f'ALERTS{{alertname="{name}", alertstate="firing"}}', seconds)
        labels: dict[str, str] = found[0]["metric"]
        return labels

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def asked_by_the_dashboard() -> dict[str, str]:
    """Return every expression of the dashboard by its panel's title, with its variables filled in."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return {
        f"{panel['title']}, {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$job", "image-to-text")
        for panel in panels
        for target in panel["targets"]
    }


def asked_by_the_alerts() -> dict[str, str]:
    """Return the expression of every alert by its name, without the threshold."""
    (group,) = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    expressions = {}
    for rule in group["rules"]:
        expression, count = re.subn(r"\s(==|>=|>)\s+[\d.]+\s*$", "", rule["expr"])
        assert count == 1, rule["expr"]
        expressions[rule["alert"]] = expression
    return expressions
