"""Errors as `application/problem+json` (RFC 9457)."""

import json
import logging
import math
from collections.abc import Iterable

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, SecurityError

from app.api.door import Door, Shape
from app.api.schemas import Problem
from app.errors import RETRY_AFTER, PredictionFailed, ServiceError, TooLarge, Unavailable
from app.metrics import ERRORS
from models.errors import is_out_of_memory

log = logging.getLogger(__name__)


_OF_BLUEPRINTS, _OF_PATHS = "shapes of blueprints' errors", "shapes of errors of paths"


def register(app: Flask, doors: Iterable[Door]) -> None:
    """Give every error the shape of its front door: that whose route fails, or, where there is no route, that whose
    paths begin alike."""
    shapes = [(door, door.shape) for door in doors if door.shape]
    app.extensions[_OF_BLUEPRINTS] = {door.blueprint.name: shape for door, shape in shapes}
    of_paths = [(prefix, shape) for door, shape in shapes for prefix in door.prefixes]
    # The longest beginning first: /api/v1/vision/ is not /api/.
    app.extensions[_OF_PATHS] = sorted(of_paths, key=lambda item: -len(item[0]))
    app.register_error_handler(Exception, response_to)
    app.register_error_handler(HTTPException, _http_error)


def problem_of(error: Exception) -> Problem:
    """Return the problem for an error. The details of an unexpected error go to the log, and not to the client."""
    return _said(_known(error))


def _known(error: Exception) -> ServiceError:
    request_id = g.get("request_id", "-")
    if isinstance(error, PredictionFailed):
        log.error("request %s: %s", request_id, error)
    elif not isinstance(error, ServiceError):
        log.error("request %s failed", request_id, exc_info=error)
    _let_go(error)
    if is_out_of_memory(error):
        error = Unavailable("there is not enough memory for this now: try again later", RETRY_AFTER)
    elif not isinstance(error, ServiceError):
        error = ServiceError("an unexpected error occurred; the service's log has the details under this request_id")
    ERRORS.labels(error.code).inc()
    return error


def _let_go(error: BaseException | None) -> None:
    """Remove the tracebacks of an error and its causes. Their frames hold the upload, and some refer to the error in
    turn: this cycle would keep the upload in memory until the next garbage collection."""
    while error is not None:
        last, error = error, error.__cause__ or error.__context__
        last.__traceback__ = last.__cause__ = last.__context__ = None


def _said(error: ServiceError) -> Problem:
    return _problem(error.status, error.code, error.title, error.detail)


def _problem(status: int, code: str, title: str, detail: str) -> Problem:
    request_id = g.get("request_id", "-")
    return Problem(type="about:blank", title=title, status=status, detail=detail, code=code, request_id=request_id)


def _response(problem: Problem) -> Response:
    shape = _shape()
    if shape is None:
        return Response(problem.model_dump_json(), problem.status, mimetype="application/problem+json")
    body, headers = shape(problem)
    return Response(json.dumps(body), problem.status, headers, mimetype="application/json")


def _shape() -> Shape | None:
    if request.blueprint is not None:
        found: Shape | None = current_app.extensions[_OF_BLUEPRINTS].get(request.blueprint)
        return found
    return next((shape for start, shape in current_app.extensions[_OF_PATHS] if request.path.startswith(start)), None)


def response_to(error: Exception) -> Response:
    """Return the response for an error."""
    known = _known(error)
    response = _response(_said(known))
    if known.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(known.retry_after)))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="image-to-text"'
    return response


def _http_error(error: HTTPException) -> Response:
    methods = ", ".join(getattr(error, "valid_methods", None) or ())
    details = {
        400: f"{error.description} See TRUSTED_HOSTS." if isinstance(error, SecurityError) else error.description,
        404: "there is no such route: see /docs",
        405: f"this route does not accept {request.method}; it accepts {methods}",
        413: "the request is larger than the limits: see MAX_UPLOAD_MB",
    }
    status = error.code or 500
    if status == 413:
        return response_to(TooLarge(str(details[413])))
    response = _response(
        _problem(
            status, error.name.lower().replace(" ", "-"), error.name, details.get(status) or error.description or ""
        )
    )
    for header, value in error.get_headers():
        if header not in ("Content-Type", "Content-Length"):
            response.headers[header] = value
    return response
