"""The server's page as a picture: a text, and why it gets one of its labels.

xmlkit serve RUN, and beside it python -m benchmarks.page http://127.0.0.1:8000 TEXT PLACE OUT.png

PLACE is the label's, from 0. It needs playwright and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = ViewportSize(width=1280, height=800)


def browser() -> str | None:
    """The one that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def picture(url: str, text: str, place: int, out: Path) -> None:
    """The whole page, 1,280 pixels wide, once the label is explained."""
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser()).new_page(viewport=SIZE)
        page.goto(url)
        page.get_by_label("Text", exact=True).fill(text)
        page.locator("article[aria-busy=false] .label").nth(place).click()
        page.locator(".why .rows").first.wait_for()
        page.screenshot(path=out, full_page=True)


if __name__ == "__main__":
    url, text, place, file = sys.argv[1:]
    picture(url, text, int(place), Path(file))
