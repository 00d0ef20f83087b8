"""The service's description in OpenAPI 3.1, made from the schemas that validate its requests and answers."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import errors
from app.api import schemas
from app.api.model_info import ModelInfo, ModelList
from app.api.options import GenerateOptions, TagOptions
from app.api.paths import in_path
from app.exports import EXPORTS

_REQUESTS: tuple[type[BaseModel], ...] = (GenerateOptions, TagOptions)
_ANSWERS: tuple[type[BaseModel], ...] = (
    schemas.Answer,
    schemas.TagAnswer,
    ModelInfo,
    ModelList,
    schemas.Health,
    schemas.Problem,
    schemas.Queued,
    schemas.Progress,
)
_URL = {"type": "string", "description": "The image: an http, https or data: URL.", "minLength": 1}
_FILE = {"type": "string", "format": "binary", "description": "The image; for models that read also a PDF."}
_EXAMPLE = {"image_url": "https://example.org/photo.jpg", "model": "auto"}
_KEY = "One of the service's API_KEYS, where it has any."
_EVENTS = (
    "Server-Sent Events: `queued` with Queued, `progress` with Progress, then one `result` with Answer or `error` with "
    "Problem as its data."
)


def document(version: str, paths: dict[str, Any]) -> dict[str, Any]:
    """Return the whole description of that version of the service; `paths` are those of other protocols."""
    _, definitions = models_json_schema(
        [*((schema, "validation") for schema in _REQUESTS), *((schema, "serialization") for schema in _ANSWERS)],
        ref_template="#/components/schemas/{model}",
    )
    components = definitions["$defs"]
    for schema in _REQUESTS:
        _without_null(components[schema.__name__])
    options = components.pop("GenerateOptions")
    components["GenerateForm"] = _with_image("GenerateForm", options, {"image_file": _FILE, "image_url": _URL})
    components["GenerateUrl"] = _with_image("GenerateUrl", options, {"image_url": _URL}) | {"required": ["image_url"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Image to Text",
            "version": version,
            "description": "Turns an image into text: a caption, the words on it, phrases with boxes, tags.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": "text"}, {"name": "models"}, {"name": "saved images"}, {"name": "health"}],
        "paths": _guarded(_paths(options["properties"])) | paths,
        "components": {
            "schemas": components,
            "responses": dict(_problem_responses()),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": _KEY},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": _KEY},
            },
        },
        "security": [{"bearer": []}, {"header": []}, {}],
    }


def _guarded(paths: dict[str, Any]) -> dict[str, Any]:
    """Add the responses 401 and 429 to every operation except the health check, which needs no key."""
    for path in paths.values():
        for operation in path.values():
            if isinstance(operation, dict) and operation.get("security") != []:
                operation["responses"] |= _problems(401, 429)
    return paths


def _without_null(schema: dict[str, Any]) -> None:
    """Remove null and the defaults from a schema: a form cannot send null, and an option can be left out instead."""
    for option in schema["properties"].values():
        option.pop("default", None)
        if "anyOf" in option:
            (kind,) = (kind for kind in option.pop("anyOf") if kind != {"type": "null"})
            option.update(kind)


def _with_image(title: str, options: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    # Without an example, Swagger UI fills in every field of a form, such as "string" for the model.
    fields = {name: {**schema, "example": ""} for name, schema in {**image, **options["properties"]}.items()}
    return {**options, "title": title, "description": "", "properties": fields}


def _paths(options: dict[str, Any]) -> dict[str, Any]:
    """Describe the routes of this service's own protocol; `options` are those of a request for a text."""
    return {**_of_texts(options), **_of_models(), **_of_images(), **_of_health()}


