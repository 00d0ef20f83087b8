"""What is shown while a picture is on its way, and how it is stopped; models that have to come first."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from benchmarks.page import measure
from tests.browser.conftest import assert_accessible
from tests.browser.service import CAPTION, FakeService
from tests.browser.test_answers import ask
from tests.browser.test_ways_in import SCENE, says
from tests.fakes import wait_until
from tests.hub import Hub
from tests.server import Server

THREE = [SCENE, SCENE.with_name("sign.jpg"), SCENE.with_name("chart.png")]


def test_a_place_in_the_queue_and_a_real_cancel(page: Page, fakes: FakeService) -> None:
    fakes.go.clear()
    # One first: requests sent at once arrive in any order.
    ask(page, "Describe", THREE[0])
    wait_until(lambda: len(fakes.jobs) == 1)
    where = page.locator(".where")
    expect(where).to_have_text("Looking at the picture")
    page.set_input_files("#file", list(THREE[1:]))
    wait_until(lambda: fakes.waiting() == 2)
    page.locator("#list .row").nth(2).click()
    expect(where).to_have_text(re.compile("Next in the queue|Place 2 in the queue"))
    expect(page.locator(".clock")).to_have_text(re.compile(r"[1-9]\d* s"))
    assert_accessible(page)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#answers")).to_contain_text("Cancelled")
    # The job has left the queue of the service, not only the page.
    wait_until(lambda: fakes.waiting() == 1)
    page.get_by_role("button", name="Cancel all").click()
    wait_until(lambda: fakes.waiting() == 0)
    fakes.go.set()
    wait_until(lambda: fakes.operations.in_work == 0)
    assert len(fakes.jobs) == 1
    page.get_by_role("button", name="Describe all 3").click()
    expect(page.locator("#list h2")).to_have_text("3 pictures")


def test_leaving_a_picture_cancels_it(page: Page, fakes: FakeService) -> None:
    fakes.go.clear()
    ask(page, "Describe", *THREE[:2])
    wait_until(lambda: fakes.waiting() == 1)
    page.get_by_role("button", name="Another picture").click()
    wait_until(lambda: fakes.waiting() == 0)
    expect(page.locator("#sources")).to_be_visible()


def test_lines_are_counted(page: Page, fakes: FakeService) -> None:
    fakes.go.clear()
    ask(page, "Read handwriting")
    expect(page.locator(".where")).to_have_text("Line 1 of 3")
    bar = page.locator(".waiting progress")
    assert bar.get_attribute("value") == "0"
    fakes.go.set()
    expect(page.locator(".line")).to_have_count(3)


def choose(page: Page, model: str) -> None:
    """Choose the model that describes."""
    page.get_by_label("Describe", exact=True).check()
    page.get_by_text("Model and options").click()
    page.locator("[name=model]").select_option(model)


def test_an_upload_says_how_far_it_is(page: Page) -> None:
    network = page.context.new_cdp_session(page)
    network.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000},
    )
    ask(page, "Describe", SCENE.with_name("invoice.png"))
    expect(page.locator(".where")).to_have_text(re.compile(r"Uploading \d+ %"))
    says(page, CAPTION)


def test_a_service_that_is_gone_is_said_so(page: Page) -> None:
    page.route("**/generate-text", lambda route: route.abort())
    ask(page, "Describe")
    expect(page.locator(".failure")).to_contain_text("cannot be reached")
    page.unroute("**/generate-text")
    page.get_by_role("button", name="Try again").click()
    says(page, CAPTION)


def test_a_model_that_is_not_here_is_not_fetched_unasked(page: Page, fakes: FakeService) -> None:
    choose(page, "nowhere")
    page.set_input_files("#file", SCENE)
    expect(page.locator(".missing")).to_contain_text("nowhere 990 MB to download")
    expect(page.locator(".missing").get_by_role("button", name="Download 990 MB: nowhere")).to_be_visible()
    assert_accessible(page)
    assert fakes.jobs == []


def test_a_model_is_downloaded_loaded_and_then_asked(
    open_page: Callable[..., Page], make_server: Callable[..., Server], checkpoints: dict[str, Path]
) -> None:
    hub = Hub({"Salesforce/blip-image-captioning-base": checkpoints["blip-base"]})
    try:
        hub.release.clear()
        page = open_page(make_server(hf_endpoint=hub.url, hf_hub_offline="0").url)
        choose(page, "blip-base")
        ask(page, "Describe")
        page.locator(".missing").get_by_role("button", name="Download 990 MB: blip-base").click()
        need = page.locator("#needs .need")
        expect(need).to_contain_text(re.compile(r"downloading [1-9]\d? %"))
        share = float(need.locator("progress").get_attribute("value") or 0)
        assert 0 < share < 1
        assert_accessible(page)
        hub.release.set()
        expect(need).to_have_attribute("data-state", "ready", timeout=60_000)
        expect(page.locator(".answer h2")).to_have_text("blip-base", timeout=60_000)
    finally:
        hub.close()


def test_a_download_that_fails_says_why(open_page: Callable[..., Page], make_server: Callable[..., Server]) -> None:
    page = open_page(make_server(hf_endpoint="http://127.0.0.1:9", hf_hub_offline="0").url)
    choose(page, "blip-base")
    page.get_by_role("button", name=re.compile("Download")).click()
    expect(page.locator(".why")).to_contain_text("could not be reached")
    expect(page.get_by_role("button", name=re.compile("Try again"))).to_be_visible()
    page.set_input_files("#file", SCENE)
    expect(page.locator(".missing")).to_contain_text("A model is missing")
    expect(page.locator(".missing")).to_contain_text("could not be reached")


def test_it_is_usable_soon_and_small(browser: Browser, fakes: FakeService) -> None:
    _, usable, size = measure(browser, fakes.url)
    assert 50_000 < size < 150_000
    # Ten times what an idle machine takes, and more than any busy one did.
    assert usable < 5000
