"""An OpenTelemetry collector that keeps what comes: spans over OTLP/HTTP."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Listens at `url` until it is closed."""

    def __init__(self) -> None:
        self.services: set[str] = set()
        self._spans: list[Span] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                outer.keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._web.server_port}"
        threading.Thread(target=self._web.serve_forever, daemon=True).start()

    def keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.services |= {
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            }
            self._spans += [span for scope in resource.scope_spans for span in scope.spans]

    def trace(self, request_id: str, seconds: float = 30) -> tuple[Span, list[Span]]:
        """Wait for the trace of a request; return the request's span and those within it."""
        end = time.monotonic() + seconds
        while not (roots := [span for span in self._spans if attributes(span).get("request_id") == request_id]):
            assert time.monotonic() < end, sorted(span.name for span in self._spans)
            time.sleep(0.05)
        (root,) = roots
        return root, [span for span in self._spans if span.parent_span_id == root.span_id]

    def close(self) -> None:
        self._web.shutdown()
        self._web.server_close()


def attributes(span: Span) -> dict[str, str | int]:
    """Return a span's attributes, texts and integers, by their names."""
    return {
        each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
        for each in span.attributes
    }
