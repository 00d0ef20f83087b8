"""OpenAI's protocol: chat completions, responses and models."""

import json
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify

from app.api.bodies import Fields, json_fields
from app.api.chat import Ask, Chat, Reply
from app.api.door import Door
from app.api.paths import in_path, json_of, operation
from app.api.schemas import Problem
from app.api.waiting import streamed
from app.errors import BadRequest, UnmetSchema

_EVENTS = "text/event-stream"
_BEAT = ": at work\n\n"
"""A comment, which clients skip."""
_DONE = "data: [DONE]\n\n"
_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def door(chat: Chat) -> Door:
    """Return the front door of OpenAI's protocol."""
    openai = Blueprint("openai", __name__)

    @openai.post("/v1/chat/completions")
    def completions() -> Response:
        """Answer a chat with images."""
        return _completions(chat)

    @openai.post("/hf/<name>/v1/chat/completions")
    def completions_of(name: str) -> Response:
        """Answer a chat with images, with the model that the path names."""
        return _completions(chat, name)

    @openai.post("/v1/responses")
    def responses() -> Response:
        """Answer a request of the Responses API."""
        fields = json_fields()
        turns = fields.get("input")
        turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
        ask = _ask(chat, fields, turns)
        _read_format(ask, _object(_object(fields.get("text")).get("format")))
        ask.max_tokens = _count(fields.get("max_output_tokens"))
        if fields.get("stream") is True:
            return streamed(chat.steps(ask), _EVENTS, _BEAT, _response_events, _failed_response)
        return jsonify(_response(chat.answer(ask)))

    @openai.get("/v1/models")
    def models() -> Response:
        """List the models on this machine."""
        listed = [_model(entry.model.name) for entry in chat.offered()]
        return jsonify({"object": "list", "data": listed})

    @openai.get("/v1/models/<path:name>")
    def model(name: str) -> Response:
        """Describe a model."""
        return jsonify(_model(chat.entry(name).model.name))

    return Door(openai, paths(), ("/v1/",), error_of)


