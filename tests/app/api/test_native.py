"""POST /generate-text and /generate-tags against the running server."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import INPUT, encoded
from tests.server import Server

INVOICE = (INPUT / "invoice.png").read_bytes()
TITLE = encoded(Image.open(INPUT / "invoice.png").crop((100, 60, 600, 125)).convert("L"))
SMALL = encoded(Image.new("RGB", (40, 30), "teal"))
READER = {"model": "rapidocr"}
FORM = "application/x-www-form-urlencoded"


def data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def assert_problem(response: requests.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Check that an error is an RFC 9457 problem that leaks nothing, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert code in (None, problem["code"])
    for leak in ("Traceback", "site-packages", ".py", "127.0.0.1"):
        assert leak not in problem["detail"]
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    return problem


# What goes in


@pytest.mark.parametrize(
    ("field", "image", "expected"),
    [
        ("image_file", INVOICE, ("Larkfield Paper Company", "LP-20417", "Letterpress business cards", "$844.02")),
        ("Image_file", TITLE, ("Larkfield Paper Company",)),
    ],
)
def test_a_file_as_a_form(server: Server, field: str, image: bytes, expected: tuple[str, ...]) -> None:
    answer = server.post("/generate-text", files={field: ("invoice.png", image)}, data=READER).json()
    for words in expected:
        assert words in answer["text"]


def test_the_answer_has_all_its_fields_and_no_others(server: Server) -> None:
    # No test before this one may have asked it.
    answer = server.post(
        "/generate-text",
        files={"image_file": INVOICE},
        data={"model": "rapidocr"},
        headers={"Cache-Control": "no-cache"},
    ).json()
    assert set(answer) == {"id", "text", "model", "confidence", "lines", "tables", "image", "timings_ms", "warnings"}
    assert answer["model"] == "rapidocr"
    assert answer["text"].split() == " ".join(line["text"] for line in answer["lines"]).split()
    assert 0.9 < answer["confidence"] <= 1
    for line in answer["lines"]:
        assert set(line) == {"text", "confidence", "polygon", "paragraph"}
        assert len(line["polygon"]) == 4
        assert all(0 <= value <= 1 for point in line["polygon"] for value in point)
    title = answer["lines"][0]["polygon"]
    assert title[0][1] < 0.1, "the title stands at the top"
    assert (answer["image"]["width"], answer["image"]["height"], answer["image"]["format"]) == (1000, 1414, "PNG")
    assert set(answer["timings_ms"]) == {"fetch", "decode", "load", "queue", "inference", "total"}
    assert answer["timings_ms"]["total"] >= answer["timings_ms"]["inference"] > 0
    assert answer["timings_ms"]["fetch"] == 0
    assert answer["warnings"] == []


def test_a_range_of_pages_is_explained_in_words(server: Server) -> None:
    detail = server.generate(SMALL, model="rapidocr", pages="x").json()["detail"]
    assert detail.startswith("pages: 'x' does not fit. Pages of a document, such as `1-3,7`")


@pytest.mark.parametrize(
    "send",
    [
        lambda s: s.post("/generate-text", json={"image_url": data_url(SMALL)} | READER),
        lambda s: s.post("/generate-text", data={"image_url": data_url(SMALL)} | READER),
        lambda s: s.post("/generate-text", files={"image_url": (None, data_url(SMALL)), "model": (None, "rapidocr")}),
        lambda s: s.post("/generate-text?model=rapidocr", data=SMALL),
        lambda s: s.post("/generate-text?model=rapidocr", data=SMALL, headers={"Content-Type": "image/png"}),
        lambda s: s.post("/generate-text?model=rapidocr", data=SMALL, headers={"Content-Type": "image/x-lies"}),
        lambda s: s.post("/generate-text?model=rapidocr", data=SMALL, headers={"Content-Type": FORM}),
        lambda s: s.post(
            "/generate-text?model=rapidocr", data=SMALL, headers={"Content-Type": "application/octet-stream"}
        ),
        lambda s: s.post("/generate-text", data=iter([SMALL[:50], SMALL[50:]]), params=READER),
        # A browser sends a field that was left empty as an empty text, and an empty part where no file was chosen.
        lambda s: s.generate(SMALL, image_url="", prompt="", max_new_tokens="", tags="", model="rapidocr"),
        lambda s: s.post(
            "/generate-text", files={"image_file": ("", b"")}, data={"image_url": data_url(SMALL)} | READER
        ),
    ],
)
def test_every_way_in(server: Server, send: Callable[[Server], requests.Response]) -> None:
    response = send(server)
    assert response.status_code == 200, response.text
    assert (response.json()["image"]["width"], response.json()["text"]) == (40, "")


def test_accept_text_plain_gets_the_text_alone(server: Server) -> None:
    response = server.post(
        "/generate-text?model=rapidocr", data=(INPUT / "sign.jpg").read_bytes(), headers={"Accept": "text/plain"}
    )
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.text == "PLATFORM 4\n\nMIND THE STEP"


# What does not


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda s: s.post("/generate-text"), 400),
        (lambda s: s.post("/generate-text", json={}), 400),
        (lambda s: s.post("/generate-text", data=READER), 400),
        (lambda s: s.generate(SMALL, image_url=data_url(SMALL)), 400),
        (lambda s: s.post("/generate-text", files=[("image_file", SMALL), ("image_file", SMALL)]), 400),
        (lambda s: s.post("/generate-text", files=[("image_file", SMALL), ("Image_file", SMALL)]), 400),
        (lambda s: s.post("/generate-text", data=[("image_url", "http://a/"), ("image_url", "http://b/")]), 400),
        (lambda s: s.post("/generate-text?model=rapidocr", json={"image_url": "http://a/", "model": "rapidocr"}), 400),
        (lambda s: s.post("/generate-text", data=b'{"model": 1, "model": 2}', headers=JSON), 400),
        (lambda s: s.post("/generate-text", data={"image_file": "text"}), 400),
        (lambda s: s.post("/generate-text", data=b"{", headers=JSON), 400),
        (lambda s: s.post("/generate-text", data=b"[" * 100_000, headers=JSON), 400),
        (lambda s: s.post("/generate-text", data=b'{"a":' * 100_000, headers=JSON), 400),
        (lambda s: s.post("/generate-text", data=b"[]", headers=JSON), 400),
        (lambda s: s.post("/generate-text", data=b"\xff\xfe{", headers=JSON), 400),
        (lambda s: s.post("/generate-text", json={"image_url": 5}), 400),
        (lambda s: s.post("/generate-text", json={"image_url": "data:image/png;base64,%%%"}), 400),
        (lambda s: s.post("/generate-text", data=b"--x\r\n", headers={"Content-Type": "multipart/form-data"}), 400),
        (lambda s: s.post("/generate-text", data={"prompt": "a" * 600_000}), 413),
        (lambda s: s.post("/generate-text", files={f"f{i}": (None, "x") for i in range(200)}), 413),
        (lambda s: s.post("/generate-text", data=b"hello", headers={"Content-Type": "text/plain"}), 415),
        (lambda s: s.post("/generate-text", data=b"<xml/>", headers={"Content-Type": "application/xml"}), 415),
        (lambda s: s.generate(b"not an image", model="rapidocr"), 415),
        (lambda s: s.post("/generate-text", json={"image_url": "data:,hello"}), 415),
        (lambda s: s.generate(b"", model="rapidocr"), 422),
        (lambda s: s.post("/generate-text?model=rapidocr", data=b"", headers={"Content-Type": "image/png"}), 422),
        (lambda s: s.generate(INVOICE[:5000], model="rapidocr"), 422),
        (lambda s: s.post("/generate-text", json={"image_url": "file:///etc/passwd"}), 422),
        (lambda s: s.post("/generate-text", json={"image_url": "http://127.0.0.1/"}), 422),
        (lambda s: s.post("/generate-text", json={"image_url": s.url + "/docs"}), 422),
        (lambda s: s.post("/generate-text", json={"image_url": "http://169.254.169.254/latest"}), 422),
        (lambda s: s.post("/generate-text", files={"photo": ("a.png", SMALL)}), 422),
        (lambda s: s.generate(SMALL, colour="red"), 422),
        (lambda s: s.generate(SMALL, num_beams=0), 422),
        (lambda s: s.generate(SMALL, num_beams="many"), 422),
        (lambda s: s.generate(SMALL, max_new_tokens=100_000), 422),
        (lambda s: s.generate(SMALL, tags="perhaps"), 422),
        (lambda s: s.generate(SMALL, model="blip-base", prompt="a" * 100_000), 422),
        (lambda s: s.generate(SMALL, model="blip-base", min_new_tokens=9, max_new_tokens=3), 422),
        (lambda s: s.generate(SMALL, model="blip-base", prompt="x y " * 400, max_new_tokens=400), 422),
        (lambda s: s.generate(SMALL, model="blip-base", prompt="[SEP] a dog"), 422),
        (lambda s: s.generate(SMALL, model="kosmos-2", prompt="<phrase>"), 422),
        (lambda s: s.generate(SMALL, model="t5-tags"), 422),
        (lambda s: s.generate(SMALL, model="rapidocr", tags="true", tagger="blip-base"), 422),
        (lambda s: s.generate(SMALL, model="rapidocr", tags="true", tagger="nonesuch"), 404),
        (lambda s: s.generate(SMALL, model="nonesuch"), 404),
        (lambda s: s.get("/generate-text"), 405),
        (lambda s: s.get("/nowhere"), 404),
        (lambda s: s.post("/generate-text", files={"image_file": SMALL}, headers={"Origin": "http://evil.test"}), 403),
        (lambda s: s.post("/generate-text", files={"image_file": SMALL}, headers={"Origin": "null"}), 403),
        (lambda s: s.post("/generate-tags", json={}), 422),
        (lambda s: s.post("/generate-tags", json={"text": ""}), 422),
        (lambda s: s.post("/generate-tags", json={"text": "a", "prompt": "b"}), 422),
        (lambda s: s.post("/generate-tags", json={"text": "a", "tagger": "rapidocr"}), 422),
        (lambda s: s.post("/generate-tags", json={"text": "a", "tagger": "nonesuch"}), 404),
        (lambda s: s.post("/generate-tags", data={"text": "a"}), 415),
        (lambda s: s.post("/generate-tags", json={"text": "a" * 1_100_000}), 413),
        (lambda s: s.post("/generate-text", data=b'{"\\ud800": 1, "\\ud800": 2}', headers=JSON), 400),
        (lambda s: s.post("/generate-text", data=b"no picture, and no form"), 415),
        (lambda s: s.post("/generate-text", data=b"no picture, and no form", headers={"Content-Type": FORM}), 415),
        (lambda s: s.generate(SMALL, model="rapidocr", format="docx"), 422),
    ],
)
def test_bad_requests(server: Server, send: Callable[[Server], requests.Response], status: int) -> None:
    assert_problem(send(server), status)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("send", "detail"),
    [
        (
            lambda s: s.post("/generate-tags", json={"text": "a dog", "model": "t5-tags"}),
            "there is no option 'model'; there are text, tagger",
        ),
        (
            lambda s: s.post("/generate-text", data=b' {"image_url": "http://a/"}', headers={"Content-Type": FORM}),
            "the body is neither a form nor an image: send JSON with Content-Type: application/json",
        ),
        (
            lambda s: s.generate(SMALL, model="rapidocr", tags="true", format="pdf"),
            "an answer as pdf has no place for tags: leave tags out, or ask for JSON",
        ),
    ],
)
def test_a_mistake_says_what_to_do(server: Server, send: Callable[[Server], requests.Response], detail: str) -> None:
    assert send(server).json()["detail"] == detail


@pytest.mark.parametrize("name", ["image", "file", "image_base64", "url", "imageUrl", "image_file", "photo", "b64"])
def test_an_image_in_a_field_of_another_name_is_told_the_right_one(server: Server, name: str) -> None:
    fields = {name: data_url(SMALL), "model": "rapidocr"}
    for sent in ({"json": fields}, {"data": fields}, {"data": {name: "http://a.test/"}}):
        detail = assert_problem(server.post("/generate-text", **sent), 400)["detail"]
        assert name in detail
        assert "as image_url" in detail


def test_unknown_model_says_which_there_are(server: Server) -> None:
    detail = assert_problem(server.generate(SMALL, model="nonesuch"), 404, "unknown-model")["detail"]
    assert "blip-base" in detail
    assert "alt-text" in detail
    # It is no model that could be loaded.
    loaded = assert_problem(server.post("/models/nonesuch/load"), 404, "unknown-model")["detail"]
    assert "blip-base" in loaded
    assert "alt-text" not in loaded


def test_the_page_of_this_origin_may_post(server: Server) -> None:
    for origin in (server.url, server.url.upper().replace("HTTP", "http")):
        response = server.post("/generate-text", files={"image_file": SMALL}, data=READER, headers={"Origin": origin})
        assert response.status_code == 200


def test_a_path_cannot_write_a_line_of_the_log(server: Server) -> None:
    assert_problem(server.get("/models%0aforged%20line"), 404)
    server.wait_for_log("forged")
    assert "\nforged" not in server.log


def test_null_is_as_good_as_nothing_in_json(server: Server) -> None:
    fields = dict.fromkeys(("prompt", "tags", "detail", "tagger", "num_beams", "format", "segment"))
    response = server.post("/generate-text", json=fields | {"image_url": data_url(SMALL)} | READER)
    assert (response.status_code, response.json().get("warnings")) == (200, [])


def test_a_tagger_of_ones_own_is_found(make_server: Callable[..., Server], checkpoints: dict[str, Path]) -> None:
    server = make_server(model_paths=f"mine={checkpoints['t5-tags']}")
    assert server.post("/generate-tags", json={"text": "a dog"}).json()["tagger"] == "mine"


def test_a_request_id_comes_back_and_is_in_the_log(server: Server) -> None:
    response = server.post(
        "/generate-text", files={"image_file": SMALL}, data=READER, headers={"X-Request-ID": "my-request.7"}
    )
    assert response.json()["id"] == response.headers["X-Request-ID"] == "my-request.7"
    server.wait_for_log("my-request.7")
    response = server.post("/generate-text", headers={"X-Request-ID": "a b\u00e9" * 50})
    assert len(assert_problem(response, 400)["request_id"]) == 32


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a small upload cap."""
    running = Server(tmp_path_factory.mktemp("server"), max_upload_mb="0.05")
    yield running
    running.kill()


