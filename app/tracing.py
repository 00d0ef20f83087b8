"""Traces in OpenTelemetry's words: a span for each request, and in it one for each stage.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing is recorded, and OpenTelemetry need not be installed. Its other variables,
such as `OTEL_SERVICE_NAME` and `OTEL_TRACES_SAMPLER`, are read by OpenTelemetry itself.
"""

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

_provider: "TracerProvider | None" = None


def configure(version: str) -> None:
    """Send spans to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, in the background."""
    global _provider
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but there are no traces without OpenTelemetry: "
            "pip install -r requirements-tracing.txt"
        )
        return
    named = Resource({"service.name": "image-to-text", "service.version": version})
    _provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def close() -> None:
    """Send what has not been sent yet."""
    if _provider is not None:
        _provider.shutdown()


def begin(name: str, headers: Iterable[tuple[str, str]]) -> Any:
    """Begin the span of a request, and return OpenTelemetry's context with it; None where there are no traces.

    Args:
        name: of the span.
        headers: of the request; `traceparent` names the client's span, which this one continues.
    """
    if _provider is None:
        return None
    from opentelemetry.trace import SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({name.lower(): value for name, value in headers})
    span = _provider.get_tracer(__name__).start_span(name, parent, SpanKind.SERVER)
    return set_span_in_context(span, parent)


def end(trace: Any, failed: bool, **attributes: str | int) -> None:
    """End the span that `begin` began."""
    if trace is None:
        return
    from opentelemetry.trace import StatusCode, get_current_span

    span = get_current_span(trace)
    span.set_attributes(dict(attributes))
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end()


def record(trace: Any, name: str, begun: float, ended: float, **attributes: str | int) -> None:
    """Record a span that is over, within that of a request.

    Args:
        trace: what `begin` returned.
        name: of the stage.
        begun, ended: in seconds of the monotonic clock.
        attributes: such as `model`.
    """
    if _provider is None or trace is None:
        return
    # Spans have the time of the clock on the wall.
    offset = time.time() - time.monotonic()
    tracer = _provider.get_tracer(__name__)
    span = tracer.start_span(name, trace, attributes=dict(attributes), start_time=int((begun + offset) * 1e9))
    span.end(int((ended + offset) * 1e9))
