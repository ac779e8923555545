"""Links of the project's pages lead somewhere, and every result is spoken of on one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = "benchmarks/results/README.md"  # names every file, so that it speaks of none
PAGES = (
    "README.md",
    "xmlkit/README.md",
    "plugins/README.md",
    "benchmarks/README.md",
    "benchmarks/NOTES.md",
    INDEX,
)


def words(page: str | Path) -> str:
    """Without its blocks of commands."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", words(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """As GitHub names headings."""
    heads = re.findall(r"^#+ (.*)$", words(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert links(page)
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"


def test_every_result_is_spoken_of():
    """But for folders, which the suite writes and compares."""
    spoken = {
        ((ROOT / page).parent / link).resolve() for page in PAGES if page != INDEX for link in links(page)
    }
    results = {file.resolve() for file in (ROOT / "benchmarks/results").glob("*.json")}
    assert len(results) > 60
    assert sorted(file.name for file in results - spoken) == []
