"""KServe's Open Inference Protocol, version 2, with the extension for binary tensors.

A model takes a tensor `image` of BYTES: files, addresses or base64. It gives `text`, and `answer`, which is what
`POST /generate-text` says, as JSON.
"""

import json
import re
import struct
from collections.abc import Iterator, Sequence
from functools import partial, reduce
from itertools import islice
from typing import Any, TypeGuard

from flask import Blueprint, Response, g, jsonify, request

from app.api.bodies import Fields, fields_of
from app.api.door import Door
from app.api.gateway import MAX_IMAGES, Gateway
from app.api.paths import in_path, json_of, operation
from app.api.schemas import Answer as NativeAnswer
from app.api.schemas import Problem
from app.errors import BadRequest, NotFound
from app.types import Answer, Request
from models.registry import Entry

_HEADER = "Inference-Header-Content-Length"
_OUTPUTS = ("text", "answer")
_LENGTH = struct.Struct("<I")
_NUMBER = re.compile("[0-9]{1,18}")


def door(gateway: Gateway, version: str) -> Door:
    """Return the front door of KServe's protocol."""
    kserve = Blueprint("kserve", __name__)

    @kserve.get("/v2")
    def server() -> Response:
        """Describe the server."""
        return jsonify({"name": "image-to-text", "version": version, "extensions": ["binary_tensor_data"]})

    @kserve.get("/v2/health/live")
    def live() -> Response:
        """Say that the process lives."""
        return jsonify({"live": True})

    @kserve.get("/v2/health/ready")
    def ready() -> Response:
        """Say that the default model is on this machine."""
        gateway.service.check_ready()
        return jsonify({"ready": True})

    @kserve.get("/v2/models/<name>")
    def model(name: str) -> Response:
        """Describe a model."""
        return jsonify(_metadata(_entry(gateway, name)))

    @kserve.get("/v2/models/<name>/ready")
    def model_ready(name: str) -> Response:
        """Say that a model is on this machine."""
        return jsonify({"name": _entry(gateway, name).model.name, "ready": True})

    @kserve.post("/v2/models/<name>/infer")
    def infer(name: str) -> Response:
        """Ask a model about images."""
        entry, (fields, tail) = _entry(gateway, name), _parts()
        images, shape = _images(gateway, fields, tail)
        answers = [gateway.generate(image, entry.model.name) for image in images]
        head = {"model_name": entry.model.name, "model_version": "1"}
        if isinstance(fields.get("id"), str):
            head["id"] = fields["id"]
        return _response(head, list(_outputs(fields, answers)), shape)

    return Door(kserve, paths(), ("/v2",), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in KServe's shape."""
    return {"error": problem.detail}, {}


def _entry(gateway: Gateway, name: str) -> Entry:
    entry = gateway.entry(name)
    if not entry.model.turns_image_into_text:
        raise NotFound(f"the model {name[:100]} does not turn images into text")
    return entry


def _metadata(entry: Entry) -> Fields:
    tensor = {"datatype": "BYTES", "shape": [-1]}
    return {
        "name": entry.model.name,
        "versions": ["1"],
        "platform": "image-to-text",
        "inputs": [{"name": "image", **tensor}],
        "outputs": [{"name": name, **tensor} for name in _OUTPUTS],
    }


def _parts() -> tuple[Fields, bytes]:
    """Return the JSON of the current request, and the binary tensors after it."""
    body = request.get_data(cache=True)
    length = request.headers.get(_HEADER)
    if length is None:
        return fields_of(body), b""
    if not _NUMBER.fullmatch(length) or int(length) > len(body):
        raise BadRequest(f"{_HEADER} must be the length of the JSON, at most that of the body")
    return fields_of(body[: int(length)]), body[int(length) :]


def _images(gateway: Gateway, fields: Fields, tail: bytes) -> tuple[list[Request], list[int]]:
    """Return the images of the one input, and its shape."""
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest("send one input: the tensor image, of BYTES")
    (tensor,) = inputs
    if tensor.get("name") != "image" or tensor.get("datatype") != "BYTES":
        raise BadRequest(
            "the input must be a tensor named image of datatype BYTES: files of images, or their addresses"
        )
    size = _parameters(tensor).get("binary_data_size")
    if size not in (None, len(tail)):
        raise BadRequest(f"binary_data_size is not the {len(tail)} bytes after the JSON")
    elements: Iterator[Any] = _flat(tensor.get("data")) if size is None else _elements(tail)
    # One too many are refused before any is decoded.
    some = list(islice(elements, MAX_IMAGES + 1))
    gateway.check_number(len(some))
    shape = tensor.get("shape")
    if not _is_shape_of(shape, len(some)):
        raise BadRequest(f"the shape of image is not that of its {len(some)} elements")
    if not some:
        raise BadRequest("the tensor image is empty")
    return [gateway.image(one) if size is None else _image(gateway, one) for one in some], shape


def _is_shape_of(shape: Any, count: int) -> TypeGuard[list[int]]:
    """Return whether a tensor of that shape has so many elements, at most MAX_IMAGES."""
    if not isinstance(shape, list) or not all(isinstance(side, int) and side >= 0 for side in shape):
        return False
    # The product of all sides may have millions of digits.
    return reduce(lambda product, side: min(product * side, MAX_IMAGES + 1), shape, 1) == count


def _image(gateway: Gateway, element: bytes) -> Request:
    """Return the image of an element, which is a file, or the text of an address."""
    if element[:8].lower().startswith((b"data:", b"http://", b"https://")):
        return gateway.image(element.decode(errors="replace"))
    return Request(element)


def _elements(data: bytes) -> Iterator[bytes]:
    """Yield the elements of a tensor of BYTES: each has its length before it, in four bytes, the lowest first."""
    position = 0
    while position < len(data):
        start = position + _LENGTH.size
        end = start + (_LENGTH.unpack_from(data, position)[0] if start <= len(data) else 0)
        if start > len(data) or end > len(data):
            raise BadRequest("the binary tensor is cut off")
        yield data[start:end]
        position = end


def _flat(data: Any) -> Iterator[Any]:
    """Yield the elements of a tensor of any number of dimensions."""
    if not isinstance(data, list):
        raise BadRequest("the tensor image has no data")
    waiting: list[Any] = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        else:
            yield item


def _outputs(fields: Fields, answers: Sequence[Answer]) -> Iterator[tuple[str, list[str], bool]]:
    """Yield name, values and whether they are wanted in binary, for each output that is wanted; all where none is
    named."""
    binary = _parameters(fields).get("binary_data_output") is True
    wanted = fields.get("outputs") or [{"name": name} for name in _OUTPUTS]
    if not isinstance(wanted, list) or not all(isinstance(one, dict) and one.get("name") in _OUTPUTS for one in wanted):
        raise BadRequest(f"there are the outputs {' and '.join(_OUTPUTS)}")
    if len({output["name"] for output in wanted}) < len(wanted):
        raise BadRequest("ask for each output once")
    for output in wanted:
        values = [
            one.text
            if output["name"] == "text"
            else NativeAnswer.of(one, g.request_id).model_dump_json(exclude_none=True)
            for one in answers
        ]
        yield output["name"], values, _parameters(output).get("binary_data", binary) is True


def _response(head: Fields, outputs: Sequence[tuple[str, list[str], bool]], shape: list[int]) -> Response:
    """Return outputs as JSON, with those that are wanted in binary after it."""
    described, tail = [], b""
    for name, values, binary in outputs:
        tensor: Fields = {"name": name, "datatype": "BYTES", "shape": shape}
        if binary:
            packed = b"".join(_LENGTH.pack(len(value)) + value for value in (text.encode() for text in values))
            tail += packed
            described.append({**tensor, "parameters": {"binary_data_size": len(packed)}})
        else:
            described.append({**tensor, "data": values})
    whole = json.dumps({**head, "outputs": described}).encode()
    if not tail:
        return Response(whole, mimetype="application/json")
    return Response(whole + tail, mimetype="application/octet-stream", headers={_HEADER: str(len(whole))})


def _parameters(of: Fields) -> Fields:
    parameters = of.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


_described = partial(operation, "KServe", "As the Open Inference Protocol has it.", "`error`, a text.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    tensors = json_of("inputs", id="string", inputs="array", outputs="array", parameters="object")
    model = in_path("name")
    return {
        "/v2": {"get": _described("kserveServer", "Describe the server")},
        "/v2/health/live": {"get": _described("kserveLive", "The process lives")},
        "/v2/health/ready": {"get": _described("kserveReady", "The default model is on this machine")},
        "/v2/models/{name}": model | {"get": _described("kserveModel", "Describe a model")},
        "/v2/models/{name}/ready": model | {"get": _described("kserveModelReady", "A model is on this machine")},
        "/v2/models/{name}/infer": model | {"post": _described("kserveInfer", "Ask a model about images", tensors)},
    }
