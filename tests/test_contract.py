"""What /openapi.json promises, the running service keeps: whatever is sent to it, and in the answers that are meant."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.schemas import BaseSchema

from app.api import azure_read, docling, huggingface, kserve, loaders, ollama, openai, photoprism
from app.api.openapi import document
from tests import drawn
from tests.app.api.test_native import SMALL, data_url
from tests.server import Server

PROMISED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# The same examples at every run.
BOUNDED = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
PAGE = drawn.pdf([drawn.page(["anchor"], (300, 100)), drawn.page(["basket"], (300, 100))])


DOORS = (azure_read, docling, huggingface, kserve, loaders, ollama, openai, photoprism)
OTHERS = [path for door in DOORS for path in door.paths().items()]
"""The paths of other protocols, of which a few examples must do: their clients' tests say more."""


def operations() -> Iterator[tuple[str, str, GenerationMode]]:
    """Yield methods and paths, and whether to send what the description allows or, in a body, what it does not."""
    for path, found in document("0", dict(OTHERS))["paths"].items():
        for method in found.keys() & {"get", "post", "put", "delete"}:
            # Any bytes are a document, be it one that is refused.
            kinds = found[method].get("requestBody", {}).get("content", {}).keys() - {"application/octet-stream"}
            modes = GenerationMode if kinds else (GenerationMode.POSITIVE,)
            yield from ((method.upper(), path, mode) for mode in modes)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, model_paths: str) -> Iterator[BaseSchema]:
    """A service by its own description. It reaches no port elsewhere: of the URLs sent, some are real."""
    running = Server(tmp_path_factory.mktemp("server"), model_paths=model_paths, fetch_ports=1)
    yield schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    running.kill()


@pytest.mark.parametrize(("method", "path", "mode"), sorted(operations()))
def test_whatever_is_sent_the_answer_is_as_described(
    described: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    @settings(max_examples=3 if path in dict(OTHERS) else 8, **BOUNDED)
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=PROMISED, timeout=120)

    send()


@pytest.mark.parametrize(
    ("method", "path", "send"),
    [
        ("POST", "/generate-text", lambda s: s.generate(SMALL, model="rapidocr")),
        ("POST", "/generate-text", lambda s: s.generate(SMALL, model="kosmos-2", tags="true", max_new_tokens=5)),
        ("POST", "/generate-text", lambda s: s.generate(SMALL, model="alt-text")),
        ("POST", "/generate-text", lambda s: s.generate(PAGE, model="rapidocr")),
        *[
            ("POST", "/generate-text", lambda s, kind=kind: s.generate(PAGE, model="rapidocr", format=kind))
            for kind in ("text", "hocr", "alto", "tsv", "markdown", "pdf")
        ],
        ("POST", "/generate-text", lambda s: s.generate(b"no image")),
        ("POST", "/generate-tags", lambda s: s.post("/generate-tags", json={"text": "a dog on a beach"})),
        ("GET", "/models", lambda s: s.get("/models")),
        ("POST", "/models/{name}/load", lambda s: s.post("/models/rapidocr/load")),
        ("GET", "/healthz", lambda s: s.get("/healthz")),
        ("GET", "/readyz", lambda s: s.get("/readyz")),
    ],
)
def test_answers_that_are_meant(
    server: Server, described: BaseSchema, method: str, path: str, send: Callable[[Server], requests.Response]
) -> None:
    response = send(server)
    assert response.ok == (b"no image" not in (response.request.body or b"")), response.text
    described[path][method].validate_response(response)


OPTIONS = (
    "model", "prompt", "tags", "tagger", "detail", "min_new_tokens", "max_new_tokens", "num_beams", "segment", "layout",
    "ocr", "language", "max_length", "format", "image_url", "image_file", "",
)  # fmt: skip
values = st.one_of(
    st.sampled_from(
        ["rapidocr", "blip-base", "auto", "true", "", "json", "lines", data_url(SMALL), "data:,", "http://"]
    ),
    st.text(max_size=20),
    st.integers(),
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def refused_or_answered(response: requests.Response) -> None:
    assert response.status_code in (200, 400, 404, 413, 415, 422), response.text


@settings(max_examples=60, **BOUNDED)
@given(
    fields=st.lists(st.tuples(st.sampled_from(OPTIONS) | st.text(max_size=5), values), max_size=4),
    files=st.lists(st.tuples(st.sampled_from(OPTIONS), st.text(max_size=9), st.just(SMALL) | st.binary()), max_size=2),
    cut=st.none() | st.integers(0, 400),
)
def test_forms_of_all_kinds(server: Server, fields: Any, files: Any, cut: int | None) -> None:
    parts = [(name, (None, str(value))) for name, value in fields] + [(n, (file, data)) for n, file, data in files]
    prepared = requests.Request("POST", server.url, files=parts or {"": ""}).prepare()
    kind = {"Content-Type": prepared.headers["Content-Type"]}
    refused_or_answered(server.post("/generate-text", data=prepared.body[:cut], headers=kind))  # type: ignore[index]


@settings(max_examples=60, **BOUNDED)
@given(body=st.dictionaries(st.sampled_from(OPTIONS), anything, max_size=4) | anything, damage=st.binary(max_size=3))
def test_json_of_all_kinds(server: Server, body: Any, damage: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for data in (json.dumps(body).encode(), json.dumps(body).encode()[: -len(damage) or None] + damage):
        refused_or_answered(server.post("/generate-text", data=data, headers=headers))


@settings(max_examples=40, **BOUNDED)
@given(body=st.binary(max_size=60), kind=st.sampled_from(["", "image/png", "application/x-www-form-urlencoded", "a"]))
def test_bodies_of_all_kinds(server: Server, body: bytes, kind: str) -> None:
    refused_or_answered(server.post("/generate-text?model=rapidocr", data=body, headers={"Content-Type": kind}))
