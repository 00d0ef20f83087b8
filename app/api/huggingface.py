"""The protocol of Hugging Face's InferenceClient, under `/hf/<model>`."""

import re
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app.api.bodies import Fields, json_fields
from app.api.chat import Ask, Chat
from app.api.door import Door
from app.api.paths import BYTES, in_path, json_of, operation
from app.api.schemas import Problem
from app.errors import BadRequest, InvalidOption
from app.tasks import task_of
from app.types import Answer, Request
from models.found import Box

_TOP_K = 5


def door(chat: Chat) -> Door:
    """Return the front door of Hugging Face's protocol."""
    huggingface = Blueprint("huggingface", __name__)

    @huggingface.post("/hf/<name>")
    @huggingface.post("/hf/<name>/image-to-text")
    def image_to_text(name: str) -> Response:
        """Turn an image into text, or answer a question about it."""
        image, fields = _image(chat)
        if question := _question(fields):
            return jsonify([{"answer": _answer_to(question, chat, name, image)}])
        return jsonify([{"generated_text": _answer(chat, name, image).text}])

    @huggingface.post("/hf/<name>/image-classification")
    def classify(name: str) -> Response:
        """Return the tags of an image with their scores."""
        image, fields = _image(chat)
        model = chat.entry(name).model
        # Only taggers of images give scores.
        tags = chat.generate(image, model.name, True, model.name if model.tags_images else None).tags
        if tags is None or tags.names is None or tags.scores is None:
            raise InvalidOption(
                f"{name} gives no scores of tags, which this protocol needs: ask efficientnet-gru, or use /v1 or /api"
            )
        found = sorted(zip(tags.names, tags.scores, strict=True), key=lambda pair: -pair[1])
        return jsonify([{"label": label, "score": score} for label, score in found[: _top_k(fields)]])

    @huggingface.post("/hf/<name>/object-detection")
    def detect(name: str) -> Response:
        """Return the entities of an image in boxes of pixels."""
        image, _ = _image(chat)
        model = chat.entry(name).model
        page = chat.generate(image, model.name, task="detect" if task_of(model, "detect") else None).pages[0]
        if page.entities is None:
            raise InvalidOption(f"{name} finds no objects: use florence-2-base or kosmos-2")
        # Without scores: the models give none.
        return jsonify(
            [
                {"label": entity.phrase, "box": _pixels(box, page.width, page.height)}
                for entity in page.entities
                for box in entity.boxes
            ]
        )

    @huggingface.get("/hf/<name>/health")
    def health(name: str) -> Response:
        """Report that a model is on this machine."""
        return jsonify({"status": "ok", "model": chat.entry(name).model.name})

    @huggingface.get("/hf/<name>/info")
    def info(name: str) -> Response:
        """Describe a model."""
        model = chat.entry(name).model
        return jsonify({"model_id": model.name, "model_pipeline_tag": "image-to-text", "docker_label": None})

    return Door(huggingface, paths(), ("/hf/",), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in the shape of Hugging Face's servers."""
    return {"error": problem.detail, "error_type": problem.code}, {}


def _answer(chat: Chat, name: str, image: Request) -> Answer:
    return chat.generate(image, chat.entry(name).model.name)


def _top_k(fields: Fields) -> int:
    """Return how many tags the parameters of a request ask for."""
    given = fields.get("parameters")
    top = (given.get("top_k") if isinstance(given, dict) else None) or _TOP_K
    if not isinstance(top, int) or top < 1:
        raise BadRequest("top_k must be a positive integer")
    return top


def _question(fields: Fields) -> str:
    """Return the question that the fields of a request ask, or nothing."""
    inputs = fields.get("inputs")
    return str(fields.get("question") or (inputs.get("question") if isinstance(inputs, dict) else "") or "")


def _answer_to(question: str, chat: Chat, name: str, image: Request) -> str:
    if not chat.entry(name).model.follows_instructions:
        raise InvalidOption(f"{name} answers no questions: ask a model that follows instructions, or for image_to_text")
    return chat.answer(Ask(name, question, [image])).text


def _image(chat: Chat) -> tuple[Request, Fields]:
    """Return the image of the current request, from its body or its JSON, and the fields of the JSON.

    The Content-Type is ignored, because clients send wrong ones: JSON begins with a brace, and no image does.
    """
    body = request.get_data(cache=True)
    if not re.match(rb"\s*{", body):
        if not body:
            raise BadRequest("the body is empty: send the bytes of an image")
        return Request(body), {}
    fields = json_fields()
    inputs = fields.get("inputs")
    if isinstance(inputs, dict):
        inputs = inputs.get("image")
    return chat.image(inputs), fields


def _pixels(box: Box, width: int, height: int) -> dict[str, int]:
    x0, y0, x1, y1 = box
    return {
        "xmin": round(x0 * width),
        "ymin": round(y0 * height),
        "xmax": round(x1 * width),
        "ymax": round(y1 * height),
    }


_described = partial(operation, "Hugging Face", "As Hugging Face answers.", "`error`, a text.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    image = BYTES | json_of("inputs", inputs="string", parameters="object")
    asked = BYTES | json_of("inputs", inputs="string", question="string", parameters="object")
    what = "Turn an image into text, or answer a question about it"
    routes = {
        "": {"post": _described("hfDefault", what, asked)},
        "/image-to-text": {"post": _described("hfText", what, asked)},
        "/image-classification": {"post": _described("hfTags", "Tags with scores", image)},
        "/object-detection": {"post": _described("hfBoxes", "Entities in boxes of pixels", image)},
        "/health": {"get": _described("hfHealth", "A model is on this machine")},
        "/info": {"get": _described("hfInfo", "Describe a model")},
    }
    return {f"/hf/{{name}}{path}": in_path("name") | route for path, route in routes.items()}
