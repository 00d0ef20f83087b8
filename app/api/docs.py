"""GET /openapi.json, and Swagger UI at /docs, from the package and not from a CDN."""

import json

from flask import Blueprint, Response
from flask_swagger_ui import get_swaggerui_blueprint

from app.api.openapi import document


def blueprint(version: str) -> Blueprint:
    """Return the routes of the documentation."""
    docs = Blueprint("docs", __name__)
    description = document(version)

    @docs.get("/openapi.json")
    def openapi() -> Response:
        """Describe the service in OpenAPI 3.1."""
        # In its own order: what stands first is what Swagger UI offers first.
        return Response(json.dumps(description), mimetype="application/json")

    swagger = get_swaggerui_blueprint(
        "/docs",
        "/openapi.json",
        # No badge: Swagger UI would ask its maker's server whether the description is valid.
        config={"app_name": "Image to Text", "validatorUrl": None, "tryItOutEnabled": True},
    )
    docs.register_blueprint(swagger)
    return docs
