"""Have a real Prometheus, configured as in deploy/, watch the service under load, and make alerts fire.

After the load every panel of the dashboard and every alert must have data, and no alert may fire. Then a model is
killed, its weights cut off, and a queue is filled: both alerts must fire, and after the service is killed a third.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.report import table
from benchmarks.soak import Options, Result
from tests.deploy import load
from tests.deploy.prometheus import Prometheus, asked_by_the_alerts, asked_by_the_dashboard
from tests.server import ROOT, Server

_CAPTIONER = "efficientnet-gru"
_LOADED_AFTER = 600.0
"""Seconds that the captioner may take to be converted, on a busy machine."""
_ALERT_AFTER = 180.0
"""Seconds that an alert may take: a minute for which it must be so, two scrapes, and a busy machine."""


def _kill_model(server: Server, directory: Path) -> None:
    """Unload the captioner, cut its weights off, and have it loaded again."""
    server.post(f"/models/{_CAPTIONER}/unload").raise_for_status()
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:10_000])
    server.post(f"/models/{_CAPTIONER}/load").raise_for_status()


def _fired(prometheus: Prometheus, alert: str) -> tuple[str, str]:
    """Wait until an alert fires; return how long that took, and of what it says that it is."""
    begun = time.monotonic()
    labels = prometheus.wait_for_alert(alert, _ALERT_AFTER)
    return f"{alert} fired after", f"{time.monotonic() - begun:.0f} s ({labels.get('model', labels['instance'])})"


def _without_data(prometheus: Prometheus) -> Iterator[str]:
    asked = asked_by_the_dashboard() | asked_by_the_alerts()
    yield from (f"{name}: no data" for name, expression in asked.items() if not prometheus.query(expression))


def soak(options: Options) -> Result:
    """Send requests for so many minutes, and then make alerts fire, which takes some minutes more."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoint = shutil.copytree(ROOT / "models" / "shipped" / _CAPTIONER, directory / _CAPTIONER)
        odd = [sys.executable, "-m", "tests.odd"]
        server = Server(directory, odd, pythonpath=ROOT, queue_size=4, model_paths=f"{_CAPTIONER}={checkpoint}")
        prometheus = Prometheus(directory, server.url.removeprefix("http://"), hurry=False)
        try:
            server.post(f"/models/{_CAPTIONER}/load").raise_for_status()
            server.wait_for_state(_CAPTIONER, "ready", seconds=_LOADED_AFTER)
            rounds = load.send(server, options.minutes * 60)
            wrong = list(_without_data(prometheus))
            firing = prometheus.query('ALERTS{alertstate="firing"}')
            wrong += [f"{alert['metric']['alertname']} fires without a reason" for alert in firing]
            scrapes = prometheus.query('count_over_time(up{job="image-to-text"}[1d])')[0]["value"][1]
            answered = prometheus.query("sum(i2t_requests_total)")[0]["value"][1]
            seconds = prometheus.query('scrape_duration_seconds{job="image-to-text"}')[0]["value"][1]

            provoked: tuple[tuple[str, Callable[[], object]], ...] = (
                ("ModelFailed", partial(_kill_model, server, checkpoint)),
                ("QueueFull", partial(load.fill_queue, server, "odd", jobs=12, seconds=40)),
                ("ServiceDown", server.kill),
            )
            fired = []
            for alert, provoke in provoked:
                provoke()
                fired.append(_fired(prometheus, alert))
        finally:
            prometheus.stop()
            server.kill()
    panels, alerts = len(asked_by_the_dashboard()), len(asked_by_the_alerts())
    rows = [
        ("rounds of the clients, requests counted", f"{rounds}, {answered}"),
        ("scrapes, seconds of the last", f"{scrapes}, {float(seconds):.3f}"),
        ("expressions of the dashboard and the alerts, without data", f"{panels + alerts}, {len(wrong)}"),
        *fired,
    ]
    return Result(table(["what", "seen"], rows), wrong)
