"""The doors of other protocols, driven by those protocols' own clients."""

import base64
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import ollama
import openai
import pytest
import requests
from PIL import Image

from tests.conftest import encoded
from tests.fakes import run_async, wait_until
from tests.internet import Upstream
from tests.internet import answer as web_answer
from tests.server import ROOT, Server

MODEL = "efficientnet-gru"
KEY = "a-key"


@pytest.fixture(scope="module")
def web(photo: bytes) -> Iterator[Upstream]:
    """A web server with the photo."""
    upstream = Upstream({"/photo.png": web_answer(photo)})
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_paths: str, web: Upstream) -> Iterator[Server]:
    settings = {"model_paths": model_paths, "default_model": MODEL, "fetch_allow_hosts": web.address}
    running = Server(tmp_path_factory.mktemp("server"), **settings)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that wants a key and takes little, with models that misbehave."""
    running = Server(
        tmp_path_factory.mktemp("server"),
        command=[sys.executable, "-m", "tests.odd"],
        pythonpath=ROOT,
        api_keys=KEY,
        queue_size=1,
        max_upload_mb=0.2,
    )
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
    listed = {model.id for model in client.models.list()}
    assert listed >= {MODEL, "rapidocr"}
    assert not listed & {"rapidocr-lines", "t5-tags"}, "they answer no chat with images"
    for name in (MODEL, "flickr8k-gru", "auto:latest"):
        assert client.models.retrieve(name).id == MODEL


def test_openai_takes_addresses_and_says_where_a_text_was_cut(service: Server, web: Upstream) -> None:
    client = openai.OpenAI(base_url=service.url + "/v1", api_key="none")
    image = {"type": "image_url", "image_url": {"url": web.url("/photo.png"), "detail": "auto"}}
    turns: Any = [{"role": "user", "content": [image]}]
    native = service.post("/generate-text", json={"image_url": web.url("/photo.png"), "model": MODEL})
    # More tokens than the model writes are no limit.
    whole = client.chat.completions.create(model=MODEL, messages=turns, max_tokens=4_096).choices[0]
    assert (whole.message.content, whole.finish_reason) == (native.json()["text"], "stop")
    short = client.chat.completions.create(model=MODEL, messages=turns, max_completion_tokens=2).choices[0]
    asked_for = {"image_url": web.url("/photo.png"), "model": MODEL, "max_new_tokens": 2}
    cut = service.post("/generate-text", json=asked_for).json()["text"]
    assert (short.message.content, short.finish_reason) == (cut, "length")
    chunks = list(client.chat.completions.create(model=MODEL, messages=turns, max_tokens=2, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"
    asked: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": web.url("/photo.png")}]}]
    response = client.responses.create(model=MODEL, input=asked, max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    events = list(client.responses.create(model=MODEL, input=asked, max_output_tokens=2, stream=True))
    assert events[-1].type == "response.incomplete"


def test_openai_async(service: Server, photo: bytes, caption: str) -> None:
    async def ask() -> str | None:
        async with openai.AsyncOpenAI(base_url=service.url + "/v1", api_key="none") as client:
            answer = await client.chat.completions.create(model="auto", messages=messages(photo))
            return answer.choices[0].message.content

    assert run_async(ask()) == caption


def test_openai_errors(service: Server, strict: Server, photo: bytes) -> None:
    with pytest.raises(openai.AuthenticationError, match="API_KEYS"):
        openai.OpenAI(base_url=strict.url + "/v1", api_key="wrong").models.list()
    assert openai.OpenAI(base_url=strict.url + "/v1", api_key=KEY).models.list().data
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


def test_ollama(service: Server, strict: Server, photo: bytes, caption: str, tmp_path: Path) -> None:
    client = ollama.Client(service.url)
    file = tmp_path / "photo.png"
    file.write_bytes(photo)
    assert client.generate(MODEL, images=[file], stream=False).response == caption
    cut = client.generate(MODEL, images=[photo], stream=False, options={"num_predict": 2})
    native = service.generate(photo, model=MODEL, max_new_tokens=2).json()["text"]
    assert (cut.done_reason, cut.response) == ("length", native)
    assert client.generate(MODEL, images=[photo], stream=False).response == caption
    lines = list(client.generate(f"{MODEL}:latest", "describe", images=[photo], stream=True))
    assert "".join(line.response for line in lines) == caption
    assert lines[-1].done
    turn = {"role": "user", "content": "describe", "images": [photo]}
    chat = list(client.chat(MODEL, [turn], stream=True))
    assert "".join(line.message.content or "" for line in chat) == caption
    assert "vision" in (client.show(MODEL).capabilities or [])
    assert f"{MODEL}:latest" in [model.model for model in client.list().models]
    (loaded,) = (model for model in client.ps().models if model.model == f"{MODEL}:latest")
    assert loaded.expires_at is not None
    assert timedelta(0) < loaded.expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert service.state(MODEL)["state"] == "on_disk"
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.show("llava")
    nothing = service.post("/api/show", json={})
    assert (nothing.status_code, nothing.json()) == (400, {"error": "model is required"})
    assert service.post("/api/show", json={"name": MODEL}).ok
    # No one model, to be unloaded.
    alone = client.generate("alt-text", images=[photo], stream=False, keep_alive=0)
    *_, last = client.generate("alt-text:latest", images=[photo], stream=True, keep_alive=0)
    assert (alone.done, last.done, bool(alone.response)) == (True, True, True)
    assert strict.get("/api/tags").json().keys() == {"error"}

    async def ask() -> str:
        return (await ollama.AsyncClient(service.url).generate(MODEL, images=[photo])).response

    assert run_async(ask()) == caption


def test_hugging_face(service: Server, photo: bytes, caption: str, tmp_path: Path, web: Upstream) -> None:
    client, url = huggingface_hub.InferenceClient(), f"{service.url}/hf/{MODEL}"
    file = tmp_path / "photo.png"
    file.write_bytes(photo)
    for image in (photo, file, web.url("/photo.png")):
        assert client.image_to_text(image, model=url).generated_text == caption
    indented = "\n " + json.dumps({"inputs": base64.b64encode(photo).decode()}, indent=1)
    assert service.post(f"/hf/{MODEL}", data=indented).json() == [{"generated_text": caption}]
    assert client.chat_completion(messages(photo), model=url).choices[0].message.content == caption
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError):
        client.visual_question_answering(photo, "How many?", model=url)
    refused = service.post(f"/hf/{MODEL}/v1/chat/completions", json={"messages": []})
    assert refused.json()["error"].keys() >= {"message", "type"}, "an error in OpenAI's shape, as the answer is"
    assert service.get(f"/hf/{MODEL}/health").ok
    native = service.generate(photo, model=MODEL, tags="true", tagger=MODEL).json()
    tags = client.image_classification(photo, model=f"{url}/image-classification", top_k=3)
    assert [tag.label for tag in tags] == native["tags"][:3]
    assert [tag.score for tag in tags] == pytest.approx(native["tag_scores"][:3], abs=1e-5)
    found = client.object_detection(photo, model=f"{service.url}/hf/kosmos-2/object-detection")
    entities = service.generate(photo, model="kosmos-2").json()["entities"]
    assert [thing.label for thing in found] == [entity["phrase"] for entity in entities for _ in entity["boxes"]]
    assert all(isinstance(side, int) for thing in found for side in dict(thing.box).values())


def test_photoprism(service: Server, strict: Server, photo: bytes, caption: str, web: Upstream) -> None:
    by_address = service.post("/api/v1/vision/caption", json={"id": "8", "url": web.url("/photo.png")}).json()
    assert by_address["result"]["caption"]["text"] == caption
    asked = {"id": "7", "images": [data_url(photo)], "prompt": "ignored", "stream": False}
    answer = service.post("/api/v1/vision/caption", json=asked).json()
    assert (answer["id"], answer["code"], answer["result"]["caption"]["text"]) == ("7", 200, caption)
    # Only the first image has a caption: the others are not looked at.
    several = {"images": [data_url(photo), "no image"]}
    assert service.post("/api/v1/vision/caption", json=several).json()["result"]["caption"]["text"] == caption
    many = service.post("/api/v1/vision/labels", json={"images": [data_url(photo)] * 17}).json()
    assert (many["code"], many["error"]) == (422, "send at most 16 images at once")
    for path, code in (("nsfw", 404), ("caption/unknown", 404)):
        refused = service.post(f"/api/v1/vision/{path}", json=asked).json()
        assert (refused["id"], refused["code"]) == ("7", code)
    assert strict.post("/api/v1/vision/caption", json=asked).json()["code"] == 401


def small_image(side: int = 8) -> bytes:
    return encoded(Image.new("RGB", (side, side), "teal"))


Send = Callable[[Server, bytes, str], requests.Response]
KEYS = {"Authorization": f"Bearer {KEY}"}


def by_openai(server: Server, image: bytes, model: str) -> requests.Response:
    body = {"model": model, "messages": messages(image, "")}
    return server.post("/v1/chat/completions", json=body, headers=KEYS)


def by_responses(server: Server, image: bytes, model: str) -> requests.Response:
    part = {"type": "input_image", "image_url": data_url(image)}
    body = {"model": model, "input": [{"role": "user", "content": [part]}]}
    return server.post("/v1/responses", json=body, headers=KEYS)


def by_ollama(server: Server, image: bytes, model: str) -> requests.Response:
    body = {"model": model, "images": [base64.b64encode(image).decode()]}
    return server.post("/api/generate", json=body, headers=KEYS)


def by_hugging_face(server: Server, image: bytes, model: str) -> requests.Response:
    return server.post(f"/hf/{model}", data=image, headers=KEYS)


def by_photoprism(server: Server, image: bytes, model: str) -> requests.Response:
    body = {"id": "7", "model": model, "images": [data_url(image)]}
    return server.post("/api/v1/vision/caption", json=body, headers=KEYS)


def detail_of(response: requests.Response) -> str:
    """Return what an error says, in the shape that its protocol has."""
    body, path = response.json(), response.request.path_url
    if path.startswith("/v1/"):
        assert body["error"].keys() == {"message", "type", "param", "code"}
        retried = response.status_code in (429, 500, 503)
        assert response.headers.get("x-should-retry") == (None if retried else "false")
        return str(body["error"]["message"])
    if path.startswith("/api/v1/vision"):
        assert (body["id"], body["code"]) == ("7", response.status_code)
    elif path.startswith("/hf/"):
        assert body["error_type"]
    return str(body["error"])


@pytest.mark.parametrize("send", [by_openai, by_responses, by_ollama, by_hugging_face, by_photoprism])
def test_errors_have_the_shape_of_their_protocol(strict: Server, send: Send) -> None:
    noise = encoded(Image.effect_noise((600, 600), 100))
    for image, model, status, says in (
        (noise, "odd", 413, "MAX_UPLOAD_MB"),
        (b"no image", "odd", 415, "image"),
        (small_image()[:40], "odd", 422, "image"),
        (small_image(), "llava", 404, "llava"),
        (small_image(), "broken", 500, ""),
    ):
        response = send(strict, image, model)
        assert response.status_code == status, response.text
        assert says in detail_of(response)
        assert "secret" not in response.text


def test_streams_stay_alive(strict: Server) -> None:
    chat = {"messages": messages(small_image(), ""), "stream": True}
    asked: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(small_image())}]}]
    lines = {"images": [base64.b64encode(small_image()).decode()]}
    bodies = {"/v1/chat/completions": chat, "/v1/responses": {"input": asked, "stream": True}, "/api/generate": lines}

    def stream(path: str) -> str:
        response = strict.post(path, json={**bodies[path], "model": "slow"}, headers=KEYS)
        assert response.status_code == 200
        return response.text

    with ThreadPoolExecutor() as threads:
        completed, responded, generated = threads.map(stream, bodies)
    for text in (completed, responded):
        assert text.startswith(": at work\n\n")
        assert '"sleep 1.2"' in text
    first, *others = (json.loads(line) for line in generated.splitlines())
    assert (first["response"], first["done"]) == ("", False)
    assert [line["response"] for line in others] == ["sleep 1.2", ""]


def test_streams_end_with_what_went_wrong(strict: Server) -> None:
    client = openai.OpenAI(base_url=strict.url + "/v1", api_key=KEY)
    asked: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(small_image())}]}]

    def completed() -> Any:
        return client.chat.completions.create(model="late", messages=messages(small_image(), ""), stream=True)

    def responded() -> Any:
        return client.responses.create(model="late", input=asked, stream=True)

    def generated() -> Any:
        return ollama.Client(strict.url, headers=KEYS).generate("late", images=[small_image()], stream=True)

    def error_of(begin: Callable[[], Any]) -> Exception | None:
        try:
            list(begin())
        except (openai.APIError, ollama.ResponseError) as error:
            return error
        return None

    with ThreadPoolExecutor() as threads:
        errors = list(threads.map(error_of, (completed, responded, generated)))
    assert [type(error) for error in errors] == [openai.APIError, openai.APIError, ollama.ResponseError]
    assert all("late" in str(error) and "secret" not in str(error) for error in errors)


def test_a_full_queue_is_tried_again(strict: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own retries bring the answer, after the time that the service asks for."""
    waited: list[float] = []

    def queued() -> int:
        listed = strict.get("/models", headers=KEYS).json()["models"]
        return int(next(entry for entry in listed if entry["name"] == "odd")["queued"])

    def occupy(seconds: float) -> requests.Response:
        options = {"model": "odd", "prompt": f"sleep {seconds}"}
        return strict.post("/generate-text", files={"image_file": small_image()}, data=options, headers=KEYS)

    def fill() -> bool:
        # Two that come at the same time are one batch.
        threads.submit(occupy, 0.01 + len(waited) / 1000)
        settled.wait(0.2)
        return queued() == 1

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        wait_until(lambda: queued() == 0)

    settled = threading.Event()
    assert by_ollama(strict, small_image(), "odd").ok
    with ThreadPoolExecutor() as threads:
        first = threads.submit(occupy, 3)
        settled.wait(0.3)
        wait_until(fill)
        for send in (by_openai, by_responses, by_ollama, by_hugging_face, by_photoprism):
            # An answer that is remembered needs no queue.
            response = send(strict, small_image(9), "odd")
            assert (response.status_code, response.headers["Retry-After"]) == (429, "5")
            assert detail_of(response)
        client = openai.OpenAI(base_url=strict.url + "/v1", api_key=KEY)
        monkeypatch.setattr(openai._base_client, "time", SimpleNamespace(**vars(time) | {"sleep": sleep}))
        answer = client.chat.completions.create(model="odd", messages=messages(small_image(9), ""))
    assert answer.choices[0].message.content
    assert waited == [5.0]
    assert first.result().ok
