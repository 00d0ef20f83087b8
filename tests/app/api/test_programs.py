"""Requests of programs that use the service, written from their sources, and answers read as strictly as they do."""

import base64
import json
from datetime import datetime
from typing import Annotated, Any

import ollama
import pytest
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tests.conftest import encoded
from tests.fakes import run_async
from tests.server import Server

MODEL = "efficientnet-gru"
Filled = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


@pytest.fixture(scope="module")
def photo(pictures: list[Image.Image]) -> bytes:
    return encoded(pictures[0], "JPEG")


@pytest.fixture(scope="module")
def native(server: Server, photo: bytes) -> dict[str, Any]:
    """What POST /generate-text says of the photo."""
    said: dict[str, Any] = server.generate(photo, model=MODEL, tags="true").json()
    return said


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64_of(data)


class Strict(BaseModel):
    """As Go, zod and pydantic read JSON: what is read must have its type, and other fields may come."""

    model_config = ConfigDict(strict=True, extra="ignore")


# PhotoPrism: internal/ai/vision, api_request.go and api_response.go


class Label(Strict):
    name: Filled
    source: str = ""
    priority: int = 0
    confidence: float = 0.0
    topicality: float = 0.0
    categories: list[str] = []


class Caption(Strict):
    text: Filled
    source: str = ""
    confidence: float = 0.0


class VisionModel(Strict):
    type: str = ""
    name: Filled
    version: str = ""
    resolution: int = 0


class VisionResult(Strict):
    labels: list[Label] = []
    caption: Caption | None = None


class VisionAnswer(Strict):
    id: str
    code: int
    error: str = ""
    model: VisionModel
    result: VisionResult


LABELS_PROMPT = "Analyze the image and return label objects with name, confidence (0-1), and topicality (0-1)."
CAPTION_PROMPT = (
    "Create a caption with exactly one sentence in the active voice that describes the main visual content. Begin with "
    "the main subject and clear action. Avoid text formatting, meta-language, and filler words."
)


