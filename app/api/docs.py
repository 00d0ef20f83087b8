"""GET /openapi.json, and Swagger UI at /docs, from the package and not from a CDN."""

import json
from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Blueprint, Response, render_template, request, send_from_directory

from app.api.openapi import document

_ASSETS_DIR = Path(flask_swagger_ui.__file__).parent / "dist"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # Swagger UI makes style elements of its own.
        "style-src 'self' 'unsafe-inline'",
        # data: its icons; blob: images that it shows as answers.
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def blueprint(version: str, paths: dict[str, Any]) -> Blueprint:
    """Return the routes of the documentation."""
    docs = Blueprint("docs", __name__)
    description = document(version, paths)

    @docs.get("/openapi.json")
    def openapi() -> Response:
        """Describe the service in OpenAPI 3.1."""
        # The path prefix that a trusted proxy sends in X-Forwarded-Prefix.
        servers = [{"url": request.script_root or "/"}]
        # json.dumps keeps the order of the routes, in which Swagger UI shows them; jsonify would sort them.
        return Response(json.dumps(description | {"servers": servers}), mimetype="application/json")

    @docs.get("/docs/")
    def page() -> Response:
        """Return the page of Swagger UI; its script fetches the description, with a key where one is needed."""
        return Response(render_template("docs.html"), mimetype="text/html", headers=_HEADERS)

    @docs.get("/docs/<path:name>")
    def asset(name: str) -> Response:
        """Return a file of Swagger UI."""
        return send_from_directory(_ASSETS_DIR, name)

    return docs
