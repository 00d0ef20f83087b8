"""GET /healthz and /readyz: for whatever starts and watches the service."""

from flask import Blueprint, Response

from app.api.schemas import Health
from app.errors import Unavailable
from app.operations import Operations
from app.service import Service

_RETRY_AFTER = 5.0


def blueprint(service: Service, operations: Operations) -> Blueprint:
    """Return the routes of health checks."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        """Say that the process lives."""
        return _json(Health(status="alive", model=None))

    @health.get("/readyz")
    def readyz() -> Response:
        """Say whether requests that name no model are answered, be it after a wait until the model is in memory."""
        if operations.draining:
            raise Unavailable("the service is shutting down", _RETRY_AFTER)
        return _json(Health(status="ready", model=service.check_ready().model.name))

    return health


def _json(answer: Health) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), mimetype="application/json")
