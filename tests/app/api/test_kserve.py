"""KServe's Open Inference Protocol, driven by Triton's client."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests import drawn
from tests.conftest import encoded
from tests.server import Server

WORDS = ("anchor basket", "candle desert")
PAGES = [encoded(drawn.page([words], (360, 100))) for words in WORDS]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    connected = triton.InferenceServerClient(server.url.removeprefix("http://"), network_timeout=120)
    yield connected
    connected.close()


def tensor(elements: list[Any], binary: bool = True) -> triton.InferInput:
    image = triton.InferInput("image", [len(elements)], "BYTES")
    image.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
    return image


def test_what_there_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("rapidocr")
    assert not client.is_model_ready("nonesuch")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    about = client.get_model_metadata("rapidocr")
    assert about["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [output["name"] for output in about["outputs"]] == ["text", "answer"]


def test_binary_tensors(server: Server, client: triton.InferenceServerClient) -> None:
    result = client.infer("rapidocr", [tensor(PAGES)], request_id="7")
    assert [text.decode() for text in result.as_numpy("text")] == list(WORDS)
    said = [json.loads(answer) for answer in result.as_numpy("answer")]
    native = [server.generate(page, model="rapidocr").json() for page in PAGES]
    assert [answer["lines"] for answer in said] == [answer["lines"] for answer in native]
    assert result.get_response()["id"] == "7"


def test_json_tensors(client: triton.InferenceServerClient) -> None:
    plain, url = (base64.b64encode(page).decode() for page in PAGES)
    wanted = [triton.InferRequestedOutput("text", binary_data=False)]
    image = tensor([plain, f"data:image/png;base64,{url}"], binary=False)
    result = client.infer("rapidocr", [image], outputs=wanted)
    assert result.get_output("text")["data"] == list(WORDS)
    assert result.as_numpy("answer") is None
    # One output in each way.
    wanted.append(triton.InferRequestedOutput("answer", binary_data=True))
    mixed = client.infer("rapidocr", [tensor(PAGES[:1])], outputs=wanted)
    assert mixed.get_output("text")["data"] == [WORDS[0]]
    assert json.loads(mixed.as_numpy("answer")[0])["text"] == WORDS[0]


def test_errors(server: Server, client: triton.InferenceServerClient) -> None:
    for inputs, model, says in (
        ([tensor(PAGES[:1])], "nonesuch", "not found"),
        ([tensor([b"no image"])], "rapidocr", "not an image"),
        ([tensor(PAGES[:1]), tensor(PAGES[:1])], "rapidocr", "one input"),
        ([tensor([])], "rapidocr", "empty"),
        ([tensor(PAGES[:1] * 17)], "rapidocr", "at most 16"),
    ):
        with pytest.raises(InferenceServerException, match=says):
            client.infer(model, inputs)
    numbers = triton.InferInput("image", [1, 2, 2], "UINT8")
    numbers.set_data_from_numpy(np.zeros((1, 2, 2), dtype=np.uint8))
    with pytest.raises(InferenceServerException, match="BYTES"):
        client.infer("rapidocr", [numbers])
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    nested = {"name": "image", "datatype": "BYTES", "shape": [1], "data": deep}
    assert server.post("/v2/models/rapidocr/infer", json={"inputs": [nested]}).status_code == 400
    head = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 3}}
    body = json.dumps({"inputs": [head]}).encode()
    cut_off = [(b"\x09\0\0", len(body)), (b"\x09\0\0\0", len(body))]
    for tail, length in (*cut_off, (b"", 10_000), (b"", "²"), (b"", "9" * 5_000), (b"", "-1")):
        headers = {"Inference-Header-Content-Length": str(length)}
        refused = server.post("/v2/models/rapidocr/infer", data=body + tail, headers=headers)
        assert (refused.status_code, refused.json().keys()) == (400, {"error"})


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        # Beside a list nested deeply, which is flattened in one pass.
        ({"data": ["", *[""] * 100_000, json.loads("[" * 900 + '""' + "]" * 900)]}, 422, "at most 16"),
        # Refused before any is decoded.
        ({"data": ["no base64"] * 17}, 422, "at most 16"),
        ({"shape": [10**1_000] * 5_000}, 400, "the shape of image is not that of its 1 elements"),
        ({"shape": [-1, -1]}, 400, "the shape"),
    ],
)
def test_large_tensors_are_refused_at_once(server: Server, sent: dict[str, Any], status: int, says: str) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PAGES[0]).decode()], **sent}
    begun = time.monotonic()
    refused = server.post("/v2/models/rapidocr/infer", json={"inputs": [image]})
    assert (refused.status_code, says in refused.json()["error"]) == (status, True), refused.text
    assert time.monotonic() < begun + 3


def test_each_output_comes_once(server: Server) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [[base64.b64encode(PAGES[0]).decode()]]}
    for outputs, status in (["text", "answer"], 200), (["answer"] * 2, 400):
        asked = {"inputs": [image], "outputs": [{"name": name} for name in outputs]}
        assert server.post("/v2/models/rapidocr/infer", json=asked).status_code == status
