"""Ollama's protocol: generate, chat, and what there is to ask."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify

from app.api.bodies import Fields, json_fields
from app.api.chat import Ask, Chat
from app.api.schemas import Problem
from app.errors import BadRequest, ModelBusy
from models.registry import Entry

PREFIXES = ("/api/",)
_VERSION = "0.12.0"
"""The version of Ollama whose protocol this is: clients compare the digits."""
_TAG = ":latest"
_EPOCH = "1970-01-01T00:00:00Z"


def blueprint(chat: Chat) -> Blueprint:
    """Return the routes of Ollama's protocol."""
    ollama = Blueprint("ollama", __name__)

    @ollama.post("/api/generate")
    def generate() -> Response:
        """Answer a prompt with images."""
        fields, started = _fields(), time.monotonic_ns()
        ask = _ask(chat, fields, fields.get("prompt"), fields.get("images"))
        if not ask.prompt.strip() and not ask.images:
            return _loaded(chat, fields, {"response": ""})
        text = chat.answer(ask).text
        _unload_if_asked(chat, fields)
        return _said(fields, {"response": text}, {"response": ""}, started)

    @ollama.post("/api/chat")
    def converse() -> Response:
        """Answer a conversation with images."""
        fields, started = _fields(), time.monotonic_ns()
        turns = fields.get("messages") or []
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise BadRequest("messages must be a list of messages")
        if not turns:
            return _loaded(chat, fields, {"message": _message("")})
        ask = _ask(chat, fields, None, None)
        for turn in turns:
            if turn.get("role") == "assistant":
                ask.said = str(turn.get("content") or "")
            elif turn.get("role") == "user":
                ask.prompt = str(turn.get("content") or "")
                ask.images = _images(chat, turn.get("images")) or ask.images
                ask.again = not turn.get("images")
        text = chat.answer(ask).text
        _unload_if_asked(chat, fields)
        return _said(fields, {"message": _message(text)}, {"message": _message("")}, started)

    @ollama.get("/api/tags")
    def tags() -> Response:
        """List the models on this machine."""
        return jsonify({"models": [_listed(entry) for entry in chat.service.models() if _offered(entry)]})

    @ollama.get("/api/ps")
    def running() -> Response:
        """List the models in memory."""
        soon = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
        loaded = [entry for entry in chat.service.models() if entry.loaded is not None and _offered(entry)]
        return jsonify({"models": [{**_listed(entry), "expires_at": soon, "size_vram": 0} for entry in loaded]})

    @ollama.post("/api/show")
    def show() -> Response:
        """Describe a model."""
        fields = json_fields()
        entry = chat.entry(str(fields.get("model") or fields.get("name") or "?"))
        return jsonify(
            {
                "modified_at": _EPOCH,
                "details": _details(entry),
                "model_info": {},
                "capabilities": ["completion", *(["vision"] if "image" in entry.model.accepts else [])],
                "license": entry.model.source.license or "",
            }
        )

    @ollama.get("/api/version")
    def version() -> Response:
        """Say which version of the protocol is spoken."""
        return jsonify({"version": _VERSION})

    return ollama


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in Ollama's shape."""
    return {"error": problem.detail}, {}


def _fields() -> Fields:
    fields = json_fields()
    if not isinstance(fields.get("model"), str) or not fields["model"]:
        raise BadRequest("model is required")
    return fields


def _ask(chat: Chat, fields: Fields, prompt: Any, images: Any) -> Ask:
    format, options = fields.get("format"), fields.get("options")
    most = options.get("num_predict") if isinstance(options, dict) else None
    return Ask(
        fields["model"],
        str(prompt or ""),
        _images(chat, images),
        schema=format if isinstance(format, dict) else None,
        as_json=format == "json",
        # Ollama's -1 and -2 are no limit.
        max_tokens=most if isinstance(most, int) and most > 0 else None,
    )


def _images(chat: Chat, images: Any) -> list[Any]:
    if images is not None and not isinstance(images, list):
        raise BadRequest("images must be a list of base64 texts")
    return [chat.image(image) for image in images or ()]


def _unloads(fields: Fields) -> bool:
    return fields.get("keep_alive") in (0, "0", "0s", "0m")


def _unload_if_asked(chat: Chat, fields: Fields) -> None:
    if _unloads(fields):
        _unload(chat, chat.entry(fields["model"]))


def _unload(chat: Chat, entry: Entry) -> None:
    # Others may be using it: then it leaves when it is idle, as in Ollama.
    with suppress(ModelBusy):
        chat.service.unload(entry.model.name)


def _loaded(chat: Chat, fields: Fields, content: Fields) -> Response:
    """Answer a request that holds nothing: it loads the model, or unloads it."""
    entry = chat.entry(fields["model"])
    if _unloads(fields):
        _unload(chat, entry)
    else:
        chat.load(entry)
    line = {"model": fields["model"], "created_at": _now(), **content, "done": True}
    return jsonify({**line, "done_reason": "unload" if _unloads(fields) else "load"})


def _said(fields: Fields, content: Fields, nothing: Fields, started: int) -> Response:
    """Return an answer: as lines of JSON, the last of which is done, unless the client wants one object."""
    head = {"model": fields["model"], "created_at": _now()}
    took = time.monotonic_ns() - started
    counts = {"load_duration": 0, "prompt_eval_count": 0, "eval_count": 0}
    end = {"done": True, "done_reason": "stop", "total_duration": took, "eval_duration": took, **counts}
    if fields.get("stream") is False:
        return jsonify({**head, **content, **end})

    def lines() -> Iterator[str]:
        yield json.dumps({**head, **content, "done": False}, ensure_ascii=False) + "\n"
        yield json.dumps({**head, **nothing, **end}, ensure_ascii=False) + "\n"

    return Response(lines(), mimetype="application/x-ndjson")


def _message(text: str) -> Fields:
    return {"role": "assistant", "content": text}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _offered(entry: Entry) -> bool:
    return entry.on_machine and entry.model.turns_image_into_text


def _listed(entry: Entry) -> Fields:
    name = entry.model.name + _TAG
    size = entry.model.source.size_bytes or 0
    return {"name": name, "model": name, "modified_at": _EPOCH, "size": size, "digest": "", "details": _details(entry)}


def _details(entry: Entry) -> Fields:
    kind = entry.model.model_type or entry.model.name
    return {"parent_model": "", "format": "", "family": kind, "families": [kind], "parameter_size": "",
            "quantization_level": ""}  # fmt: skip


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    answers = {"200": {"description": "As Ollama answers."}, "default": {"description": "`error`, a text."}}

    def operation(id: str, summary: str, **more: Any) -> dict[str, Any]:
        return {"operationId": id, "tags": ["Ollama"], "summary": summary, "responses": answers, **more}

    return {
        "/api/generate": {"post": operation("ollamaGenerate", "Answer a prompt with images", requestBody=body)},
        "/api/chat": {"post": operation("ollamaChat", "Answer a conversation with images", requestBody=body)},
        "/api/show": {"post": operation("ollamaShow", "Describe a model", requestBody=body)},
        "/api/tags": {"get": operation("ollamaTags", "List the models on this machine")},
        "/api/ps": {"get": operation("ollamaPs", "List the models in memory")},
        "/api/version": {"get": operation("ollamaVersion", "Say which version of the protocol is spoken")},
    }
