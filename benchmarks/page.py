"""Measure how soon the page can be used: `python -m benchmarks.page http://localhost:5000`.

Each time in a browser that has never seen it. `usable` is when models and their states are shown and pictures are
taken; the bytes are those of the document, its styles and all scripts, of which the first paint needs only some.
"""

import argparse
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from benchmarks.chromium import FLAGS, find

_TIMES = """() => [
  performance.getEntriesByName('first-contentful-paint')[0].startTime,
  performance.getEntriesByName('usable')[0].startTime,
  performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter((entry) => entry.initiatorType !== 'img' && !entry.name.endsWith('/models'))
    .reduce((sum, entry) => sum + entry.transferSize, 0),
]"""


def measure(browser: Browser, address: str) -> tuple[float, float, float]:
    """Return milliseconds until the first paint and until the page is usable, and bytes that it takes."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        # What comes later is counted as well.
        page.wait_for_load_state("networkidle")
        painted, usable, size = page.evaluate(_TIMES)
        return painted, usable, size


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://localhost:5000")
    parser.add_argument("--times", type=int, default=15)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        painted, usable, size = zip(*(measure(browser, options.address) for _ in range(options.times)), strict=True)
        browser.close()
    print("| first paint | usable | slowest | bytes |\n|---|---|---|---|")
    print(
        f"| {median(painted):.0f} ms | {median(usable):.0f} ms | {max(usable):.0f} ms | {median(size) / 1000:.0f} kB |"
    )


if __name__ == "__main__":
    main()
