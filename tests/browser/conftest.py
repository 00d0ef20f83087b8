"""One browser and one service for all tests of the page, and a page that must stay quiet."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, expect, sync_playwright

from app.decoding.pool import DecodingPool
from benchmarks.chromium import FLAGS, find
from tests.browser.service import FakeService

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
AXE = Path(__file__).parent / "axe" / "axe.min.js"
# Milliseconds: a machine that also runs other tests may take seconds for what takes a moment alone.
PATIENCE = 20_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = find()
    if path is None:
        message = "no Chromium here: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *CAMERA])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory, pool: DecodingPool) -> Iterator[FakeService]:
    service = FakeService(tmp_path_factory.mktemp("page"), pool)
    yield service
    service.close()


class Watched:
    """What a page did that nobody should have to see: messages on the console, requests to elsewhere."""

    def __init__(self, page: Page, origin: str) -> None:
        self.messages: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self._requested(request.url, origin))
        # Chromium writes a line of its own for each answer that is an error.
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)
        self.refused = 0

    def _requested(self, url: str, origin: str) -> None:
        if not url.startswith((origin + "/", "blob:", "data:")):
            self.elsewhere.append(url)

    def _answered(self, response: Response) -> None:
        self.refused += response.status >= 400

    def _failed(self, request: Request) -> None:
        self.refused += 1

    def check(self) -> None:
        assert self.elsewhere == []
        own = [text for text in self.messages if not text.startswith("Failed to load resource")]
        assert own == []
        assert len(self.messages) <= self.refused


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page of a service in a browser that remembers nothing."""
    opened: list[tuple[BrowserContext, Watched]] = []

    def make(url: str, ready: bool = True, **options: Any) -> Page:
        context = browser.new_context(
            accept_downloads=True, **{"viewport": {"width": 1200, "height": 800}, "reduced_motion": "reduce"} | options
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        opened.append((context, Watched(page, "/".join(url.split("/")[:3]))))
        page.goto(url)
        if ready:
            page.wait_for_selector("body[data-ready]")
        return page

    yield make
    for context, watched in opened:
        context.close()
        watched.check()


@pytest.fixture
def page(open_page: Callable[..., Page], fakes: FakeService) -> Iterator[Page]:
    """The page of the service with fakes."""
    fakes.jobs.clear()
    fakes.go.set()
    yield open_page(fakes.url)
    fakes.go.set()


def assert_accessible(page: Page) -> None:
    """Let axe-core look at the page as it is now: nothing serious or critical, in light and dark."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # Only colours differ in the dark.
        rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
        found = page.evaluate("rules => axe.run(document, {resultTypes: ['violations'], ...rules})", rules)
        bad = [
            (
                violation["id"],
                [node["html"][:200] + " " + node.get("failureSummary", "") for node in violation["nodes"]],
            )
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert bad == [], scheme