def test_photoprism_vision(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    asked = {"id": "0c3ea3d2", "suffix": "", "stream": False, "images": [data_url(photo)]}
    said = VisionAnswer.model_validate(server.post(f"/api/v1/vision/caption/{MODEL}/latest", json=asked).json())
    assert (said.id, said.code) == ("0c3ea3d2", 200)
    assert said.result.caption
    assert said.result.caption.text == native["text"]
    more = {**asked, "model": MODEL, "prompt": LABELS_PROMPT, "options": {"temperature": 0.1}, "format": "json"}
    labels = VisionAnswer.model_validate(server.post("/api/v1/vision/labels", json=more).json())
    assert [label.name for label in labels.result.labels] == native["tags"]


class OllamaLine(Strict):
    model: Filled
    created_at: str
    response: str
    done: bool


def test_photoprism_by_ollama(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    asked = {
        "id": "0c3ea3d2",
        "model": f"{MODEL}:latest",
        "system": "You are a PhotoPrism vision model. Output concise JSON that matches the schema.",
        "prompt": LABELS_PROMPT,
        "suffix": "",
        "format": "json",
        "options": {"temperature": 0.1, "top_p": 0.9, "stop": ["\n\n"]},
        "stream": False,
        "images": [base64_of(photo)],
    }
    line = OllamaLine.model_validate(server.post("/api/generate", json=asked).json())
    datetime.fromisoformat(line.created_at)
    labels = [Label.model_validate(label) for label in json.loads(line.response)["labels"]]
    assert [label.name for label in labels] == native["tags"]
    del asked["format"]
    line = OllamaLine.model_validate(server.post("/api/generate", json=asked | {"prompt": CAPTION_PROMPT}).json())
    assert (line.response, line.done) == (native["text"], True)


class OutputPart(Strict):
    type: str
    text: Filled


class OutputMessage(Strict):
    type: str
    role: str
    content: list[OutputPart]


class OpenAIResponse(Strict):
    id: Filled
    model: Filled
    output: list[OutputMessage]


def test_photoprism_by_responses(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    number = {"type": "number", "minimum": 0, "maximum": 1}
    label = {"name": {"type": "string", "minLength": 1}, "confidence": number, "topicality": number}
    items = {"type": "object", "properties": label, "required": list(label), "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {"labels": {"type": "array", "items": items, "default": []}},
        "required": ["labels"],
        "additionalProperties": False,
    }
    part = {"type": "input_image", "image_url": data_url(photo), "detail": "low"}
    turn = {"role": "user", "type": "message", "content": [{"type": "input_text", "text": LABELS_PROMPT}, part]}
    asked = {
        "model": MODEL,
        "input": [turn],
        "text": {"format": {"type": "json_schema", "name": "photoprism_vision_labels_v1", "schema": schema}},
        "max_output_tokens": 1024,
        "reasoning": {"effort": "low"},
    }
    said = OpenAIResponse.model_validate(server.post("/v1/responses", json=asked).json())
    labels = json.loads(said.output[0].content[0].text)["labels"]
    assert [Label.model_validate(label).name for label in labels] == native["tags"]
    del asked["text"]
    turn["content"] = [{"type": "input_text", "text": CAPTION_PROMPT}, part]
    said = OpenAIResponse.model_validate(server.post("/v1/responses", json=asked).json())
    assert said.output[0].content[0].text == native["text"]


# Karakeep: packages/shared/inference and prompts.ts


class Tags(Strict):
    tags: list[Filled]


class Message(Strict):
    content: Filled


class Choice(Strict):
    message: Message


class Completion(Strict):
    choices: Annotated[list[Choice], Field(min_length=1)]


TAG_RULES = """
You are an expert whose responsibility is to help with automatic tagging for a read-it-later/bookmarking app.
Analyze the {what} and suggest relevant tags that describe its key themes, topics, and main ideas. The rules are:
- Do NOT generate any tags if the image is mainly:
    - A screenshot of an error, unavailable, forbidden, unauthorized, not found, DNS, timeout, or service failure page
- Aim for 10-15 tags.
- If there are no good tags, leave the array empty.
"""
TAG_JSON = 'You must respond in valid JSON with the key "tags" and the value is list of tags.'
OCR_PROMPT = """You are an OCR (Optical Character Recognition) expert. Your task is to extract ALL text from this image.

Rules:
- Extract every piece of text visible in the image, including titles, body text, captions, labels, and watermarks.
- If there is no text in the image, respond with an empty string."""
TAGS_SCHEMA = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["tags"],
    "additionalProperties": False,
    "$schema": "http://json-schema.org/draft-07/schema#",
}


@pytest.mark.parametrize(
    "format",
    [
        {"type": "json_schema", "json_schema": {"name": "schema", "strict": True, "schema": TAGS_SCHEMA}},
        {"type": "json_object"},
        None,
    ],
)
def test_karakeep_tags_images(server: Server, photo: bytes, native: dict[str, Any], format: Any) -> None:
    prompt = TAG_RULES.format(what="attached image") + TAG_JSON
    image = {"type": "image_url", "image_url": {"url": data_url(photo), "detail": "low"}}
    turn = {"role": "user", "content": [{"type": "text", "text": prompt}, image]}
    asked = {"model": MODEL, "max_tokens": 2048, "messages": [turn]} | ({"response_format": format} if format else {})
    said = Completion.model_validate(server.post("/v1/chat/completions", json=asked).json())
    assert Tags.model_validate_json(said.choices[0].message.content).tags == native["tags"]


def test_karakeep_tags_texts(server: Server) -> None:
    text = "A recipe for tomato soup with basil. Serve with bread. The title says: OCR and labels."
    prompt = f"{TAG_RULES.format(what='TEXT_CONTENT below')}\n<TEXT_CONTENT>\n{text}\n</TEXT_CONTENT>\n{TAG_JSON}"
    asked = {"model": "auto", "max_tokens": 2048, "messages": [{"role": "user", "content": prompt}]}
    said = Completion.model_validate(server.post("/v1/chat/completions", json=asked).json())
    native = server.post("/generate-tags", json={"text": text}).json()
    assert Tags.model_validate_json(said.choices[0].message.content).tags == native["tags"]


def test_karakeep_reads(server: Server) -> None:
    page = encoded(Image.new("RGB", (60, 40), "white"))
    image = {"type": "image_url", "image_url": {"url": data_url(page)}}
    turn = {"role": "user", "content": [{"type": "text", "text": OCR_PROMPT}, image]}
    said = server.post("/v1/chat/completions", json={"model": MODEL, "messages": [turn]}).json()
    assert said["model"] == "rapidocr"
    # An empty text is an error there.
    assert Completion.model_validate(said).choices[0].message.content == "(no text found)"


def test_karakeep_by_ollama(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    turn = {"role": "user", "content": TAG_RULES.format(what="attached image") + TAG_JSON, "images": [photo]}
    stream = ollama.Client(server.url).chat(
        MODEL, [turn], format=TAGS_SCHEMA, stream=True, keep_alive="5m", options={"num_ctx": 8192, "num_predict": 2048}
    )
    assert Tags.model_validate_json("".join(part.message.content or "" for part in stream)).tags == native["tags"]


# Home Assistant: homeassistant/components/ollama


def test_home_assistant(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    async def ask(prompt: str, structure: dict[str, Any] | None) -> str:
        client = ollama.AsyncClient(host=server.url)
        assert f"{MODEL}:latest" in {model_info["model"] for model_info in (await client.list())["models"]}
        stream = await client.chat(
            model=f"{MODEL}:latest",
            messages=[
                {"role": "system", "content": "You are a voice assistant for Home Assistant. Answer with a label."},
                {"role": "user", "content": prompt, "images": [ollama.Image(value=photo)]},
            ],
            tools=[{"type": "function", "function": {"name": "HassTurnOn", "parameters": {"type": "object"}}}],
            stream=True,
            keep_alive=-1,
            options={"num_ctx": 8192},
            think=False,
            format=structure,
        )
        parts = [response["message"].get("content") async for response in stream]
        return "".join(part for part in parts if part is not None)

    assert run_async(ask("What do you see in the driveway?", None)) == native["text"]
    structure = {
        "type": "object",
        "properties": {"description": {"type": "string", "description": "What is there"}},
        "required": ["description"],
    }
    assert json.loads(run_async(ask("Look at the driveway.", structure))) == {"description": native["text"]}
    number = {"type": "object", "properties": {"cars": {"type": "integer"}}, "required": ["cars"]}
    with pytest.raises(ollama.ResponseError, match=r"cars|its properties"):
        run_async(ask("How many cars are there?", number))


# Frigate: frigate/genai, whose client gives up when `show` raises


def test_frigate(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    client = ollama.Client(host=server.url, timeout=60)
    assert not client.show(MODEL).get("error")
    assert f"{MODEL}:latest" in sorted(m.get("name", m.get("model", "")) for m in client.list().get("models", []))
    prompt = (
        "Analyze the sequence of images containing the dog. Focus on the likely intent or behavior of the dog based on "
        "its actions and movement, rather than describing its appearance or the surroundings. Consider what the dog is "
        "doing, why, and what it might do next."
    )
    turn = {"role": "user", "content": f"[img]\n[img]\n{prompt}", "images": [photo, photo]}
    options = {"temperature": 0.5, "repeat_penalty": 1.05, "presence_penalty": 0.3}
    said = client.chat(model=MODEL, messages=[turn], options=options, stream=False, think=False)
    assert said["message"]["content"] == f"{native['text']}\n\n{native['text']}"
    assert (said.get("done"), said.get("done_reason")) == (True, "stop")


# LibreChat and Open WebUI: a chat, then a title for it


class Delta(Strict):
    content: str | None = None


class StreamedChoice(Strict):
    index: int
    delta: Delta
    finish_reason: str | None


class Chunk(Strict):
    id: Filled
    object: str
    created: int
    model: Filled
    choices: list[StreamedChoice]


def test_librechat(server: Server, photo: bytes, native: dict[str, Any]) -> None:
    image = {"type": "image_url", "image_url": {"url": data_url(photo), "detail": "auto"}}
    question = {"role": "user", "content": [{"type": "text", "text": "What is in this picture?"}, image]}
    asked = {"model": MODEL, "user": "65", "stream": True, "temperature": 1, "top_p": 1, "messages": [question]}
    response = server.post("/v1/chat/completions", json=asked | {"stream_options": {"include_usage": True}})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [Chunk.model_validate_json(event) for event in events[:-1]]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == native["text"]
    prompt = (
        "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the "
        f"title itself.\n\nConversation:\nUser: Suggest tags for this picture\nAI: {said}"
    )
    titled = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
    title = Completion.model_validate(server.post("/v1/chat/completions", json=titled).json())
    assert native["text"].startswith(title.choices[0].message.content.rstrip("…"))


def test_open_webui_asks_for_a_title(server: Server) -> None:
    prompt = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: Describe the picture, and label it
ASSISTANT: a dog on a beach
</chat_history>"""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": False}
    said = Completion.model_validate(server.post("/v1/chat/completions", json=asked).json())
    assert json.loads(said.choices[0].message.content) == {"title": "a dog on a beach"}
