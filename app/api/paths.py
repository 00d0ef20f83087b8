"""How the routes of other protocols are described in `/openapi.json`: what they take, in short; their own documents say
the rest."""

from collections.abc import Mapping
from typing import Any

BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
"""A body of bytes, whatever its Content-Type."""


def operation(
    tag: str,
    answered: str,
    refused: str,
    name: str,
    summary: str,
    body: Mapping[str, Any] | None = None,
    status: int = 200,
) -> dict[str, Any]:
    """Describe an operation.

    Args:
        tag: the protocol.
        answered: what an answer looks like.
        refused: what an error looks like.
        name: of the operation; unique among all.
        summary: what it does.
        body: media types of its body, with their schemas; None where it takes none.
        status: of an answer.
    """
    responses = {str(status): {"description": answered}, "default": {"description": refused}}
    described = {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}
    return described if body is None else {**described, "requestBody": {"required": True, "content": dict(body)}}


def json_of(*required: str, **properties: str) -> dict[str, Any]:
    """Describe a body of JSON by the JSON types of its properties; it may have others."""
    types = {name: {"type": kind} for name, kind in properties.items()}
    schema = {"type": "object", "properties": types, "required": list(required)}
    return {"application/json": {"schema": schema}}


def in_path(*names: str) -> dict[str, Any]:
    """Describe the parameters in a path."""
    return {
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    }
