"""`task` and `detail`: one model describes, describes with boxes, reads and finds objects, by what is asked."""

import base64
from typing import Any

import pytest
from PIL import Image

from tests.app.api.test_native import assert_problem
from tests.conftest import encoded
from tests.server import Server

FLORENCE = {"model": "florence-2-base", "max_new_tokens": 40}


def said(server: Server, picture: Image.Image, **options: Any) -> dict[str, Any]:
    answer = server.generate(encoded(picture), **FLORENCE | options)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_model_says_what_it_does(server: Server) -> None:
    (model,) = (each for each in server.get("/models").json()["models"] if each["name"] == "florence-2-base")
    assert model["task"] == "caption"
    assert model["tasks"] == ["caption", "grounded-caption", "read-page", "detect"]
    assert {"task", "detail", "prompt", "num_beams"} <= set(model["options"])
    assert model["only_for"]["prompt"] == ["grounded-caption"]
    assert model["only_for"]["ocr"] == ["read-page"]


def test_each_task_has_an_answer_of_its_own(server: Server, pictures: list[Image.Image]) -> None:
    described, read, found = (said(server, pictures[0], task=task) for task in ("caption", "read", "detect"))
    assert described["text"] == said(server, pictures[0])["text"]
    assert "entities" not in described
    assert "lines" not in described
    assert read["lines"] is not None
    assert "entities" not in read
    assert found["entities"] is not None
    assert found["text"] == ", ".join(entity["phrase"] for entity in found["entities"])


def test_a_description_with_boxes_is_the_description(server: Server, pictures: list[Image.Image]) -> None:
    grounded = said(server, pictures[1], task="ground", detail="full")
    assert grounded["text"] == said(server, pictures[1], detail="full")["text"]
    assert grounded["text"] != said(server, pictures[1])["text"]
    assert all(entity["boxes"] for entity in grounded["entities"])


def test_phrases_of_a_text_are_looked_for(server: Server, pictures: list[Image.Image]) -> None:
    text = "a ball and the lake"
    assert said(server, pictures[0], task="ground", prompt=text)["text"] == text
    # Elsewhere a prompt has no effect.
    described = said(server, pictures[0], prompt=text)
    assert described["text"] == said(server, pictures[0])["text"]
    assert "florence-2-base does not take prompt for caption: ignored" in described["warnings"]


def test_descriptions_have_three_lengths(server: Server, pictures: list[Image.Image]) -> None:
    texts = {detail: said(server, pictures[0], detail=detail)["text"] for detail in ("brief", "detailed", "full")}
    assert len(set(texts.values())) == 3
    image = base64.b64encode(encoded(pictures[0])).decode()
    for prompt, detail in (("Describe it.", "brief"), ("Describe it in detail.", "detailed")):
        asked = {"model": "florence-2-base", "prompt": prompt, "images": [image], "stream": False}
        asked["options"] = {"num_predict": FLORENCE["max_new_tokens"]}
        assert server.post("/api/generate", json=asked).json()["response"] == texts[detail]
    # As clients of Kosmos-2 ask for it.
    assert said(server, pictures[0], detail="true")["text"] == texts["detailed"]
    assert said(server, pictures[0], detail="false")["text"] == texts["brief"]
    assert_problem(server.generate(encoded(pictures[0]), detail="endless"), 422, "invalid-option")


def test_a_model_refuses_what_it_does_not_do(server: Server, pictures: list[Image.Image]) -> None:
    for model, task in (("blip-base", "detect"), ("rapidocr", "caption"), ("kosmos-2", "read")):
        refused = server.generate(encoded(pictures[0]), model=model, task=task)
        assert_problem(refused, 422, "invalid-option")
        assert f"{model} does not do {task}" in refused.json()["detail"]
    assert_problem(server.generate(encoded(pictures[0]), task="dance"), 422, "invalid-option")


@pytest.mark.parametrize(
    ("task", "model"), [("caption", "blip-large"), ("read", "rapidocr"), ("detect", "florence-2-base")]
)
def test_a_task_chooses_the_model(server: Server, pictures: list[Image.Image], task: str, model: str) -> None:
    answer = server.generate(encoded(pictures[0]), task=task, max_new_tokens=4)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model


def test_a_task_that_no_model_here_does(make_server: Any, pictures: list[Image.Image]) -> None:
    refused = make_server(preload="").generate(encoded(pictures[0]), task="detect")
    assert_problem(refused, 422, "invalid-option")
    assert "florence-2-base" in refused.json()["detail"]


def test_other_protocols_find_objects_and_read(server: Server, pictures: list[Image.Image]) -> None:
    photo = encoded(pictures[0])
    found = server.post("/hf/florence-2-base/object-detection", data=photo).json()
    entities = server.generate(photo, model="florence-2-base", task="detect").json()["entities"]
    assert [thing["label"] for thing in found] == [entity["phrase"] for entity in entities for _ in entity["boxes"]]
    import base64

    asked = {"model": "florence-2-base", "prompt": "Extract all text", "stream": False}
    answer = server.post("/api/generate", json=asked | {"images": [base64.b64encode(photo).decode()]}).json()
    read = server.generate(photo, model="florence-2-base", task="read").json()["text"]
    assert answer["model"].partition(":")[0] == "florence-2-base"
    assert answer["response"] == (read or "(no text found)")
