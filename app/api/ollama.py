"""Ollama's protocol: generate, chat, and the list of models."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify

from app.api.bodies import Fields, json_fields
from app.api.chat import Ask, Chat, Reply
from app.api.door import Door
from app.api.gateway import without_tag
from app.api.options import languages_of
from app.api.paths import json_of, operation
from app.api.schemas import Problem
from app.api.waiting import streamed
from app.errors import BadRequest, ModelBusy
from app.pipelines import ALT_TEXT
from models.registry import Entry

_VERSION = "0.12.0"
"""The version of Ollama whose protocol is implemented. Clients compare version numbers."""
_TAG = ":latest"
_MILLISECOND = 1_000_000
"""In nanoseconds, in which durations are."""


def door(chat: Chat) -> Door:
    """Return the front door of Ollama's protocol."""
    ollama = Blueprint("ollama", __name__)

    @ollama.post("/api/generate")
    def generate() -> Response:
        """Answer a prompt with images."""
        fields = _fields()
        ask = _ask(chat, fields, fields.get("prompt"), fields.get("images"))
        if not ask.prompt.strip() and not ask.images:
            return _loaded(chat, fields, {"response": ""})
        return _answered(chat, ask, fields, lambda text: {"response": text})

    @ollama.post("/api/chat")
    def converse() -> Response:
        """Answer a conversation with images."""
        fields = _fields()
        if not fields.get("messages"):
            return _loaded(chat, fields, {"message": _message("")})
        ask = _conversation(chat, fields)
        return _answered(chat, ask, fields, lambda text: {"message": _message(text)})

    @ollama.get("/api/tags")
    def tags() -> Response:
        """List the models on this machine."""
        return jsonify({"models": [_listed(entry) for entry in chat.offered()]})

    @ollama.get("/api/ps")
    def running() -> Response:
        """List the models in memory."""
        loaded = [entry for entry in chat.offered() if entry.loaded is not None]
        return jsonify({"models": [_running(entry, chat.service.idle_in(entry)) for entry in loaded]})

    @ollama.post("/api/show")
    def show() -> Response:
        """Describe a model."""
        fields = json_fields()
        # `name` is what older clients send.
        entry = chat.entry(_name(fields.get("model") or fields.get("name")))
        return jsonify(
            {
                "details": _details(entry),
                "model_info": {},
                "capabilities": ["completion", *(["vision"] if "image" in entry.model.accepts else [])],
                "license": entry.model.source.license,
            }
        )

    @ollama.get("/api/version")
    def version() -> Response:
        """Say which version of the protocol is spoken."""
        return jsonify({"version": _VERSION})

    return Door(ollama, paths(), ("/api/",), error_of)


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in Ollama's shape."""
    return {"error": problem.detail}, {}


def _fields() -> Fields:
    fields = json_fields()
    _name(fields.get("model"))
    return fields


def _name(model: Any) -> str:
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required")
    return model


def _ask(chat: Chat, fields: Fields, prompt: Any, images: Any) -> Ask:
    format, options = fields.get("format"), fields.get("options")
    most = options.get("num_predict") if isinstance(options, dict) else None
    return Ask(
        fields["model"],
        str(prompt or ""),
        _images(chat, images),
        schema=format if isinstance(format, dict) else None,
        as_json=format == "json",
        language=languages_of(options.get("language")) if isinstance(options, dict) else None,
        # In Ollama's protocol, -1 and -2 mean no limit.
        max_tokens=most if isinstance(most, int) and most > 0 else None,
    )


