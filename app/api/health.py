"""GET /healthz and /readyz: health checks for process managers and load balancers."""

from flask import Blueprint, Response

from app.api.schemas import Health
from app.errors import ShuttingDown
from app.operations import Operations
from app.service import Service


def blueprint(service: Service, operations: Operations) -> Blueprint:
    """Return the routes of health checks."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        """Report that the process is running."""
        return _json(Health(status="alive", model=None))

    @health.get("/readyz")
    def readyz() -> Response:
        """Report whether the default model is on the machine. While it loads, requests wait for it."""
        if operations.draining:
            raise ShuttingDown
        return _json(Health(status="ready", model=service.check_ready().model.name))

    return health


def _json(answer: Health) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), mimetype="application/json")
