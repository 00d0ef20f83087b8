"""Keyboard alone, narrow screens, the sketchpad, the history, the API key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.decoding.pool import DecodingPool
from tests.browser.conftest import assert_accessible
from tests.browser.service import CAPTION, FakeService
from tests.browser.test_answers import ask, copied
from tests.browser.test_ways_in import SCENE, says


def stroke(page: Page, y: float) -> None:
    """Draw a line across the sheet, at a fraction of its height."""
    box = page.locator(".sheet").bounding_box()
    assert box
    at = box["y"] + y * box["height"]
    page.mouse.move(box["x"] + 0.2 * box["width"], at)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], at, steps=4)
    page.mouse.up()


def inked(page: Page, y: float) -> bool:
    """True where the sheet has ink in its middle, at a fraction of its height."""
    return bool(
        page.locator(".sheet").evaluate(
            """(sheet, y) => {
                 const one = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
                 one.drawImage(sheet, -sheet.width / 2, -sheet.height * y);
                 return one.getImageData(0, 0, 1, 1).data[3] > 0;
               }""",
            y,
        )
    )


def test_a_drawing_is_flattened_on_white_and_read_as_handwriting(page: Page, fakes: FakeService) -> None:
    page.get_by_role("button", name="Draw").click()
    read = page.get_by_role("button", name="Read it")
    expect(read).to_be_disabled()
    stroke(page, 0.2)
    page.get_by_label("Blue").check()
    page.get_by_label("Broad").check()
    stroke(page, 0.5)
    stroke(page, 0.8)
    assert [inked(page, y) for y in (0.2, 0.5, 0.8)] == [True, True, True]
    page.get_by_role("button", name="Undo").click()
    assert not inked(page, 0.8)
    page.get_by_role("button", name="Redo").click()
    assert inked(page, 0.8)
    page.keyboard.press("Control+z")
    assert not inked(page, 0.8)
    page.get_by_role("button", name="Eraser").click()
    stroke(page, 0.2)
    assert not inked(page, 0.2)
    assert_accessible(page)
    read.click()
    expect(page.locator(".line")).to_have_count(3)
    assert page.get_by_label("Read handwriting").is_checked()
    expect(page.locator(".caption")).to_contain_text("drawing.png")
    sent = fakes.jobs[-1].image
    assert sent is not None
    assert sent.size == (1200, 480)
    assert sent.getpixel((600, 240)) == (0x1D, 0x4E, 0xD8)
    assert sent.getpixel((600, 96)) == sent.getpixel((5, 5)) == (255, 255, 255)


def test_a_sheet_is_cleared(page: Page) -> None:
    page.get_by_role("button", name="Draw").click()
    stroke(page, 0.5)
    page.get_by_role("button", name="Clear").click()
    assert not inked(page, 0.5)
    expect(page.get_by_role("button", name="Read it")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_the_keyboard_is_enough(page: Page) -> None:
    def focused() -> str:
        return str(page.evaluate("document.activeElement.innerText || document.activeElement.value")).strip()

    def tab_to(name: str) -> None:
        for _ in range(40):
            if focused() == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{name} cannot be reached")

    tab_to("describe")
    page.keyboard.press("ArrowRight")
    assert focused() == "boxes"
    tab_to("A walk by the lake")
    page.keyboard.press("Enter")
    says(page, CAPTION)
    tab_to("Copy text")
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    page.locator("#open-history").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#open-history")).to_be_focused()


@pytest.mark.parametrize("width", [320, 390])
def test_narrow_screens_do_not_scroll_sideways(open_page: Callable[..., Page], fakes: FakeService, width: int) -> None:
    page = open_page(fakes.url, viewport={"width": width, "height": 640}, has_touch=True)

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, a, select, summary, .task')]
                 .filter((element) => element.checkVisibility())
                 .map((element) => [element.innerText, element.getBoundingClientRect()])
                 .filter(([, {width, height}]) => width < 24 || height < 24).map(([text]) => text)"""
        )
        assert small == []

    fits()
    for task in ("Describe with boxes", "Read print", "Tags"):
        ask(page, task)
        expect(page.locator(".answer")).to_have_count(1)
        fits()
        page.get_by_role("button", name="Another picture").click()
    ask(page, "Read print", SCENE, SCENE)
    expect(page.locator("#list h2")).to_have_text("2 pictures")
    fits()
    page.get_by_role("button", name="History").click()
    expect(page.locator(".past li")).to_have_count(5)
    fits()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Another picture").click()
    page.get_by_role("button", name="Draw").click()
    fits()


def test_the_history_is_searched_opened_and_deleted(page: Page, fakes: FakeService) -> None:
    ask(page, "Describe")
    says(page, CAPTION)
    ask(page, "Read print", SCENE.with_name("sign.jpg"))
    expect(page.locator(".line")).to_have_count(3)
    past = page.locator(".past li")

    def show(count: int) -> None:
        """Open the history, again if the last answer has not arrived there yet."""
        for _ in range(20):
            page.get_by_role("button", name="History").click()
            expect(page.locator(".past")).to_have_attribute("aria-busy", "false")
            if past.count() == count:
                return
            page.keyboard.press("Escape")
        raise AssertionError(past.all_inner_texts())

    show(2)
    page.reload()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    show(2)
    expect(past.first).to_contain_text("sign.jpg")
    expect(past.first.locator("img")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Search").fill("BEACH dog")
    expect(past).to_have_count(1)
    past.locator(".row").click()
    says(page, CAPTION)
    assert page.locator(".frame img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 960
    assert not [url for url in requests if "generate-text" in url or "/images/" in url]
    page.get_by_role("button", name="History").click()
    page.get_by_role("button", name="Delete sign.jpg").click()
    expect(past).to_have_count(1)
    page.once("dialog", lambda question: question.dismiss())
    page.get_by_role("button", name="Delete all").click()
    expect(past).to_have_count(1)
    page.once("dialog", lambda question: question.accept())
    page.get_by_role("button", name="Delete all").click()
    expect(page.locator("dialog")).to_contain_text("Nothing yet")
    page.keyboard.press("Escape")
    page.reload()
    page.get_by_role("button", name="History").click()
    expect(page.locator("dialog")).to_contain_text("Nothing yet")


def test_a_key_is_asked_for_once(open_page: Callable[..., Page], tmp_path: Path, pool: DecodingPool) -> None:
    service = FakeService(tmp_path, pool, api_keys=("correct-horse",))
    try:
        page = open_page(service.url, ready=False)
        field = page.get_by_role("textbox", name="API key")
        field.fill("wrong")
        assert_accessible(page)
        page.keyboard.press("Enter")
        expect(page.locator("dialog").get_by_role("alert")).to_have_text("That key was not accepted.")
        field.fill("correct-horse")
        page.get_by_role("button", name="Continue").click()
        ask(page, "Describe")
        says(page, CAPTION)
        assert "Bearer $API_KEY" in copied(page, "curl")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        expect(page.locator("dialog")).to_have_count(0)
        # Kept in this tab and nowhere else.
        assert page.evaluate("JSON.stringify({...localStorage})").count("horse") == 0
        assert page.context.cookies() == []
    finally:
        service.close()
