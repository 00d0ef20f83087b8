"""GET /metrics: for Prometheus."""

from collections.abc import Iterable, Iterator

from flask import Blueprint, Response, request
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.operations import Operations
from app.service import Service
from models.registry import Entry, State


def blueprint(service: Service, operations: Operations, limits: tuple[int, int], version: str) -> Blueprint:
    """Return the route of metrics.

    Args:
        service: whose models are shown.
        operations: the requests in work.
        limits: how many jobs may wait for one model, and how many requests may be in work.
        version: of the service.
    """
    metrics = Blueprint("metrics", __name__)
    registry = CollectorRegistry()
    # What app/metrics.py counts, and what prometheus_client tells of the process.
    registry.register(REGISTRY)
    registry.register(_Present(service, operations, limits, version))

    @metrics.get("/metrics")
    def show() -> Response:
        """Return all metrics, in the format that the scraper takes."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return metrics


class _Present(Collector):
    """What is so at the moment of a scrape: the states of models and the lengths of queues."""

    def __init__(self, service: Service, operations: Operations, limits: tuple[int, int], version: str) -> None:
        self._service = service
        self._operations = operations
        self._limits = limits
        self._version = version

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        queue, requests = self._limits
        yield InfoMetricFamily("i2t_build", "The service.", {"version": self._version})
        yield GaugeMetricFamily("i2t_requests_in_work", "Requests in work.", self._operations.in_work)
        yield GaugeMetricFamily("i2t_requests_limit", "Requests that may be in work (MAX_REQUESTS).", requests)
        yield GaugeMetricFamily("i2t_queue_limit", "Jobs that may wait for one model (QUEUE_SIZE).", queue)
        entries = self._service.models()
        depth = GaugeMetricFamily("i2t_queue_depth", "Jobs that wait for a model.", labels=("model",))
        for entry in entries:
            depth.add_metric((entry.model.name,), self._service.queued(entry))
        yield depth
        yield from _states(entries)


def _states(entries: list[Entry]) -> Iterator[Metric]:
    state = GaugeMetricFamily("i2t_model_state", "1 for the state that a model is in.", labels=("model", "state"))
    size = GaugeMetricFamily("i2t_model_bytes", "Weights in memory, as large as on disk.", labels=("model",))
    load = GaugeMetricFamily("i2t_model_load_seconds", "Seconds that loading took last.", labels=("model",))
    for entry in entries:
        name, present = entry.model.name, entry.state
        for each in State:
            state.add_metric((name, each), each is present)
        size.add_metric((name,), entry.size)
        if entry.load_seconds is not None:
            load.add_metric((name,), entry.load_seconds)
    yield from (state, size, load)