def _completions(chat: Chat, model: str | None = None) -> Response:
    """Answer the current request; `model` is the one that the path names."""
    fields = json_fields()
    if model is not None:
        fields["model"] = model
    ask = _ask(chat, fields, fields.get("messages"))
    _read_format(ask, _object(fields.get("response_format")))
    ask.max_tokens = _count(fields.get("max_completion_tokens") or fields.get("max_tokens"))
    if fields.get("stream") is True:
        usage = _object(fields.get("stream_options")).get("include_usage") is True
        return streamed(chat.steps(ask), _EVENTS, _BEAT, partial(_chunks, usage=usage), _failed_chunk)
    reply = chat.answer(ask)
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": _reason(reply), "logprobs": None}
    return jsonify({**_head(reply), "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _head(reply: Reply) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": reply.model}


def _reason(reply: Reply) -> str:
    return "length" if reply.cut else "stop"


_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""The service does not count tokens."""


def error_of(problem: Problem) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error in OpenAI's shape, and its headers, which tell clients not to retry a permanent error."""
    kind = _TYPES.get(problem.status) or ("invalid_request_error" if problem.status < 500 else "server_error")
    code = "model_not_found" if problem.code == "unknown-model" else problem.code
    param = "response_format" if problem.code == UnmetSchema.code else None
    body = {"error": {"message": problem.detail, "type": kind, "param": param, "code": code}}
    return body, {} if problem.status in _RETRIED else {"x-should-retry": "false"}


def _ask(chat: Chat, fields: Fields, turns: Any) -> Ask:
    """Read the turns of a conversation. The last turn of the user is the question."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRequest("send the conversation as a list of messages")
    ask = Ask(model=str(fields.get("model") or ""))
    for turn in turns:
        text, images = _content(turn.get("content"))
        if turn.get("role") == "assistant":
            ask.said = text
        elif turn.get("role", "user") == "user":
            ask.prompt, found = text, images
            # A user may ask again about the pictures of an earlier turn.
            ask.images = [chat.image(source) for source in found] or ask.images
            ask.again = not found
    return ask


def _content(content: Any) -> tuple[str, list[Any]]:
    """Return the text and the addresses of the images of a message."""
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise BadRequest("the content of a message must be a text or a list of parts")
    texts, images = [], []
    for part in content:
        if part.get("type") in ("text", "input_text", "output_text"):
            texts.append(str(part.get("text") or ""))
        elif part.get("type") in ("image_url", "input_image"):
            url = part.get("image_url")
            images.append(url.get("url") if isinstance(url, dict) else url)
        else:
            raise BadRequest(f"parts of type {str(part.get('type'))[:50]!r} are not read here: send text and image_url")
    return "\n".join(texts), images


def _read_format(ask: Ask, format: Fields) -> None:
    """Read the JSON schema from any of the fields in which clients send it."""
    ask.as_json = format.get("type") in ("json_object", "json_schema", "json")
    inner = _object(format.get("json_schema"))
    schema = inner.get("schema") or format.get("schema") or format.get("value")
    ask.schema = schema if isinstance(schema, dict) else None


def _object(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest("the limit of tokens must be a positive integer")
    return value


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "image-to-text"}


def _chunks(reply: Reply, usage: bool) -> Iterator[str]:
    base = {**_head(reply), "object": "chat.completion.chunk"}
    deltas: tuple[tuple[dict[str, str], str | None], ...] = (
        ({"role": "assistant", "content": ""}, None),
        ({"content": reply.text}, None),
        ({}, _reason(reply)),
    )
    for delta, reason in deltas:
        yield _data({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    if usage:
        yield _data({**base, "choices": [], "usage": _USAGE})
    yield _DONE


def _failed_chunk(problem: Problem) -> str:
    return _data(error_of(problem)[0]) + _DONE


def _response(reply: Reply) -> dict[str, Any]:
    part = {"type": "output_text", "text": reply.text, "annotations": []}
    status = "incomplete" if reply.cut else "completed"
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "status": status}
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "model": reply.model,
        "output": [{**message, "content": [part]}],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if reply.cut else None,
        "instructions": None,
        "metadata": {},
    }


def _response_events(reply: Reply) -> Iterator[str]:
    done, text = _response(reply), reply.text
    item = done["output"][0]
    part = item["content"][0]
    begun = {**done, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    open_item = {**item, "status": "in_progress", "content": []}
    events: tuple[tuple[str, dict[str, Any]], ...] = (
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": open_item}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**place, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        (f"response.{done['status']}", {"response": done}),
    )
    for number, (name, data) in enumerate(events):
        yield f"event: {name}\n" + _data({"type": name, "sequence_number": number, **data})


def _failed_response(problem: Problem) -> str:
    error, _ = error_of(problem)
    # `error` is for clients that know errors of streams from chat completions alone.
    said = {"type": "error", "sequence_number": 0, "code": error["error"]["code"], "param": None, **error}
    return "event: error\n" + _data({**said, "message": problem.detail})


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


_described = partial(operation, "OpenAI", "As OpenAI's API answers.", "OpenAI's error JSON.")


def paths() -> dict[str, Any]:
    """Describe the routes, for `/openapi.json`."""
    chat = json_of("messages", messages="array", model="string", stream="boolean", max_completion_tokens="integer")
    asked = json_of("input", input="array", model="string", stream="boolean", max_output_tokens="integer")
    say = "Answer a chat with images"
    return {
        "/v1/chat/completions": {"post": _described("openaiChat", say, chat)},
        "/hf/{name}/v1/chat/completions": in_path("name") | {"post": _described("hfChat", say, chat)},
        "/v1/responses": {"post": _described("openaiResponses", "Answer with a response", asked)},
        "/v1/models": {"get": _described("openaiModels", "List the models on this machine")},
        "/v1/models/{name}": in_path("name") | {"get": _described("openaiModel", "Describe a model")},
    }
