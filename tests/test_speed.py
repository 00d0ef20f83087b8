"""The benchmark of speed counts what it says, measures real servers, and writes where it should."""

import base64
import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import report, run
from benchmarks.speed import limits, pictures, plain
from benchmarks.speed.client import Request, Run, form, load
from benchmarks.speed.limits import Cost, Machine
from benchmarks.speed.sections import SECTIONS
from tests.conftest import encoded
from tests.server import NETWORKS, ROOT


class Stub:
    """A server that answers with what it is told, one status after the other, and then 200."""

    label = "stub"

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.extra: dict[str, Any] = {}
        self.bodies: list[bytes] = []
        stub, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    stub.bodies.append(body)
                    status = stub.statuses.pop(0) if stub.statuses else 200
                answer = json.dumps({"text": body.decode("latin-1")[:5], **stub.extra}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.web.server_port
        threading.Thread(target=self.web.serve_forever, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    running = Stub()
    yield running
    running.web.shutdown()
    running.web.server_close()


def requests(count: int) -> list[Request]:
    return [Request("/", "text/plain", f"{number:05}".encode()) for number in range(count)]


def test_every_request_is_answered_once_and_refused_ones_again(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.client._PAUSE", 0.01)
    stub.statuses = [429, 200, 429, 500]
    done = load(stub, requests(20), 4)  # type: ignore[arg-type]
    assert (len(done.latencies), done.refused, done.failed) == (19, 2, 1)
    assert len(stub.bodies) == 22
    assert len(set(stub.bodies)) == 20
    assert 0 < done.p50 <= done.p95 <= done.seconds
    assert done.throughput == 19 / done.seconds


def test_equal_requests_and_remembered_answers_are_no_measurement(stub: Stub) -> None:
    with pytest.raises(AssertionError, match="different"):
        load(stub, [*requests(3), *requests(1)], 2)  # type: ignore[arg-type]
    stub.extra = {"cached": True}
    with pytest.raises(AssertionError, match="memory"):
        load(stub, requests(3), 2)  # type: ignore[arg-type]


def test_percentiles() -> None:
    run = Run([float(number) for number in range(1, 101)], 50, 0, 0, ())
    assert (run.p50, run.throughput) == (50.5, 2.0)
    assert run.p95 == pytest.approx(95.05)
    assert Run([3.0], 3, 0, 0, ()).p95 == 3.0


def test_pictures_differ_and_are_the_same_again() -> None:
    some = pictures.photographs(5)
    assert len(set(some)) == 5
    assert some[3:] == pictures.photographs(2, 3)
    assert Image.open(io.BytesIO(some[0])).size == (640, 480)
    assert 150_000 < len(pictures.photograph(0, grain=32.0)) < 250_000
    texts = [*pictures.sentences(30, 9, 0), *pictures.sentences(30, 9, 1)]
    assert len(set(texts)) == 60
    assert {len(text.split()) for text in texts} == {9}


def test_the_service_cuts_a_page_into_as_many_lines_as_the_plain_one_is_given() -> None:
    from models.base import Job, Options, Placement
    from models.discovery import discover

    sheet, lines = pictures.page(20, 1)
    segmenter = discover()["rapidocr-lines"]
    assert segmenter.source.directory is not None
    loaded = segmenter.load(segmenter.source.directory, Placement())
    (cut,) = loaded.predict([Job(plain.opened(sheet), options=Options(segment="lines"))])
    assert len(cut.crops or ()) == len(lines) == 20


def test_least_time_of_a_batch() -> None:
    cost = Cost(flop=100e9, step_bytes=200e6, steps=20)
    assert cost.seconds(Machine(rate=1e12, bandwidth=40e9)) == pytest.approx(0.1 + 0.1)
    assert cost.seconds(Machine(rate=1e12, bandwidth=40e9), batch=8) == pytest.approx(0.8 + 0.1)


def test_least_time_of_so_many_texts_that_multiplying_takes_longer_than_reading() -> None:
    cost = Cost(flop=100e9, step_bytes=200e6, steps=20, beams=8)
    # 64 texts, of each of the 100 million weights a multiplication and an addition.
    assert cost.seconds(Machine(rate=1e12, bandwidth=40e9), batch=8) == pytest.approx(0.8 + 20 * 0.0128)


@pytest.mark.parametrize("name", ["blip-base", "trocr-large-handwritten", "kosmos-2"])
def test_what_a_step_reads(
    checkpoints: dict[str, Path], pictures: list[Image.Image], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.nn.modules.module import register_module_forward_hook

    read = 0

    def count(module: torch.nn.Module, *_: object) -> None:
        nonlocal read
        if isinstance(module, torch.nn.Linear):
            read += module.weight.numel()

    predict, totals = plain.load(checkpoints[name], torch.float32), []
    hook = register_module_forward_hook(count)
    try:
        for tokens in (4, 5):
            monkeypatch.setattr(plain, "_LENGTH", {"min_new_tokens": tokens, "max_new_tokens": tokens})
            read = 0
            predict(pictures[:1])
            totals.append(read)
    finally:
        hook.remove()
    step = limits.cost(checkpoints[name]).step_bytes / 2
    # transformers' TrOCR projects what it sees anew at each step, which nothing demands.
    assert step < totals[1] - totals[0] if name.startswith("trocr") else step == totals[1] - totals[0]


def test_what_a_text_costs(checkpoints: dict[str, Path]) -> None:
    cost = limits.cost(checkpoints["t5-tags"])
    assert cost.step_bytes > 0
    assert cost.flop > 0
    assert cost.steps == 64


def test_the_plain_way_says_what_the_service_says(checkpoints: dict[str, Path], pictures: list[Image.Image]) -> None:
    import torch

    from models.base import Job, Options, Placement
    from models.discovery import discover, with_local_paths

    options = Options(min_new_tokens=20, max_new_tokens=20)
    for name in ("blip-base", "kosmos-2", "trocr-large-handwritten"):
        model = with_local_paths(discover(), checkpoints)[name]
        loaded = model.load(checkpoints[name], Placement(precision="float32", cache=NETWORKS))
        ours = [prediction.text for prediction in loaded.predict([Job(image, options=options) for image in pictures])]
        texts = plain.load(checkpoints[name], torch.float32)(pictures)
        assert [text.strip() for text in texts] == ours


def test_litserve_captions_a_batch(checkpoints: dict[str, Path], pictures: list[Image.Image]) -> None:
    pytest.importorskip("litserve", reason="requirements-bench.txt is not installed")
    from benchmarks.speed.lit import Captioner

    captioner = Captioner(checkpoints["blip-base"])
    captioner.setup("cpu")
    requests = [{"image": base64.b64encode(encoded(picture)).decode()} for picture in pictures[:3]]
    texts = captioner.predict([captioner.decode_request(request) for request in requests])
    assert [captioner.encode_response(text) for text in texts] == [{"text": text} for text in texts]
    assert len(texts) == 3


def test_sections_measure_real_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    marks = "<!-- http: begin -->\nold\n<!-- http: end -->\n<!-- doors: begin -->\n<!-- doors: end -->"
    readme.write_text(f"before\n{marks}\nafter\n")
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    monkeypatch.setattr(run, "HERE", tmp_path)
    run.main(["--only", "http,doors", "--share", "0.02", "--write"])
    before, *_, after = readme.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert "old" not in readme.read_text()
    assert re.search(r"\| HTTP, decoding, storing \(\d+ kB, 640 x 480\) \| [\d.]+ m?s \|", readme.read_text())
    assert len(re.findall(r"\| [\d.]+ ms \| [\d.]+ ms \| -?[\d.]+ ms \|", readme.read_text())) == 6
    assert "an answer from memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nonesuch"], "no section"),
        (["--only", "captions"], "blip-base=DIRECTORY"),
        (["blip-base"], "NAME=DIRECTORY"),
        (["--only", "http", "--share", "0"], "--share"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run.main(arguments)
    assert message in capsys.readouterr().err


def test_the_readme_has_room_for_every_section(tmp_path: Path) -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name in SECTIONS:
        assert readme.count(f"<!-- {name}: begin -->") == readme.count(f"<!-- {name}: end -->") == 1
    with pytest.raises(ValueError, match="no section"):
        report.write("nonesuch", "")


def test_the_plot_is_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        report.plot(tmp_path / name, {"this service": {1: 2.0, 4: 5.0}, "another": {1: 1.0, 4: 1.5}})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"captions per second" in (tmp_path / "a.svg").read_bytes() or (tmp_path / "a.svg").stat().st_size > 5_000


def test_a_form_is_what_the_service_reads() -> None:
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request as Read

    request = form(b"\xff\xd8 bytes", {"model": "blip-base", "min_new_tokens": 20})
    builder = EnvironBuilder(method="POST", data=request.body, content_type=request.content_type)
    read = Read(builder.get_environ())
    assert read.form.to_dict() == {"model": "blip-base", "min_new_tokens": "20"}
    assert read.files["image_file"].read() == b"\xff\xd8 bytes"
