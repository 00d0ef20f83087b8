"""docling-serve's protocol, Open WebUI's loaders and Tika's, as their clients' sources send and read them."""

import base64
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
import requests
from flask import Flask
from PIL import Image
from pydantic import BaseModel, ConfigDict

from app.api import docling
from app.api.gateway import Gateway
from app.api.reading import Reading
from app.operations import Operations
from app.types import IsCancelled, ReportProgress
from tests import drawn
from tests.app.api.test_native import INVOICE
from tests.conftest import encoded
from tests.fakes import wait_until
from tests.server import Server

WORDS = ["anchor basket", "candle desert", "engine forest"]
DOCUMENT = drawn.pdf([drawn.page([words], (360, 100)) for words in WORDS])
TEXT = "\n\n".join(WORDS)
MARKDOWN = "\n***\n\n".join(f"{words}\n" for words in WORDS)
BLANK = encoded(Image.new("RGB", (60, 60), "white"))


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class ExportDocumentResponse(Strict):
    """docling_jobkit/datamodel/result.py"""

    filename: str
    md_content: str | None = None
    json_content: dict[str, Any] | None = None
    html_content: str | None = None
    text_content: str | None = None
    doctags_content: str | None = None


class ErrorItem(Strict):
    component_type: str
    module_name: str
    error_message: str


class ConvertDocumentResponse(Strict):
    document: ExportDocumentResponse
    status: str
    errors: list[ErrorItem]
    processing_time: float
    timings: dict[str, Any]


class TaskStatusResponse(Strict):
    task_id: str
    task_type: str
    task_status: str
    task_position: int | None = None
    task_meta: dict[str, Any] | None = None


def test_paperless_gpt(server: Server) -> None:
    """ocr/docling_provider.go: any bytes are sent as document.pdf."""
    fields = {"to_formats": "md", "do_ocr": "true", "pipeline": "standard", "ocr_engine": "easyocr"}
    fields["image_export_mode"] = "embedded"
    for data, text in ((DOCUMENT, MARKDOWN), (encoded(drawn.page(WORDS[:1], (360, 100))), f"{WORDS[0]}\n")):
        files = {"files": ("document.pdf", data)}
        response = server.post("/v1/convert/file", data=fields, files=files, headers={"Accept": "application/json"})
        said = ConvertDocumentResponse.model_validate(response.json())
        assert (said.status, said.errors, said.document.filename) == ("success", [], "document.pdf")
        # The text, else the Markdown.
        assert (said.document.text_content or said.document.md_content) == text


def test_open_webui_by_docling(server: Server) -> None:
    """retrieval/loaders/main.py, DoclingLoader"""
    files = {"files": ("/app/uploads/a.pdf", DOCUMENT, "application/pdf")}
    headers = {"X-Api-Key": "none"}
    more = {"image_export_mode": "placeholder", "pdf_backend": "dlparse_v4", "table_mode": "accurate"}
    response = server.post("/v1/convert/file", files=files, data=more, headers=headers)
    assert response.json().get("document", {}).get("md_content", "<No text content found>") == MARKDOWN
    refused = server.post("/v1/convert/file", files={"files": ("a.docx", b"PK\3\4")}, data=more, headers=headers)
    assert refused.status_code == 415
    assert "PDF" in refused.json()["detail"]


def test_tables_are_tables(server: Server) -> None:
    said = server.post("/v1/convert/file", files={"files": ("invoice.png", INVOICE)}).json()
    assert (
        "| Description | Quantity | Unit price | Amount |\n| --- | --- | --- | --- |" in said["document"]["md_content"]
    )


def test_formats_pages_and_sources(server: Server) -> None:
    wanted = {"to_formats": ["md", "text", "json"], "page_range": ["2", "3"]}
    said = ConvertDocumentResponse.model_validate(
        server.post("/v1/convert/file", data=wanted, files={"files": ("a.pdf", DOCUMENT)}).json()
    )
    assert (said.status, said.document.text_content) == ("partial_success", "\n\n".join(WORDS[1:]))
    assert said.document.json_content is None
    assert "json" in said.errors[0].error_message
    source = {"kind": "file", "base64_string": base64.b64encode(DOCUMENT).decode(), "filename": "a.pdf"}
    body = {"options": {"to_formats": ["text"], "do_ocr": True}, "sources": [source], "target": {"kind": "inbody"}}
    said = ConvertDocumentResponse.model_validate(server.post("/v1/convert/source", json=body).json())
    assert (said.status, said.document.text_content, said.document.md_content) == ("success", TEXT, None)
    only = server.post("/v1/convert/source", json=body | {"options": {"to_formats": ["html"]}}).json()
    assert (only["status"], len(only["errors"])) == ("failure", 1)
    for wrong in (
        {"sources": []},
        {"sources": [{"kind": "s3"}]},
        {"sources": [source], "options": {"page_range": [2]}},
        {"sources": [source], "options": {"page_range": [1, math.inf]}},
    ):
        refused = server.post(
            "/v1/convert/source", data=json.dumps(wrong), headers={"Content-Type": "application/json"}
        )
        assert refused.status_code in (400, 422)
        assert refused.json().keys() == {"detail"}
    for files in ({}, {"files": ("a", b""), "file": ("b", b"")}):
        assert "files" in server.post("/v1/convert/file", files=files or None).json()["detail"] or files


