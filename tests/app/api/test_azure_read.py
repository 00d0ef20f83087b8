"""Azure Document Intelligence's protocol, driven by Azure's own client and as paperless-ngx drives it."""

import base64
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from azure.ai.documentintelligence import DocumentIntelligenceClient
from azure.ai.documentintelligence.models import AnalyzeDocumentRequest, AnalyzeOutputOption, DocumentContentFormat
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from app.api import azure_read, reading
from app.api.gateway import Gateway
from app.exports import layout
from app.operations import Operations
from app.types import Request
from tests import drawn
from tests.app.api.test_native import INVOICE
from tests.app.exports import documents
from tests.app.exports.test_pdf import program
from tests.app.test_documents import BORN, LOCK, written_pdf
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import Server

KEY = "a-key"
ANALYZE = "/documentintelligence/documentModels/prebuilt-read:analyze"
SIZE = (360, 100)
FIVE = [drawn.page([f"{word} number"], SIZE) for word in drawn.WORDS[:5]]


def client_of(server: Server, key: str = "none", **options: Any) -> DocumentIntelligenceClient:
    return DocumentIntelligenceClient(endpoint=server.url, credential=AzureKeyCredential(key), **options)


def begin(client: DocumentIntelligenceClient, data: bytes, **options: Any) -> Any:
    return client.begin_analyze_document("prebuilt-read", AnalyzeDocumentRequest(bytes_source=data), **options)


def test_documents_are_read_as_paperless_reads_them(server: Server, tmp_path: Path) -> None:
    client = client_of(server)
    # All at once: the client waits a second before it looks after each.
    paperless = begin(
        client,
        drawn.pdf(FIVE),
        output_content_format=DocumentContentFormat.TEXT,
        output=[AnalyzeOutputOption.PDF],
        content_type="application/json",
    )
    image = client.begin_analyze_document("prebuilt-read", encoded(FIVE[1]), content_type="image/png", locale="en")
    some = begin(client, drawn.pdf(FIVE), pages="2,4-5", output_content_format="markdown")
    born = begin(client, BORN, output=[AnalyzeOutputOption.PDF])
    locked = begin(client, written_pdf(trailer=LOCK))
    invoice = begin(client, INVOICE)

    paperless.wait()
    result = paperless.result()
    assert result.content == "\n\n".join(f"{word} number" for word in drawn.WORDS[:5])
    assert (result.model_id, result.api_version, result.content_format) == ("prebuilt-read", "2024-11-30", "text")
    archive = tmp_path / "archive.pdf"
    operation_id = paperless.details["operation_id"]
    archive.write_bytes(b"".join(client.get_analyze_result_pdf(model_id="prebuilt-read", result_id=operation_id)))
    read = subprocess.run([program("pdftotext"), archive, "-"], capture_output=True, text=True, check=True).stdout
    assert read.split() == result.content.split()
    assert [page.page_number for page in result.pages] == [1, 2, 3, 4, 5]
    for page, drawing in zip(result.pages, FIVE, strict=True):
        assert (page.unit, page.width) == ("inch", pytest.approx(drawing.width / 200, abs=0.02))
        (line,) = page.lines
        for place in (*page.spans, *line.spans):
            assert result.content[place.offset : place.offset + place.length] == line.content
        for word in page.words:
            assert result.content[word.span.offset : word.span.offset + word.span.length] == word.content
            assert 0.5 < word.confidence <= 1
            assert all(0 <= side <= page.width for side in word.polygon)
        assert len(page.words) == 2
        assert page.words[0].polygon[2] < page.words[1].polygon[0] + 0.1

    (page,) = image.result().pages
    assert (page.unit, page.width, page.height) == ("pixel", *SIZE)
    native = server.generate(encoded(FIVE[1]), model="rapidocr").json()["lines"][0]["polygon"]
    flat = [side * size for point in native for side, size in zip(point, SIZE, strict=True)]
    assert page.lines[0].polygon == pytest.approx(flat, abs=0.01)

    chosen = some.result()
    assert [page.page_number for page in chosen.pages] == [2, 4, 5]
    assert chosen.content == "\n***\n\n".join(f"{word} number\n" for word in (*drawn.WORDS[1:2], *drawn.WORDS[3:5]))
    with pytest.raises(HttpResponseError, match="output=pdf"):
        list(client.get_analyze_result_pdf("prebuilt-read", some.details["operation_id"]))

    table = invoice.result()
    assert "Description Quantity Unit price Amount" in table.content
    words = table.pages[0].words
    assert [word.content for word in words] == [
        table.content[word.span.offset : word.span.offset + word.span.length] for word in words
    ]

    # A sound text layer is kept, and gets no other: paperless-ngx#13263.
    assert born.result().content == "Received with thanks"
    assert [word.confidence for word in born.result().pages[0].words] == [1, 1, 1]
    kept = client.get_analyze_result_pdf("prebuilt-read", born.details["operation_id"])
    assert b"".join(kept) == BORN
    with pytest.raises(HttpResponseError, match="locked"):
        locked.result()

    client.delete_analyze_result("prebuilt-read", operation_id)
    with pytest.raises(ResourceNotFoundError, match="no such operation"):
        list(client.get_analyze_result_pdf("prebuilt-read", operation_id))
    with pytest.raises(ResourceNotFoundError, match="prebuilt-invoice"):
        client.begin_analyze_document("prebuilt-invoice", AnalyzeDocumentRequest(bytes_source=BORN))
    for pages in ("2-1", "abc", "1,,2"):
        with pytest.raises(HttpResponseError, match="pages"):
            begin(client, BORN, pages=pages)