def _conversation(chat: Chat, fields: Fields) -> Ask:
    """Read the turns of a conversation. The last turn of the user is the question."""
    turns = fields["messages"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRequest("messages must be a list of messages")
    ask = _ask(chat, fields, None, None)
    for turn in turns:
        if turn.get("role") == "assistant":
            ask.said = str(turn.get("content") or "")
        elif turn.get("role") == "user":
            ask.prompt = str(turn.get("content") or "")
            ask.images = _images(chat, turn.get("images")) or ask.images
            ask.again = not turn.get("images")
    return ask


def _images(chat: Chat, images: Any) -> list[Any]:
    if images is not None and not isinstance(images, list):
        raise BadRequest("images must be a list of base64 texts")
    return [chat.image(image) for image in images or ()]


def _unloads(fields: Fields) -> bool:
    return fields.get("keep_alive") in (0, "0", "0s", "0m")


def _unload(chat: Chat, entry: Entry) -> None:
    # Others may be using it: then it leaves when it is idle, as in Ollama.
    with suppress(ModelBusy):
        chat.service.unload(entry.model.name)


def _loaded(chat: Chat, fields: Fields, content: Fields) -> Response:
    """Answer a request without prompt and images, which loads the model or unloads it."""
    entry = chat.entry(fields["model"])
    if _unloads(fields):
        _unload(chat, entry)
    else:
        chat.load(entry)
    line = {"model": fields["model"], "created_at": _time(datetime.now(UTC)), **content, "done": True}
    return jsonify({**line, "done_reason": "unload" if _unloads(fields) else "load"})


def _answered(chat: Chat, ask: Ask, fields: Fields, content: Callable[[str], Fields]) -> Response:
    """Answer with lines of JSON, the last of which is done, unless the client wants one object.

    Args:
        chat: answers.
        ask: what is asked.
        fields: of the request.
        content: puts a text into a line.
    """
    started = time.monotonic_ns()

    def line(text: str, **more: Any) -> Fields:
        return {
            "model": fields["model"],
            "created_at": _time(datetime.now(UTC)),
            **content(text),
            "done": False,
            **more,
        }

    def end(reply: Reply) -> Fields:
        return {
            "done": True,
            "done_reason": "length" if reply.cut else "stop",
            "total_duration": time.monotonic_ns() - started,
            "load_duration": reply.timings.load * _MILLISECOND,
            "eval_duration": reply.timings.inference * _MILLISECOND,
        }

    def unload_if_asked() -> None:
        # The pipeline `alt-text` is none of the models.
        if _unloads(fields) and without_tag(ask.model) != ALT_TEXT:
            _unload(chat, chat.entry(ask.model))

    def said(reply: Reply) -> Iterator[str]:
        unload_if_asked()
        return map(_json_line, (line(reply.text), line("", **end(reply))))

    if fields.get("stream") is False:
        reply = chat.answer(ask)
        unload_if_asked()
        return jsonify(line(reply.text, **end(reply)))
    return streamed(
        chat.steps(ask),
        "application/x-ndjson",
        _json_line(line("")),
        said,
        lambda problem: _json_line(error_of(problem)[0]),
    )


def _json_line(value: Fields) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _message(text: str) -> Fields:
    return {"role": "assistant", "content": text}


def _time(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _listed(entry: Entry) -> Fields:
    name, size = entry.model.name + _TAG, entry.model.source.size_bytes
    return {"name": name, "model": name, "details": _details(entry)} | ({} if size is None else {"size": size})


def _running(entry: Entry, idle_in: float | None) -> Fields:
    """Describe a model in memory, which leaves it after so many seconds if nobody asks for it; None for never."""
    listed = _listed(entry)
    on_cpu = entry.loaded is None or entry.loaded.device == "cpu"
    vram = {"size_vram": 0} if on_cpu else {"size_vram": listed["size"]} if "size" in listed else {}
    return (
        listed
        | vram
        | ({} if idle_in is None else {"expires_at": _time(datetime.now(UTC) + timedelta(seconds=idle_in))})
    )


def _details(entry: Entry) -> Fields:
    kind = entry.model.model_type or entry.model.name
    return {"family": kind, "families": [kind]}


_described = partial(operation, "Ollama", "As Ollama answers.", "`error`, a text.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    asked = json_of("model", model="string", prompt="string", images="array", stream="boolean", options="object")
    chat = json_of("model", model="string", messages="array", stream="boolean", options="object")
    shown = json_of("model", model="string")
    return {
        "/api/generate": {"post": _described("ollamaGenerate", "Answer a prompt with images", asked)},
        "/api/chat": {"post": _described("ollamaChat", "Answer a conversation with images", chat)},
        "/api/show": {"post": _described("ollamaShow", "Describe a model", shown)},
        "/api/tags": {"get": _described("ollamaTags", "List the models on this machine")},
        "/api/ps": {"get": _described("ollamaPs", "List the models in memory")},
        "/api/version": {"get": _described("ollamaVersion", "Say which version of the protocol is spoken")},
    }
