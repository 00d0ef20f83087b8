"""The protocol of PhotoPrism's Vision service: captions and labels."""

import uuid
from functools import partial
from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from app import intent
from app.api.bodies import Fields, json_fields
from app.api.door import Door
from app.api.gateway import Gateway, tags_of
from app.api.paths import in_path, json_of, operation
from app.api.schemas import Problem
from app.errors import BadRequest, NotFound
from app.types import Request

_METHODS = ["GET", "POST"]


def door(gateway: Gateway) -> Door:
    """Return the front door of PhotoPrism's protocol."""
    photoprism = Blueprint("photoprism", __name__)

    @photoprism.route("/api/v1/vision/<task>", methods=_METHODS)
    @photoprism.route("/api/v1/vision/<task>/<name>", methods=_METHODS)
    @photoprism.route("/api/v1/vision/<task>/<name>/<version>", methods=_METHODS)
    def vision(task: str, name: str = "", version: str = "") -> Response:
        """Return a caption or the labels of an image."""
        fields = json_fields() if request.method == "POST" else dict(request.args)
        g.vision_id = str(fields.get("id") or uuid.uuid4())[:200]
        if task not in ("caption", "labels"):
            raise NotFound(f"the task {task[:50]} is not supported: use caption or labels")
        model = gateway.entry(name or str(fields.get("model") or "")).model.name
        answers = [gateway.generate(image, model, task == "labels") for image in _images(gateway, fields, task)]
        result: Fields
        if task == "caption":
            confidence = answers[0].pages[0].confidence
            result = {"caption": {"text": answers[0].text} | ({} if confidence is None else {"confidence": confidence})}
        else:
            result = {"labels": intent.labels(*tags_of(answers))}
        about = {"name": answers[0].model, "version": "latest"}
        return jsonify({"id": g.vision_id, "code": 200, "model": about, "result": result})

    return Door(photoprism, paths(), ("/api/v1/vision/",), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in PhotoPrism's shape, which has the status in the body."""
    return {"id": g.get("vision_id", problem.request_id), "code": problem.status, "error": problem.detail}, {}


def _images(gateway: Gateway, fields: Fields, task: str) -> list[Request]:
    images = fields.get("images") or ([fields["url"]] if fields.get("url") else [])
    if not isinstance(images, list) or not images:
        raise BadRequest("send an image: its address as url, or a list of data: URLs as images")
    gateway.check_number(len(images))
    # An answer has one caption: that of the first image.
    return [gateway.image(image) for image in (images[:1] if task == "caption" else images)]


_described = partial(operation, "PhotoPrism", "As PhotoPrism's service answers.", "`code`, `error`.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    image = json_of(id="string", images="array", url="string", model="string")
    say = "Caption or labels of an image"
    parts = ("task", "name", "version")
    return {
        "/api/v1/vision/" + "/".join(f"{{{part}}}" for part in parts[:count]): in_path(*parts[:count])
        | {"get": _described(f"visionGet{count}", say), "post": _described(f"visionPost{count}", say, image)}
        for count in (1, 2, 3)
    }