def test_an_image_that_is_too_large_is_told_alike_however_it_comes(limited: Server) -> None:
    noise = encoded(Image.effect_noise((300, 300), 100))
    kinds = (FORM, "image/png", "application/octet-stream")
    answers = [limited.post("/generate-text", data=noise, headers={"Content-Type": kind}) for kind in kinds]
    answers += [limited.generate(noise), requests.put(f"{limited.url}/process", data=noise, timeout=60)]
    details = {assert_problem(answer, 413, "too-large")["detail"] for answer in answers}
    assert details == {"the image is larger than 50000 bytes: make it smaller, or see MAX_UPLOAD_MB"}


# Options


def test_an_option_that_the_model_does_not_take_earns_a_warning(server: Server) -> None:
    answer = server.generate(SMALL, model="rapidocr", prompt="a photo of", num_beams=3, tagger="t5-tags").json()
    assert answer["warnings"] == [
        "rapidocr does not take prompt: ignored",
        "rapidocr does not take num_beams: ignored",
        "tagger has no effect without tags=true",
    ]


def test_detail_asks_kosmos2_for_the_detailed_prompt(server: Server) -> None:
    brief = server.generate(SMALL, model="kosmos-2", max_new_tokens=5).json()
    detailed = server.generate(SMALL, model="kosmos-2", max_new_tokens=5, detail="true").json()
    assert brief["text"].startswith("An image of")
    assert detailed["text"].startswith("Describe this image in detail:")
    assert brief["entities"] == []
    assert "after 5 tokens" in brief["warnings"][0]


