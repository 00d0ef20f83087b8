"""Take the pictures of the page that the README shows, of the samples in Input: from the project's root, with the
service running, `python -m docs.screenshots.make_screenshots [http://localhost:5000]`.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.chromium import FLAGS, find

HERE = Path(__file__).parent
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 800}


def reading(page: Page) -> None:
    """A page of print, with one of its lines lit."""
    page.get_by_role("button", name="An invoice").click()
    page.locator(".line").get_by_text("Juniper Street Gallery").hover(timeout=60_000)


def handwriting(page: Page) -> None:
    """A handwritten note, by the model that needs no download."""
    page.get_by_label("Read handwriting").check()
    page.get_by_text("Model and options").click()
    page.locator("[name=model]").select_option("rapidocr")
    page.get_by_text("Model and options").click()
    page.set_input_files("#file", HERE.parents[1] / "Input" / "note.png")
    page.locator(".line").get_by_text("blue pot").hover(timeout=60_000)


def start(page: Page) -> None:
    """What everybody sees first."""
    page.get_by_label("Read print").check()


def take(browser: Browser, address: str, name: str) -> None:
    """Take the picture of that name."""
    prepare, size, scheme = SHOTS[name]
    with browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        prepare(page)
        page.wait_for_load_state("networkidle")
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.convert("RGB").save(HERE / f"{name}.webp", quality=82, method=6)


SHOTS = {
    "reading": (reading, WIDE, "light"),
    "handwriting": (handwriting, WIDE, "dark"),
    "phone": (start, PHONE, "light"),
}


def main() -> None:
    """Take all of them."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:5000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        for name in SHOTS:
            take(browser, address, name)
        browser.close()


if __name__ == "__main__":
    main()
