"""The top of a page that `xmlkit report` has written, as a picture.

python -m benchmarks.report_picture PAGE.html OUT.png HEIGHT

It needs playwright and a Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from benchmarks.page import browser

WIDTH = 1280


def picture(page_file: Path, out: Path, height: int) -> None:
    """1,280 pixels wide, its drawings done."""
    with sync_playwright() as playwright:
        size = ViewportSize(width=WIDTH, height=height)
        page = playwright.chromium.launch(executable_path=browser()).new_page(viewport=size)
        page.goto(page_file.resolve().as_uri())
        page.locator("figure.chart svg, figure.chart canvas").first.wait_for()
        page.screenshot(path=out)


if __name__ == "__main__":
    file, out, height = sys.argv[1:]
    picture(Path(file), Path(out), int(height))
