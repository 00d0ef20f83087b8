"""GET /models and POST /models/<name>/load: which models there are, and in what state."""

from flask import Blueprint, Response

from app.api.schemas import ModelInfo, ModelList
from app.service import Service


def blueprint(service: Service) -> Blueprint:
    """Return the routes of models."""
    models = Blueprint("models", __name__)

    @models.get("/models")
    def list_models() -> Response:
        """List the models and their states."""
        listed = ModelList(
            models=[ModelInfo.of(entry) for entry in service.models()], default=service.default().model.name
        )
        return Response(listed.model_dump_json(), mimetype="application/json")

    @models.post("/models/<name>/load")
    def load_model(name: str) -> Response:
        """Start downloading and loading a model."""
        return Response(ModelInfo.of(service.load(name)).model_dump_json(), 202, mimetype="application/json")

    return models
