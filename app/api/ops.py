"""GET /healthz, /readyz and /models, and POST /models/<name>/load: for whoever runs the service."""

from flask import Blueprint, Response
from pydantic import BaseModel

from app.schemas import Health
from app.service import Service


def blueprint(service: Service) -> Blueprint:
    """Return the routes of operations."""
    ops = Blueprint("ops", __name__)

    @ops.get("/healthz")
    def healthz() -> Response:
        """Say that the process lives."""
        return _json(Health(status="alive", model=None), leave_out_none=True)

    @ops.get("/readyz")
    def readyz() -> Response:
        """Say whether requests that name no model are answered, be it after a wait until the model is in memory."""
        return _json(service.readiness(), leave_out_none=True)

    @ops.get("/models")
    def models() -> Response:
        """List the models and their states."""
        return _json(service.models())

    @ops.post("/models/<name>/load")
    def load_model(name: str) -> Response:
        """Start downloading and loading a model."""
        return _json(service.load(name), 202)

    return ops


def _json(answer: BaseModel, status: int = 200, leave_out_none: bool = False) -> Response:
    return Response(answer.model_dump_json(exclude_none=leave_out_none), status, mimetype="application/json")
