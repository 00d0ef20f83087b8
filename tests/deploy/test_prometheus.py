"""A real Prometheus scrapes the service, and finds all that the dashboard, the alerts and the documents speak of."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import requests
import yaml

from tests.deploy import load
from tests.deploy.prometheus import (
    CONFIGURATION,
    Prometheus,
    asked_by_the_alerts,
    asked_by_the_dashboard,
    program,
)
from tests.server import ROOT, Server


def test_every_panel_and_alert_has_data_and_the_alerts_fire(make_odd: Callable[..., Server], tmp_path: Path) -> None:
    server = make_odd(queue_size=4)
    prometheus = Prometheus(tmp_path, server.url.removeprefix("http://"))
    try:
        load.send(server, seconds=4, clients=1)
        # A model is killed: it does not fit into memory.
        assert server.generate(load.SIGN, model="heavy").status_code == 503
        waiting = load.fill_queue(server, "odd", jobs=12, seconds=20)
        assert prometheus.wait_for_alert("QueueFull")["model"] == "odd"
        assert prometheus.wait_for_alert("ModelFailed")["model"] == "heavy"
        # Two scrapes after the last event: a rate needs them.
        load.send(server, seconds=4, clients=1)
        for panel, expression in asked_by_the_dashboard().items():
            assert prometheus.wait_for(expression, 15), panel
        for alert, expression in asked_by_the_alerts().items():
            assert prometheus.wait_for(expression, 15), alert
        refused = prometheus.query('i2t_errors_total{code="queue-full"}')
        assert int(refused[0]["value"][1]) >= 4
        server.kill()
        for thread in waiting:
            thread.join()
        assert prometheus.wait_for_alert("ServiceDown")["job"] == "image-to-text"
    finally:
        prometheus.stop()


def test_where_there_are_keys_prometheus_needs_one(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(api_keys="of-prometheus")
    assert requests.get(f"{server.url}/metrics", timeout=30).status_code == 401
    prometheus = Prometheus(tmp_path, server.url.removeprefix("http://"), key="of-prometheus")
    prometheus.stop()


def test_every_metric_is_documented(server: Server) -> None:
    documented = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    names = set(re.findall(r"^# TYPE (i2t_\w+) ", server.get("/metrics").text, re.MULTILINE)) - {"i2t_build_info"}
    assert len(names) > 15
    assert names == set(re.findall(r"`(i2t_\w+)", documented)) - {"i2t_"}


def test_both_configurations_are_sound_and_differ_in_their_target() -> None:
    for name in ("prometheus.yml", "compose.yml"):
        subprocess.run([program("promtool"), "check", "config", str(CONFIGURATION / name)], check=True)
    host, compose = ((CONFIGURATION / name).read_text(encoding="utf-8") for name in ("prometheus.yml", "compose.yml"))
    assert yaml.safe_load(host.replace("localhost:5000", "image-to-text:5000")) == yaml.safe_load(compose)
