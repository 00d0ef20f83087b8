"""Errors as `application/problem+json` (RFC 9457), and the id that ties an answer to the log."""

import logging
import math
import re
import time
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from app.errors import ServiceError
from app.schemas import Problem

log = logging.getLogger(__name__)

_ID = re.compile(r"[\w.-]{1,64}")


def register(app: Flask) -> None:
    """Give every request an id and a line in the log, and every error its shape."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
    g.started = time.monotonic()


def _finish(response: Response) -> Response:
    # A request that Flask refuses before it begins, by its host, has neither.
    request_id, started = g.get("request_id", "-"), g.get("started", time.monotonic())
    response.headers["X-Request-ID"] = request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    log.info(
        "%s %s %d %.0f ms %s",
        request.method,
        request.path,
        response.status_code,
        (time.monotonic() - started) * 1000,
        request_id,
    )
    return response


def _service_error(error: ServiceError) -> Response:
    response = _problem(error.status, error.code, error.title, error.detail)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    name = error.name
    response = _problem(status, name.lower().replace(" ", "-"), name, error.description or name)
    for header, value in error.get_headers():
        if header not in ("Content-Type", "Content-Length"):
            response.headers[header] = value
    return response


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error in request %s", g.get("request_id", "-"), exc_info=error)
    detail = "something went wrong here; the service's log has more under this request_id"
    return _problem(500, ServiceError.code, ServiceError.title, detail)


def _problem(status: int, code: str, title: str, detail: str) -> Response:
    problem = Problem(
        type="about:blank",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=g.get("request_id", "-"),
    )
    return Response(problem.model_dump_json(), status, mimetype="application/problem+json")
