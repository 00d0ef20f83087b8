"""GET /models, POST /models/<name>/load and /unload: the models and their states."""

from flask import Blueprint, Response

from app.api.downloads import Downloads
from app.api.model_info import ModelInfo, ModelList
from app.api.replies import json_response
from app.service import Service
from models.registry import Entry


def blueprint(service: Service, downloads: Downloads) -> Blueprint:
    """Return the routes of models."""
    models = Blueprint("models", __name__)

    @models.get("/models")
    def list_models() -> Response:
        """List the models and their states."""
        listed = ModelList(
            models=[ModelInfo.of(entry, service.queued(entry)) for entry in service.models()],
            default=service.default().model.name,
        )
        return json_response(listed, nulls=True)

    @models.post("/models/<name>/load")
    def load_model(name: str) -> Response:
        """Start downloading and loading a model."""
        return _described(service.load(name, downloads.of_caller()), 202)

    @models.post("/models/<name>/unload")
    def unload_model(name: str) -> Response:
        """Take a model out of memory, or stop its download."""
        return _described(service.unload(name), 200)

    def _described(entry: Entry, status: int) -> Response:
        return json_response(ModelInfo.of(entry, service.queued(entry)), status, nulls=True)

    return models
