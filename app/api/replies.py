"""Answers of this service's own protocol."""

from flask import Response
from pydantic import BaseModel


def json_response(answer: BaseModel, status: int = 200, nulls: bool = False) -> Response:
    """Return an answer as JSON; fields that are None are left out, unless `nulls` are wanted."""
    return Response(answer.model_dump_json(exclude_none=not nulls), status, mimetype="application/json")