def test_trocr_gives_its_line_over_the_whole_image(server: Server) -> None:
    answer = server.generate(SMALL, model="trocr-base-handwritten", segment="none").json()
    (line,) = answer["lines"]
    assert line["polygon"] == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert (line["text"], line["confidence"]) == (answer["text"], answer["confidence"])
    assert 0 < line["confidence"] < 1


def test_tags_come_from_the_text_and_not_from_the_prompt(server: Server, pictures: list[Image.Image]) -> None:
    options = {"model": "blip-base", "tags": "true"}
    answers = [server.generate(encoded(picture), **options).json() for picture in pictures[:4]]
    for answer in answers:
        tagged = server.post("/generate-tags", json={"text": answer["text"]}).json()
        assert answer["tags"] == tagged["tags"]
        assert answer["tagger"] == tagged["tagger"] == "t5-tags"
    assert len({tuple(answer["tags"]) for answer in answers}) > 1
    again = server.generate(encoded(pictures[0]), **options).json()
    assert again["tags"] == answers[0]["tags"]


def test_tags_of_an_empty_text_are_none(server: Server) -> None:
    answer = server.generate(SMALL, model="rapidocr", tags="true").json()
    assert (answer["text"], answer["tags"]) == ("", [])


def test_without_a_tagger_of_texts_the_captioner_in_the_box_tags_the_image(limited: Server) -> None:
    photo = encoded(Image.open(INPUT / "scene.jpg").resize((320, 240)), "JPEG")
    answers = [
        limited.generate(photo, tags="true", **options).json()
        for options in ({}, {"model": "rapidocr"}, {"model": "alt-text", "tagger": "flickr8k-gru"})
    ]
    for answer in answers:
        assert answer["tagger"] == "efficientnet-gru"
        assert len(answer["tags"]) == len(answer["tag_scores"]) > 0
        assert answer["tag_scores"] == sorted(answer["tag_scores"], reverse=True)
        assert (answer["tags"], answer["tag_scores"]) == (answers[0]["tags"], answers[0]["tag_scores"])
    problem = assert_problem(limited.post("/generate-tags", json={"text": "a dog", "tagger": "efficientnet-gru"}), 422)
    assert "tags images, not texts" in problem["detail"]


