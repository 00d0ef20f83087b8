"""Each way in for a picture, and what is refused before it is sent."""

import base64

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import assert_accessible
from tests.browser.service import CAPTION, FakeService
from tests.conftest import INPUT

SCENE = INPUT / "scene.jpg"
DROP = """([kind, name, type, encoded]) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))], name, {type}));
  else data.setData(type, encoded);
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
  document.querySelector('.top').dispatchEvent(event);
}"""


def says(page: Page, text: str) -> None:
    expect(page.locator(".answer .said")).to_have_text(text)


def describe(page: Page) -> None:
    page.get_by_label("Describe", exact=True).check()


def test_the_start_is_accessible_and_says_its_limits(page: Page) -> None:
    expect(page.locator("#limits")).to_contain_text("up to 3 MB")
    expect(page.locator("#limits")).to_contain_text("50 pages")
    assert_accessible(page)


def test_chosen(page: Page) -> None:
    page.set_input_files("#file", SCENE)
    says(page, CAPTION)
    image = page.locator(".frame img")
    assert image.get_attribute("alt") == CAPTION
    assert image.evaluate("image => image.naturalWidth") == 960
    assert_accessible(page)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_file_dropped_or_pasted_anywhere(page: Page, kind: str) -> None:
    page.evaluate(DROP, [kind, "scene.jpg", "image/jpeg", base64.b64encode(SCENE.read_bytes()).decode()])
    says(page, CAPTION)


def test_an_address_in_the_field_or_pasted(page: Page, fakes: FakeService) -> None:
    address = f"{fakes.url}/static/samples/scene.jpg"
    page.get_by_label("Address of a picture").fill(address)
    page.get_by_role("button", name="Fetch").click()
    says(page, CAPTION)
    assert page.locator(".frame img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 960
    page.get_by_role("button", name="Another picture").click()
    page.evaluate(DROP, ["paste", "", "text/plain", "http://127.0.0.1:9/photo.jpg"])
    expect(page.locator(".failure h2")).to_have_text("URL not allowed")
    assert_accessible(page)
    page.evaluate(DROP, ["paste", "", "text/plain", "no address"])
    expect(page.get_by_role("alert").first).to_contain_text("should begin with https://")


def test_a_data_url_is_shown_from_where_it_was_kept(page: Page) -> None:
    page.evaluate(
        DROP, ["paste", "", "text/plain", f"data:image/jpeg;base64,{base64.b64encode(SCENE.read_bytes()).decode()}"]
    )
    says(page, CAPTION)
    assert page.locator(".frame img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 960


def test_the_camera(page: Page, fakes: FakeService) -> None:
    page.get_by_role("button", name="Camera").click()
    shoot = page.get_by_role("button", name="Take the picture")
    expect(shoot).to_be_enabled()
    assert_accessible(page)
    shoot.click()
    says(page, CAPTION)
    assert fakes.jobs[-1].image is not None
    assert page.evaluate("document.querySelector('dialog')") is None


def test_samples_choose_their_task(page: Page) -> None:
    page.get_by_role("button", name="An invoice").click()
    expect(page.locator(".answer h2")).to_have_text("rapidocr")
    assert page.get_by_label("Read print").is_checked()


@pytest.mark.parametrize(
    ("name", "type", "size", "words"),
    [
        ("big.png", "image/png", 3_000_001, "too large: 3 MB, and the limit here is 3 MB"),
        ("table.xlsx", "application/vnd.ms-excel", 10, "not a picture that can be read here"),
        ("nothing.png", "image/png", 0, "is empty"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_sent(
    page: Page, fakes: FakeService, name: str, type: str, size: int, words: str
) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": type, "buffer": b"x" * size})
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert_accessible(page)
    assert fakes.jobs == []
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert")).to_be_empty()


def test_what_the_service_refuses_is_said_in_its_words(page: Page) -> None:
    page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator(".failure h2")).to_have_text("Unsupported media type")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
