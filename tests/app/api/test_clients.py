"""The doors of other protocols, driven by those protocols' own clients."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import ollama
import openai
import pytest
from PIL import Image

from app.errors import InvalidOption
from app.intent import wish_of
from tests.conftest import encoded
from tests.server import Server

MODEL = "efficientnet-gru"
KEY = "a-key"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_paths: str) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), model_paths=model_paths, default_model=MODEL)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), default_model=MODEL, api_keys=KEY)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def photo(pictures: list[Image.Image]) -> bytes:
    return encoded(pictures[0])


@pytest.fixture(scope="module")
def caption(service: Server, photo: bytes) -> str:
    said: str = service.generate(photo, model=MODEL).json()["text"]
    assert said
    return said


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def messages(data: bytes, prompt: str = "Describe this image") -> Any:
    image = {"type": "image_url", "image_url": {"url": data_url(data)}}
    return [{"role": "user", "content": [{"type": "text", "text": prompt}, image]}]


def test_openai_completes_streams_and_responds(service: Server, photo: bytes, caption: str) -> None:
    client = openai.OpenAI(base_url=service.url + "/v1", api_key="none")
    whole = client.chat.completions.create(model=MODEL, messages=messages(photo))
    assert (whole.choices[0].message.content, whole.model) == (caption, MODEL)
    stream = client.chat.completions.create(
        model=MODEL, messages=messages(photo), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == caption
    assert chunks[-1].usage is not None
    asked: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(photo), "detail": "low"}]}]
    assert client.responses.create(model=MODEL, input=asked).output_text == caption
    events = list(client.responses.create(model=MODEL, input=asked, stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == caption
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_openai_async(service: Server, photo: bytes, caption: str) -> None:
    async def ask() -> str | None:
        async with openai.AsyncOpenAI(base_url=service.url + "/v1", api_key="none") as client:
            answer = await client.chat.completions.create(model="auto", messages=messages(photo))
            return answer.choices[0].message.content

    assert asyncio.run(ask()) == caption


def test_openai_errors(service: Server, guarded: Server, photo: bytes) -> None:
    with pytest.raises(openai.AuthenticationError, match="API_KEYS"):
        openai.OpenAI(base_url=guarded.url + "/v1", api_key="wrong").models.list()
    assert openai.OpenAI(base_url=guarded.url + "/v1", api_key=KEY).models.list().data
    client = openai.OpenAI(base_url=service.url + "/v1", api_key="none")
    before = service.log.count("POST /v1/chat/completions")
    with pytest.raises(openai.APIStatusError) as broken:
        client.chat.completions.create(model=MODEL, messages=messages(b"no image"))
    assert broken.value.response.headers["x-should-retry"] == "false"
    assert service.log.count("POST /v1/chat/completions") == before + 1
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.UnprocessableEntityError, match="transcription"):
        client.chat.completions.create(model=MODEL, messages=messages(photo, "Is the door open?"))
    for path, status in (("/v1/embeddings", 404), ("/v1/responses", 405)):
        answer = service.get(path)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_ollama(service: Server, guarded: Server, photo: bytes, caption: str) -> None:
    client = ollama.Client(service.url)
    assert client.generate(MODEL, images=[photo], stream=False).response == caption
    lines = list(client.generate(f"{MODEL}:latest", "describe", images=[photo], stream=True))
    assert "".join(line.response for line in lines) == caption
    assert lines[-1].done
    turn = {"role": "user", "content": "describe", "images": [photo]}
    chat = list(client.chat(MODEL, [turn], stream=True))
    assert "".join(line.message.content or "" for line in chat) == caption
    assert "vision" in (client.show(MODEL).capabilities or [])
    assert f"{MODEL}:latest" in [model.model for model in client.list().models]
    assert f"{MODEL}:latest" in [model.model for model in client.ps().models]
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert service.state(MODEL)["state"] == "on_disk"
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.show("llava")
    assert guarded.get("/api/tags").json().keys() == {"error"}

    async def ask() -> str:
        return (await ollama.AsyncClient(service.url).generate(MODEL, images=[photo])).response

    assert asyncio.run(ask()) == caption


def test_hugging_face(service: Server, photo: bytes, caption: str, tmp_path: Path) -> None:
    client, url = huggingface_hub.InferenceClient(), f"{service.url}/hf/{MODEL}"
    file = tmp_path / "photo.png"
    file.write_bytes(photo)
    for image in (photo, file):
        assert client.image_to_text(image, model=url).generated_text == caption
    assert client.chat_completion(messages(photo), model=url).choices[0].message.content == caption
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError):
        client.visual_question_answering(photo, "How many?", model=url)
    assert service.get(f"/hf/{MODEL}/health").ok


def test_photoprism(service: Server, guarded: Server, photo: bytes, caption: str) -> None:
    asked = {"id": "7", "images": [data_url(photo)], "prompt": "ignored", "stream": False}
    answer = service.post("/api/v1/vision/caption", json=asked).json()
    assert (answer["id"], answer["code"], answer["result"]["caption"]["text"]) == ("7", 200, caption)
    for path, code in (("nsfw", 404), ("caption/unknown", 404)):
        refused = service.post(f"/api/v1/vision/{path}", json=asked).json()
        assert (refused["id"], refused["code"]) == ("7", code)
    assert guarded.post("/api/v1/vision/caption", json=asked).json()["code"] == 401


def test_karakeep_gets_tags_in_its_schema(service: Server, photo: bytes) -> None:
    schema = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
    native = service.generate(photo, model=MODEL, tags="true").json()
    image = base64.b64encode(photo).decode()
    asked = {"model": MODEL, "prompt": "x", "format": schema, "images": [image]}
    lines = service.post("/api/generate", json=asked).text.splitlines()
    assert json.loads(json.loads(lines[0])["response"]) == {"tags": native["tags"]}


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("", "caption"),
        ("Describe this image in one sentence.", "caption"),
        ("What is in this picture?", "caption"),
        ("You are an OCR engine. Transcribe the page.", "read"),
        ("Extract all the text", "read"),
        ("Suggest relevant tags in English", "tags"),
        ("Write alt text", "alt-text"),
        ("Give it a title", "title"),
    ],
)
def test_words_of_prompts(prompt: str, kind: str) -> None:
    assert wish_of(prompt).text == kind


@pytest.mark.parametrize("prompt", ["Is the door open?", "Translate it", "hello"])
def test_what_cannot_be_asked(prompt: str) -> None:
    with pytest.raises(InvalidOption, match="transcription"):
        wish_of(prompt)


def test_schemas_are_filled_or_refused() -> None:
    with pytest.raises(InvalidOption, match="'age'"):
        wish_of("", {"properties": {"age": {"type": "integer"}, "title": {"type": "string"}}, "required": ["age"]})
    assert wish_of("", {"properties": {"text": {"type": "string"}}}).text == "read"