def test_generate_tags(server: Server) -> None:
    answer = server.post("/generate-tags", json={"text": "a dog on a hill", "tagger": "auto"}).json()
    assert set(answer) == {"id", "tags", "tagger", "timings_ms", "warnings"}
    assert answer["tagger"] == "t5-tags"


def test_without_a_tagger_the_text_is_answered_all_the_same(limited: Server) -> None:
    answer = limited.generate(TITLE, model="rapidocr", tags="true", tagger="t5-tags").json()
    assert "Larkfield" in answer["text"]
    assert "tags" not in answer
    assert answer["warnings"][0].startswith("no tags: ")
    assert_problem(limited.post("/generate-tags", json={"text": "a dog"}), 503)


def test_auto_says_which_model_spoke(server: Server, limited: Server) -> None:
    assert limited.generate(SMALL).json()["model"] == "efficientnet-gru"
    assert server.generate(SMALL, max_new_tokens=2).json()["model"] == "blip-large"
    assert json.loads(server.generate(SMALL, model="auto", max_new_tokens=2).text)["model"] == "blip-large"


def test_a_large_photograph_has_its_own_size_in_the_answer(server: Server) -> None:
    photograph = encoded(Image.linear_gradient("L").resize((2400, 2320)), "JPEG")
    answer = server.generate(photograph, model="blip-base", max_new_tokens=3).json()
    assert (answer["image"]["width"], answer["image"]["height"]) == (2400, 2320)
    tsv = server.generate(photograph, model="blip-base", max_new_tokens=3, format="tsv").text
    assert "2400\t2320" in tsv