def test_a_poll_that_waits_is_a_request_in_work() -> None:
    operations, converted = Operations(2), threading.Event()

    def convert(progress: ReportProgress, cancelled: IsCancelled) -> bytes:
        converted.wait(30)
        return b"{}"

    app = Flask(__name__)
    app.register_blueprint(docling.door(Reading(cast(Gateway, SimpleNamespace(operations=operations)))).blueprint)
    address = f"/v1/status/poll/{operations.submit(convert, keep=True, detached=True).id}?wait=30"

    def poll() -> Any:
        return app.test_client().get(address).get_json()["task_status"]

    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(poll)
            wait_until(lambda: operations.in_work == 2)
            # Another one would hold a thread that nobody has counted on.
            begun = time.monotonic()
            assert poll() == "pending"
            assert time.monotonic() < begun + 10
            assert not waiting.done()
        finally:
            converted.set()
        assert waiting.result(10) == "success"
    wait_until(lambda: operations.in_work == 0)


def test_conversions_in_the_background(server: Server) -> None:
    """docling_serve/app.py: a task is polled for, then its result is fetched."""

    def start(data: bytes) -> TaskStatusResponse:
        answer = server.post("/v1/convert/file/async", files={"files": ("a.pdf", data)})
        return TaskStatusResponse.model_validate(answer.json())

    def poll(task: TaskStatusResponse, wait: float = 0) -> TaskStatusResponse:
        answer = server.get(f"/v1/status/poll/{task.task_id}?wait={wait}")
        return TaskStatusResponse.model_validate(answer.json())

    task, broken = start(DOCUMENT), start(b"%PDF-1.4 broken")
    assert task.task_type == "convert"
    assert task.task_status in ("pending", "started", "success")
    wait_until(lambda: poll(task, wait=5).task_status == "success", seconds=60)
    said = ConvertDocumentResponse.model_validate(server.get(f"/v1/result/{task.task_id}").json())
    assert said.document.md_content == MARKDOWN
    assert poll(broken, wait=30).task_status == "failure"
    failed = server.get(f"/v1/result/{broken.task_id}")
    assert (failed.status_code, failed.json()) == (422, {"detail": "the PDF is broken, or without pages"})
    assert server.get(f"/v1/status/poll/{task.task_id}?wait=nan").ok
    unknown = server.get("/v1/status/poll/nonesuch")
    assert (unknown.status_code, unknown.json().keys()) == (404, {"detail"})
    elsewhere = f"/documentintelligence/documentModels/prebuilt-read/analyzeResults/{task.task_id}"
    assert server.get(elsewhere).status_code == 404


def test_open_webui_by_its_external_loader(server: Server) -> None:
    """retrieval/loaders/external_document.py"""
    headers = {"Content-Type": "application/pdf", "Authorization": "Bearer none", "X-Filename": quote("Rücksicht.pdf")}
    response = requests.put(f"{server.url}/process", data=DOCUMENT, headers=headers, timeout=60)
    assert response.ok
    said = response.json()
    assert said["page_content"] == TEXT
    assert said["metadata"]["source"] == "Rücksicht.pdf"
    blank = requests.put(f"{server.url}/process", data=BLANK, headers={"Content-Type": "image/png"}, timeout=60)
    assert blank.status_code == 422
    # At these words Open WebUI takes its own loader.
    assert "No extractable text" in blank.json()["detail"]


@pytest.mark.parametrize(("data", "kind"), [(DOCUMENT, "application/pdf"), (BLANK, "image/png")])
def test_open_webui_by_tika(server: Server, data: bytes, kind: str) -> None:
    """retrieval/loaders/main.py, TikaLoader"""
    headers = {"X-Tika-PDFextractInlineImages": "true"}
    response = requests.put(f"{server.url}/tika/text", data=data, headers=headers, timeout=60)
    assert response.ok
    raw_metadata = response.json()
    text = raw_metadata.get("X-TIKA:content", "<No text content found>").strip()
    assert (text, raw_metadata["Content-Type"]) == (TEXT if kind == "application/pdf" else "", kind)
