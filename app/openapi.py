"""The service's description in OpenAPI 3.1, made from the schemas that validate its requests and answers."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import __version__, errors, schemas

_SCHEMAS: tuple[type[BaseModel], ...] = (
    schemas.GenerateOptions,
    schemas.TagOptions,
    schemas.Answer,
    schemas.TagAnswer,
    schemas.ModelInfo,
    schemas.ModelList,
    schemas.Health,
    schemas.Problem,
)
_URL = {
    "type": "string",
    "minLength": 1,
    "description": "The image: an http, https or data: URL.",
    "examples": ["https://example.org/photo.jpg"],
}
_FILE = {"type": "string", "format": "binary", "description": "The image."}


def document() -> dict[str, Any]:
    """Return the whole description."""
    _, definitions = models_json_schema(
        [(schema, "serialization" if schema not in _REQUESTS else "validation") for schema in _SCHEMAS],
        ref_template="#/components/schemas/{model}",
    )
    components = definitions["$defs"]
    options = components.pop("GenerateOptions")
    components["GenerateUrl"] = _with_image(options, "image_url", _URL)
    components["GenerateFile"] = _with_image(options, "image_file", _FILE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Image to Text",
            "version": __version__,
            "description": "Turns an image into text: a caption, the words on it, phrases with boxes, tags.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(options["properties"]),
        "components": {"schemas": components},
    }


_REQUESTS = (schemas.GenerateOptions, schemas.TagOptions)


def _with_image(options: dict[str, Any], name: str, image: dict[str, Any]) -> dict[str, Any]:
    return {**options, "title": name, "properties": {name: image, **options["properties"]}, "required": [name]}


def _paths(options: dict[str, Any]) -> dict[str, Any]:
    image_name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    answer = _json("Answer")
    answer["content"]["text/plain"] = {"schema": {"type": "string"}}
    return {
        "/generate-text": {
            "post": {
                "operationId": "generateText",
                "summary": "Turn an image into text",
                "description": "Exactly one image: in a form, by URL, or as the body. The query takes options too.",
                "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in options.items()],
                "requestBody": {"required": True, "content": _image_bodies()},
                "responses": {"200": answer, **_problems(400, 403, 404, 413, 415, 422, 429, 500, 502, 503, 504, 507)},
            }
        },
        "/generate-tags": {
            "post": {
                "operationId": "generateTags",
                "summary": "Turn a text into tags",
                "requestBody": {"required": True, "content": {"application/json": _schema("TagOptions")}},
                "responses": {"200": _json("TagAnswer"), **_problems(400, 403, 404, 413, 415, 422, 429, 500, 503)},
            }
        },
        "/images/{name}": {
            "parameters": [image_name],
            "get": {
                "operationId": "getImage",
                "summary": "Get a saved image",
                "responses": {
                    "200": {"description": "The bytes that came.", "content": {"image/*": {"schema": _FILE}}},
                    **_problems(404),
                },
            },
            "delete": {
                "operationId": "deleteImage",
                "summary": "Remove a saved image",
                "responses": {"204": {"description": "Removed."}, **_problems(403, 404, 507)},
            },
        },
        "/models": {
            "get": {
                "operationId": "listModels",
                "summary": "List the models and their states",
                "responses": {"200": _json("ModelList")},
            }
        },
        "/models/{name}/load": {
            "parameters": [image_name],
            "post": {
                "operationId": "loadModel",
                "summary": "Start downloading and loading a model",
                "responses": {"202": _json("ModelInfo"), **_problems(403, 404)},
            },
        },
        "/healthz": {
            "get": {"operationId": "healthz", "summary": "The process lives", "responses": {"200": _json("Health")}}
        },
        "/readyz": {
            "get": {
                "operationId": "readyz",
                "summary": "The default model can answer",
                "responses": {"200": _json("Health"), **_problems(503)},
            }
        },
    }


def _image_bodies() -> dict[str, Any]:
    upload = {"oneOf": [_schema("GenerateFile")["schema"], _schema("GenerateUrl")["schema"]]}
    return {
        "multipart/form-data": {"schema": upload},
        "application/json": _schema("GenerateUrl"),
        "application/x-www-form-urlencoded": _schema("GenerateUrl"),
        "image/*": {"schema": _FILE},
        "application/octet-stream": {"schema": _FILE},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _json(schema: str) -> dict[str, Any]:
    return {"description": "OK", "content": {"application/json": _schema(schema)}}


def _problems(*statuses: int) -> dict[str, Any]:
    """Describe the errors of these statuses by the titles of the classes that have them."""
    titles: dict[int, list[str]] = {}
    waiting = [errors.ServiceError]
    while waiting:
        kind = waiting.pop()
        titles.setdefault(kind.status, []).append(kind.title)
        waiting += kind.__subclasses__()
    return {
        str(status): {
            "description": ", ".join(sorted(set(titles[status]))),
            "content": {"application/problem+json": _schema("Problem")},
        }
        for status in statuses
    }
