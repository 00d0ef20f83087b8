"""What is seen from outside: metrics, the log in JSON, request ids, and traces."""

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.app.api.test_native import SMALL
from tests.app.api.test_pages import PAGE
from tests.collector import Collector, attributes
from tests.conftest import encoded
from tests.server import Server

READER, CAPTIONER = "trocr-base-handwritten", "blip-base"
KEY = {"X-API-Key": "the-first-key-of-two"}
SECRET = "Zanzibar"
"""Stands in what clients send, and must not come into the log."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def observed(
    tmp_path_factory: pytest.TempPathFactory, checkpoints: dict[str, Path], collector: Collector
) -> Iterator[Server]:
    """A server that is watched in every way."""
    running = Server(
        tmp_path_factory.mktemp("server"),
        model_paths=",".join(f"{name}={checkpoints[name]}" for name in (READER, CAPTIONER)),
        log_format="json",
        log_level="DEBUG",
        api_keys=f"{KEY['X-API-Key']},another",
        fetch_allow_hosts="127.0.0.1:9",
        otel_exporter_otlp_endpoint=collector.url,
        otel_bsp_schedule_delay="100",
    )
    yield running
    running.kill()


def generate(server: Server, image: bytes, request_id: str, **options: Any) -> requests.Response:
    return server.post(
        "/generate-text",
        files={"image_file": ("picture.png", image)},
        data=options,
        headers=KEY | {"X-Request-ID": request_id},
    )


def metrics(server: Server) -> dict[str, float]:
    """Return every sample of /metrics, by its name and the values of its labels in the order of their names."""
    families = text_string_to_metric_families(server.get("/metrics", headers=KEY).text)
    return {
        " ".join([sample.name, *(sample.labels[name] for name in sorted(sample.labels))]): sample.value
        for family in families
        for sample in family.samples
    }


def lines(server: Server, request_id: str) -> list[dict[str, Any]]:
    """Return what the log says of a request."""
    server.wait_for_log(rf'"request_id": "{request_id}".*"milliseconds"')
    records = [json.loads(line) for line in server.log.splitlines()]
    return [record for record in records if record.get("request_id") == request_id]


def test_a_request_is_counted_with_its_stages_batches_and_tokens(observed: Server) -> None:
    before = metrics(observed)
    image = encoded(PAGE)
    assert generate(observed, image, "counted", model=READER, max_new_tokens=4).ok
    after = metrics(observed)

    def more(key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert more(f"i2t_requests_total {READER} POST /generate-text 200") == 1
    assert more("i2t_request_seconds_count POST /generate-text") == 1
    assert more("i2t_stage_seconds_count  decode") == 1
    assert more(f"i2t_stage_seconds_count {READER} queue") == 20
    assert more(f"i2t_batch_size_sum {READER}") == 20
    assert more(f"i2t_stage_seconds_count {READER} inference") == more(f"i2t_batch_size_count {READER}") < 20
    assert 20 <= more(f"i2t_tokens_total {READER}") <= 80
    assert more("i2t_cache_lookups_total miss") == 1
    assert after[f"i2t_model_state {READER} ready"] == 1
    assert after[f"i2t_model_load_seconds {READER}"] > 0
    assert after[f"i2t_model_bytes {READER}"] > 10_000
    assert after[f"i2t_queue_depth {READER}"] == after["i2t_requests_in_work"] == 0

    assert generate(observed, image, "again", model=READER, max_new_tokens=4).json()["cached"]
    assert metrics(observed)["i2t_cache_lookups_total hit"] == after.get("i2t_cache_lookups_total hit", 0) + 1


def test_a_request_that_shares_the_work_of_another_has_its_model_too(make_odd: Callable[..., Server]) -> None:
    server = make_odd(result_cache_mb=64)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: server.generate(SMALL, model="odd", prompt="sleep 0.5"), range(2)))
    counted = metrics(server)
    assert counted["i2t_batch_size_count odd"] == 1
    assert counted["i2t_requests_total odd POST /generate-text 200"] == 2


def test_failures_are_counted_by_reason(observed: Server) -> None:
    before = metrics(observed)
    assert generate(observed, b"GIF89a nonsense", "broken", model="rapidocr").status_code == 422
    assert generate(observed, b"no picture", "foreign", model="rapidocr").status_code == 415
    for url in ("http://127.0.0.1:9/", "http://10.0.0.1/", f"http://127.0.0.1:9/?q={SECRET}"):
        assert observed.post("/generate-text", json={"image_url": url}, headers=KEY).status_code in (422, 502)
    assert observed.get("/nowhere", headers=KEY).status_code == 404
    assert observed.get("/models").status_code == 401
    after = metrics(observed)
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert grown["i2t_decode_failures_total invalid-image"] == 1
    assert grown["i2t_decode_failures_total unsupported-media-type"] == 1
    assert grown["i2t_fetch_refusals_total upstream-failed"] == 2
    assert grown["i2t_fetch_refusals_total forbidden-url"] == 1
    assert grown["i2t_errors_total unauthorized"] == 1
    assert grown["i2t_requests_total  other 404"] == 1
    assert grown["i2t_requests_total  GET /models 401"] == 1


def test_what_clients_send_makes_no_labels(observed: Server) -> None:
    for number in range(20):
        observed.get(f"/nowhere/{number}", headers=KEY)
        observed.get(f"/images/{number}.png", headers=KEY)
        generate(observed, SMALL, f"unknown-{number}", model=f"model-{number}")
    names = [key for key in metrics(observed) if key.startswith("i2t_requests_total")]
    assert not [key for key in names if re.search(r"/\d|model-\d", key)]
    assert len(names) < 30


def test_a_stream_is_counted_and_logged_when_it_ends(observed: Server) -> None:
    headers = KEY | {"Accept": "text/event-stream", "X-Request-ID": "streamed"}
    image = encoded(PAGE, "JPEG")
    answer = observed.post(f"/generate-text?model={READER}&max_new_tokens=2", data=image, headers=headers)
    assert "event: result" in answer.text
    (line,) = (line for line in lines(observed, "streamed") if "milliseconds" in line)
    total = int(re.findall(r'"total":(\d+)', answer.text)[-1])
    assert line["milliseconds"] >= total > 0
    assert line["model"] == READER


def test_every_line_of_the_log_is_json_and_names_request_and_key(observed: Server) -> None:
    assert generate(observed, SMALL, "named", model="rapidocr").ok
    *_, line = lines(observed, "named")
    assert line["message"].startswith("POST /generate-text 200 ")
    assert (line["key"], line["method"], line["path"], line["status"]) == ("1", "POST", "/generate-text", 200)
    assert (line["level"], line["logger"], line["model"]) == ("INFO", "app.api.access", "rapidocr")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    for printed in observed.log.splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(printed).keys()


def test_a_failure_has_its_traceback_and_its_request(make_odd: Callable[..., Server]) -> None:
    server = make_odd(log_format="json")
    server.post("/generate-text?model=odd&prompt=raise", data=SMALL, headers={"X-Request-ID": "failed"})
    records = lines(server, "failed")
    assert any(record["level"] == "ERROR" for record in records)
    assert any("RuntimeError" in json.loads(line).get("exception", "") for line in server.log.splitlines())


def test_no_prompt_query_or_key_is_in_the_log(observed: Server) -> None:
    assert generate(observed, SMALL, "prompted", model=CAPTIONER, prompt=SECRET).ok
    observed.post(f"/generate-text?model={CAPTIONER}&prompt={SECRET}", data=SMALL, headers=KEY)
    url = f"http://127.0.0.1:9/photo.jpg?token={SECRET}"
    assert observed.post("/generate-text", json={"image_url": url}, headers=KEY).status_code == 502
    assert observed.post("/generate-tags", json={"text": SECRET}, headers=KEY).status_code == 503
    assert observed.get(f"/models?{SECRET}", headers={"X-API-Key": SECRET}).status_code == 401
    generate(observed, SMALL, "last", model="rapidocr")
    assert lines(observed, "last")
    assert SECRET not in observed.log
    assert KEY["X-API-Key"] not in observed.log


def test_health_checks_do_not_fill_the_log(make_server: Callable[..., Server]) -> None:
    quiet = make_server()
    quiet.get("/metrics")
    quiet.get("/readyz")
    quiet.get("/models", headers={"X-Request-ID": "seen"})
    quiet.wait_for_log("seen")
    assert "/metrics" not in quiet.log
    assert "/readyz" not in quiet.log
    assert "/healthz" not in quiet.log


def test_a_captioned_photo_is_a_trace(observed: Server, collector: Collector) -> None:
    client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    photo = (Path(__file__).parents[3] / "Input" / "sign.jpg").read_bytes()
    answer = observed.post(
        f"/generate-text?model={CAPTIONER}",
        data=photo,
        headers=KEY | {"X-Request-ID": "photo", "traceparent": client},
    )
    assert answer.ok, answer.text
    root, stages = collector.trace("photo")
    assert root.name == "POST /generate-text"
    assert root.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert attributes(root) == {"request_id": "photo", "model": CAPTIONER, "http.response.status_code": 200}
    names = [span.name for span in sorted(stages, key=lambda span: span.start_time_unix_nano)]
    # The first request of a model waits until it is loaded.
    assert [name for name in names if name != "load"] == ["decode", "queue", "inference"]
    for span in stages:
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    assert attributes(next(span for span in stages if span.name == "inference"))["batch_size"] == 1
    assert collector.services == {"image-to-text"}


def test_a_page_of_twenty_lines_is_a_trace_with_its_batches(observed: Server, collector: Collector) -> None:
    page = encoded(PAGE, "BMP")
    assert generate(observed, page, "page", model=READER, max_new_tokens=3).ok
    _, stages = collector.trace("page")
    batches = [attributes(span) for span in stages if span.name == "inference"]
    reading = [batch["batch_size"] for batch in batches if batch["model"] == READER]
    assert sum(map(int, reading)) == 20
    assert max(map(int, reading)) == 8
    assert [batch["batch_size"] for batch in batches if batch["model"] == "rapidocr-lines"] == [1]
    assert len([span for span in stages if span.name == "decode"]) == 1


def test_what_was_not_sent_yet_is_sent_at_the_end(make_server: Callable[..., Server], collector: Collector) -> None:
    server = make_server(otel_exporter_otlp_endpoint=collector.url, otel_bsp_schedule_delay="60000")
    server.get("/models", headers={"X-Request-ID": "late"})
    assert server.stop() == 0
    root, _ = collector.trace("late", seconds=5)
    assert root.name == "GET /models"


def test_a_collector_without_opentelemetry_is_a_warning(make_server: Callable[..., Server], tmp_path: Path) -> None:
    hidden = tmp_path / "opentelemetry"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('hidden')", encoding="utf-8")
    server = make_server(otel_exporter_otlp_endpoint="http://127.0.0.1:9", pythonpath=os.pathsep.join([str(tmp_path)]))
    assert server.get("/models").ok
    assert "pip install -r requirements-tracing.txt" in server.log
