"""The page and the documentation where they are not at the root, and with a key; parts of pictures, pages, models."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from werkzeug.serving import make_server

from app.decoding.pool import DecodingPool
from tests.browser.conftest import assert_accessible
from tests.browser.service import CAPTION, FakeService
from tests.browser.test_answers import ask
from tests.browser.test_ways_in import says

PREFIX = "/tools/image-to-text"


def test_an_address_with_a_percent_sign(page: Page) -> None:
    page.get_by_label("Address of a picture").fill("http://127.0.0.1:9/100%.jpg")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator(".failure h2")).to_have_text("URL not allowed")
    expect(page.locator(".caption")).to_contain_text("100%.jpg")


@pytest.fixture
def locked(tmp_path: Path, pool: DecodingPool) -> Iterator[FakeService]:
    service = FakeService(tmp_path, pool, api_keys=("correct-horse",))
    yield service
    service.close()


def test_the_documentation_asks_for_the_key_and_uses_it(open_page: Callable[..., Page], locked: FakeService) -> None:
    page = open_page(f"{locked.url}/docs/", ready=False)
    page.get_by_role("textbox", name="API key").fill("correct-horse")
    assert_accessible(page)
    page.get_by_role("button", name="Continue").click()
    models = page.locator("#operations-models-get_models, .opblock-get:has([data-path='/models'])").first
    models.locator(".opblock-summary-control").click()
    with page.expect_response("**/models") as answer:
        models.get_by_role("button", name="Execute").click()
    assert answer.value.ok
    assert page.request.get(f"{locked.url}/openapi.json").status == 401


@pytest.fixture
def prefixed(fakes: FakeService) -> Iterator[str]:
    """The address of the same service behind a proxy that strips a prefix and answers nothing outside it."""
    plain = fakes._server.application

    def proxy(environ: dict[str, Any], start_response: Any) -> Any:
        if not environ["PATH_INFO"].startswith(PREFIX + "/"):
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        return plain(environ | {"PATH_INFO": environ["PATH_INFO"].removeprefix(PREFIX)}, start_response)

    server = make_server("127.0.0.1", 0, proxy, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
    server.shutdown()
    server.server_close()


def test_the_page_works_under_a_prefix(open_page: Callable[..., Page], prefixed: str) -> None:
    page = open_page(prefixed)
    refused: list[str] = []
    page.on("response", lambda response: response.status >= 400 and refused.append(response.url))
    page.get_by_role("button", name="A walk by the lake").click()
    says(page, CAPTION)
    page.get_by_role("link", name="API").click()
    expect(page.locator(".opblock").first).to_be_visible()
    assert page.url.startswith(f"{prefixed}docs/")
    assert refused == []


RECORD = """() => {
  const {append} = FormData.prototype;
  window.sent = {};
  FormData.prototype.append = function (name, value, ...rest) {
    window.sent[name] = String(value);
    return append.call(this, name, value, ...rest);
  };
}"""


def asks(page: Page, button: str) -> dict[str, str]:
    """Press a button and return the fields of the request to /generate-text that follows."""
    page.evaluate(RECORD)
    with page.expect_request("**/generate-text"):
        page.get_by_role("button", name=re.compile(button)).click()
    return dict(page.evaluate("window.sent"))


def test_only_a_part_with_the_mouse_and_the_keyboard(page: Page) -> None:
    ask(page, "Describe")
    says(page, CAPTION)
    page.get_by_role("button", name="Only this part").click()
    box = page.locator(".marking").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.6, steps=3)
    page.mouse.up()
    assert_accessible(page)
    body = asks(page, "Describe this part")
    expect(page.locator(".waiting")).to_have_count(0)
    region = [float(value) for value in body["region"].split(",")]
    assert region == pytest.approx([0.1, 0.2, 0.5, 0.6], abs=0.01)
    page.get_by_role("button", name="Whole picture").click()
    expect(page.get_by_role("button", name="Only this part")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert_accessible(page)
    page.keyboard.press("Enter")
    body = asks(page, "Try again|Describe this part")
    assert body["region"] == "0.27,0.25,0.77,0.73"


def test_pages_are_offered_for_a_document_and_nothing_is_kept(page: Page) -> None:
    page.get_by_text("Model and options").click()
    page.get_by_label("Do not keep this picture").check()
    expect(page.get_by_label("Pages")).to_be_hidden()
    page.get_by_label("Read print").check()
    page.set_input_files("#file", {"name": "two.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4"})
    expect(page.get_by_label("Pages")).to_be_visible()
    page.get_by_label("Pages").fill("1-3,7")
    assert_accessible(page)
    body = asks(page, "Try again")
    assert body["pages"] == "1-3,7"
    assert body["store"] == "false"


def test_a_model_is_unloaded_and_a_download_stopped(page: Page) -> None:
    state = {"name": "blip-base", "state": "ready", "task": "caption", "accepts": ["image"], "options": []}
    state |= {"tasks": ["caption"], "only_for": {}, "languages": []}
    asked: list[str] = []

    def models(route: Route) -> None:
        if route.request.method == "POST":
            asked.append(route.request.url.split("/models/")[1])
            state["state"] = "downloading" if asked[-1].split("/")[1] == "load" else "not_downloaded"
        body = state if route.request.method == "POST" else {"models": [state], "default": "blip-base"}
        route.fulfill(body=json.dumps(body), content_type="application/json")

    page.route(re.compile(r"/models(/[^/]+/\w+)?$"), models)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.get_by_role("button", name="Unload: blip-base").click()
    page.get_by_role("button", name="Download: blip-base").click()
    assert_accessible(page)
    page.get_by_role("button", name="Stop: blip-base").click()
    expect(page.get_by_role("button", name="Download: blip-base")).to_be_visible()
    assert asked == ["blip-base/unload", "blip-base/load", "blip-base/unload"]