def _of_texts(options: dict[str, Any]) -> dict[str, Any]:
    in_query = [
        {
            "name": option,
            "in": "query",
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key not in ("description", "title")},
        }
        for option, schema in options.items()
    ]
    generate = _operation(
        "generateText",
        "text",
        "Turn an image into text",
        {"200": _texts(), **_problems(400, 403, 404, 406, 413, 415, 422, 429, 499, 500, 502, 503, 504, 507)},
        description="Exactly one image: in a form, by URL, or as the body. Options are fields of the form or the JSON; "
        "with a raw body, parameters of the query.",
        parameters=in_query,
        requestBody={"required": True, "content": _image_bodies()},
    )
    export = _operation(
        "getExport",
        "text",
        "Get the export that a result event names",
        {"200": _texts(), **_problems(404)},
        description="For ten minutes after `POST /generate-text` with `format` and `Accept: text/event-stream`.",
    )
    tags = _operation(
        "generateTags",
        "text",
        "Turn a text into tags",
        {"200": _json("TagAnswer"), **_problems(400, 403, 404, 413, 415, 422, 429, 500, 503)},
        requestBody={"required": True, "content": {"application/json": _schema("TagOptions")}},
    )
    return {
        "/generate-text": {"post": generate},
        "/exports/{id}": in_path("id") | {"get": export},
        "/generate-tags": {"post": tags},
    }


def _of_models() -> dict[str, Any]:
    listed, info = {"200": _json("ModelList")}, _json("ModelInfo")
    load = _operation(
        "loadModel", "models", "Start downloading and loading a model", {"202": info, **_problems(403, 404)}
    )
    unload = _operation(
        "unloadModel",
        "models",
        "Take a model out of memory, or stop its download",
        {"200": info, **_problems(403, 404, 409)},
    )
    return {
        "/models": {"get": _operation("listModels", "models", "List the models and their states", listed)},
        "/models/{name}/load": in_path("name") | {"post": load},
        "/models/{name}/unload": in_path("name") | {"post": unload},
    }


def _of_images() -> dict[str, Any]:
    image = {"description": "The bytes that were uploaded.", "content": {"image/*": {"schema": _FILE}}}
    removed = {"204": {"description": "Removed."}, **_problems(403, 404, 507)}
    return {
        "/images/{name}": in_path("name")
        | {
            "get": _operation("getImage", "saved images", "Get a saved image", {"200": image, **_problems(404)}),
            "delete": _operation("deleteImage", "saved images", "Remove a saved image", removed),
        }
    }


def _of_health() -> dict[str, Any]:
    lives, ready = {"200": _json("Health")}, {"200": _json("Health"), **_problems(503)}
    counted = {"200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    what = "What the service counts and times, for Prometheus"
    return {
        "/healthz": {"get": _operation("healthz", "health", "The process lives", lives, security=[])},
        "/readyz": {"get": _operation("readyz", "health", "The default model is on the machine", ready, security=[])},
        "/metrics": {"get": _operation("metrics", "health", what, counted)},
    }


def _operation(name: str, tag: str, summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "tags": [tag], "summary": summary, **more, "responses": responses}


def _image_bodies() -> dict[str, Any]:
    return {
        "multipart/form-data": _schema("GenerateForm"),
        "application/json": _schema("GenerateUrl") | {"example": _EXAMPLE},
        "application/x-www-form-urlencoded": _schema("GenerateUrl"),
        "application/octet-stream": {"schema": _FILE},
        "image/*": {"schema": _FILE},
        "application/pdf": {"schema": _FILE},
    }


def _texts() -> dict[str, Any]:
    """Describe the successful answer, in all formats."""
    content = {"application/json": _schema("Answer")}
    for export in EXPORTS.values():
        content[export.mimetype.partition(";")[0]] = {"schema": {"type": "string"}}
    content["text/event-stream"] = {"schema": {"type": "string", "description": _EVENTS}}
    return {"description": "What the model says", "content": content}


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _json(schema: str) -> dict[str, Any]:
    return {"description": "OK", "content": {"application/json": _schema(schema)}}


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _problem_responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a response for each status that an error has, described by the titles of the errors that have it."""
    titles: dict[int, set[str]] = {}
    waiting = [errors.ServiceError]
    while waiting:
        kind = waiting.pop()
        titles.setdefault(kind.status, set()).add(kind.title)
        waiting += kind.__subclasses__()
    for status in sorted(titles):
        yield (
            str(status),
            {
                "description": ", ".join(sorted(titles[status])),
                "content": {"application/problem+json": _schema("Problem")},
            },
        )
