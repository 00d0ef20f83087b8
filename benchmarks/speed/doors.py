"""What the protocols of other programs cost over `POST /generate-text`."""

import base64
from collections.abc import Iterator, Mapping
from statistics import median

from benchmarks import report
from benchmarks.speed import pictures, servers
from benchmarks.speed.client import Request, as_json
from benchmarks.speed.context import WARMING_UP, Context, answer

_MODEL = "nothing"
_REQUESTS = 500


def doors(context: Context) -> Iterator[str]:
    """Answers from memory by each protocol and by `POST /generate-text` in turn, with the image in the same encoding:
    decoding base64 counts on both sides."""
    image = pictures.photograph(0)
    rows = []
    with servers.idle(context.directory / "doors", result_cache_mb=64) as server:
        for label, (native, door) in _pairs(image).items():
            for _ in range(WARMING_UP):
                answer(server, native)
                answer(server, door)
            taken: dict[Request, list[float]] = {native: [], door: []}
            for number in range(context.some(_REQUESTS)):
                # Each is the first as often as the second: the server may still be at work after an answer.
                for request in (native, door) if number % 2 else (door, native):
                    taken[request].append(answer(server, request))
            plain, other = median(taken[native]), median(taken[door])
            rows.append((label, _milliseconds(plain), _milliseconds(other), _milliseconds(other - plain)))
    yield report.table(("protocol", "/generate-text, p50", "this protocol, p50", "difference"), rows)


def _pairs(image: bytes) -> Mapping[str, tuple[Request, Request]]:
    """Return the same request in the service's own protocol and in another, by the name of that."""
    encoded = base64.b64encode(image).decode()
    url = f"data:image/jpeg;base64,{encoded}"
    native = as_json("/generate-text", {"model": _MODEL, "image_url": url})
    raw = Request(f"/generate-text?model={_MODEL}", "application/octet-stream", image)
    part = {"type": "image_url", "image_url": {"url": url}}
    chat = {"model": _MODEL, "messages": [{"role": "user", "content": [part]}]}
    asked = {"model": _MODEL, "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}
    return {
        "OpenAI, chat completions": (native, as_json("/v1/chat/completions", chat)),
        "OpenAI, streamed": (native, as_json("/v1/chat/completions", {**chat, "stream": True})),
        "OpenAI, responses": (native, as_json("/v1/responses", asked)),
        "Ollama": (native, as_json("/api/generate", {"model": _MODEL, "images": [encoded]})),
        "PhotoPrism Vision": (native, as_json("/api/v1/vision/caption", {"model": _MODEL, "images": [url]})),
        "Hugging Face": (raw, Request(f"/hf/{_MODEL}", "application/octet-stream", image)),
    }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
