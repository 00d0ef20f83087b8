"""GET /healthz and /readyz: health checks for process managers and load balancers."""

from flask import Blueprint, Response

from app.api.replies import json_response
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
        return json_response(Health(status="alive", model=None))

    @health.get("/readyz")
    def readyz() -> Response:
        """Report whether the default model is on the machine. While it loads, requests wait for it."""
        if operations.draining:
            raise ShuttingDown
        return json_response(Health(status="ready", model=service.check_ready().model.name))

    return health