def test_words_have_their_places_in_whatever_order_they_come() -> None:
    found = replace(documents.row("Bread", "1,59", "none"), text="Now 1,59 Bread")
    line = layout.place(found, documents.page())
    spans = [word["span"] for word in azure_read._words(line, 10, 1.0)]
    assert [(span["offset"], span["length"]) for span in spans] == [(19, 5), (14, 4), (18, 0)]


def test_a_document_that_cannot_begin_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has no thread left. The executor keeps what it was given, and does it later."""
    ended: list[None] = []
    service = SimpleNamespace(generate=lambda *_: None)
    gateway = SimpleNamespace(operations=Operations(2), service=service)
    door = reading.Reading(cast(Gateway, gateway))
    monkeypatch.setattr(reading, "count_left", lambda: lambda: ended.append(None))

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="thread"):
            door.start(Request(b""), str)
    assert len(ended) == 1
    assert door.start(Request(b""), str).result() == "None"
    assert len(ended) == 2


def test_a_long_document_is_followed_and_given_up(server: Server) -> None:
    fifty = {"base64Source": base64.b64encode(drawn.pdf(FIVE * 10)).decode()}
    begun = requests.post(server.url + ANALYZE, json=fifty, timeout=60)
    assert (begun.status_code, begun.headers["Retry-After"]) == (202, "1")
    address = begun.headers["Operation-Location"]
    assert address.startswith(f"{server.url}/documentintelligence/")

    def progress() -> dict[str, Any]:
        told: dict[str, Any] = requests.get(address, timeout=60).json()
        return told

    told = progress()
    assert told["status"] in ("notStarted", "running")
    wait_until(lambda: progress().get("percentCompleted", 0) >= 4, seconds=120)
    told = progress()
    assert told["status"] == "running"
    assert 4 <= told["percentCompleted"] < 100
    assert told["createdDateTime"] <= told["lastUpdatedDateTime"]
    assert "analyzeResult" not in told
    early = requests.get(address.replace("?", "/pdf?"), timeout=60)
    assert (early.status_code, early.json()["error"]["code"]) == (404, "NotFound")
    assert requests.delete(address, timeout=60).status_code == 204
    gone = requests.get(address, timeout=60)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "NotFound")
    # Nobody reads on: the model is free.
    assert server.generate(encoded(FIVE[0]), model="rapidocr").json()["timings_ms"]["queue"] < 5_000


def test_keys_limits_and_a_restart(make_server: Callable[..., Server]) -> None:
    settings = {"api_keys": KEY, "client_requests": 1}
    first = make_server(**settings)
    with pytest.raises(ClientAuthenticationError, match="API_KEYS"):
        begin(client_of(first, "wrong"), BORN)
    # Patient: the service needs seconds to start again.
    client = client_of(first, KEY, retry_total=100, retry_connect=100, retry_backoff_max=0.5)
    long = begin(client, drawn.pdf(FIVE * 10))
    # A client may leave only so much behind; it may still ask after that.
    refused = first.post(ANALYZE, data=BORN, headers={"Ocp-Apim-Subscription-Key": KEY})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "TooManyRequests")
    port = first.url.rpartition(":")[2]
    first.kill()
    second = make_server(**settings, port=port)
    assert second.url == first.url
    with pytest.raises(HttpResponseError, match="was restarted"):
        long.result()
