"""The page in a browser: from the disk, offline, by keyboard, on a phone and in the dark."""

from __future__ import annotations

import json
import shutil

import pytest
from commands import xmlkit
from pages import HOSTILE, RUN, points, write_comparison
from playwright.sync_api import expect as awaited
from playwright.sync_api import sync_playwright

from xmlkit.report.tested import MOST

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
ROWS = ".documents tbody tr"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER)
        yield found
        found.close()


@pytest.fixture
def opened(browser, reported):
    """Opens the page, or another; whatever it complains of or asks the network for fails the test."""
    complaints, contexts = [], []

    def open_(width=1280, scheme="light", file=reported / "page.html"):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: asked(request.url))
        shown.goto(file.as_uri())
        awaited(shown.locator(".drawing:not([data-drawn])")).to_have_count(0, timeout=60_000)
        return shown

    def asked(url):
        if not url.startswith(("file:", "data:")):
            complaints.append(url)

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def test_all_pictures_are_drawn_and_nothing_is_run(opened, page):
    shown = opened()
    assert shown.locator(".drawing svg").count() == len(page.pictures) > 8
    assert shown.evaluate("window.taken") is None and shown.locator("img, iframe").count() == 0
    drawn = shown.locator("figure", has_text="Calibration").locator("path[aria-roledescription=point]")
    assert drawn.count() == len(points(page.pictures["Calibration"]))


def test_searching_sorting_and_turning_pages(opened, page):
    listed, labels = page.listed[0]["documents"], page.listed[0]["labels"]
    count = len(listed["texts"])
    shown = opened()
    status = shown.locator(".documents [role=status]")
    assert status.inner_text() == f"1 to 10 of {count} documents" and shown.locator(ROWS).count() == 10
    shown.get_by_role("button", name="Next page of documents").click()
    texts = shown.locator(f"{ROWS} .text")
    assert [" ".join(text.split()) for text in texts.all_inner_texts()] == [
        " ".join(text.split()) for text in listed["texts"][10:20]
    ]
    shown.get_by_role("spinbutton", name="Page of documents").fill("999")
    shown.get_by_role("spinbutton", name="Page of documents").press("Enter")
    assert status.inner_text().endswith(f"to {count} of {count} documents")
    assert shown.get_by_role("button", name="Next page of documents").is_disabled()

    shown.get_by_label("Search documents").fill("Document 7")
    awaited(shown.locator(".documents .text mark")).to_have_count(1)
    row = listed["texts"].index(next(text for text in listed["texts"] if text.endswith("document 7")))
    assert texts.all_inner_texts() == [listed["texts"][row].strip()]
    scores = shown.locator(f"{ROWS} .score").all_text_contents()
    assert scores == [f"{score:.3f}" for score in listed["scores"][row]]
    names = [labels["names"][label] for label in listed["predicted"][row]]
    assert [
        name.removesuffix(" (true)") for name in shown.locator(f"{ROWS} .name").all_text_contents()
    ] == names
    right = [label in listed["truth"][row] for label in listed["predicted"][row]]
    marks = shown.locator(f"{ROWS} .mark").all_text_contents()
    assert marks == ["✓" if hit else "" for hit in right] and any(right)

    shown.get_by_label("Search documents").fill("window.taken=2")  # a label's name, and in texts
    awaited(shown.locator(ROWS)).to_have_count(10)
    assert 10 < int(status.inner_text().split(" of ")[1].split()[0]) < count
    assert HOSTILE.split("\u2028")[0] in shown.locator(ROWS).first.inner_text()
    shown.get_by_label("Search documents").fill("no such words")
    awaited(shown.locator(ROWS)).to_have_count(0)
    assert status.inner_text() == "no documents" and shown.evaluate("window.taken") is None

    shown.get_by_label("Search documents").fill("")
    awaited(shown.locator(ROWS)).to_have_count(10)
    head = shown.locator(".documents thead th", has_text="right of 5")
    hits = [len(set(found[:5]) & set(true)) for found, true in zip(listed["predicted"], listed["truth"])]
    for order in ("descending", "ascending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        cells = list(map(int, shown.locator(f"{ROWS} td.number").all_inner_texts()))
        assert cells == sorted(hits, reverse=order == "descending")[:10]
    shown.get_by_label("Show").select_option("the first is wrong")
    wrong = sum(found[0] not in true for found, true in zip(listed["predicted"], listed["truth"]))
    assert status.inner_text().endswith(f"of {wrong} documents" if wrong else "no documents")


def test_from_a_label_to_its_documents_by_keyboard(opened, page):
    listed, labels = page.listed[0]["documents"], page.listed[0]["labels"]
    shown = opened()
    cells = shown.locator(".labels tbody td:nth-child(3)").all_inner_texts()
    assert list(map(int, cells)) == sorted(labels["support"], reverse=True)[: len(cells)]
    shown.get_by_label("Search labels").focus()
    shown.keyboard.type("w3")
    awaited(shown.locator(".labels tbody tr")).to_have_count(1)
    assert HOSTILE.split("\u2028")[0] in shown.locator(".labels tbody th").inner_text()
    for _ in range(30):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.className") == "link":
            break
    shown.keyboard.press("Enter")
    one = labels["ids"].index("w3")
    expected = [one in {*found, *true} for found, true in zip(listed["predicted"], listed["truth"])]
    assert f" of {sum(expected)} documents" in shown.locator(".documents [role=status]").inner_text()
    assert shown.evaluate("document.activeElement.textContent") == "show all"
    shown.keyboard.press("Enter")
    assert f" of {len(expected)} documents" in shown.locator(".documents [role=status]").inner_text()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_follows_the_dark(opened, width, scheme):
    shown = opened(width, scheme)
    for details in shown.locator("details").all():
        details.evaluate("one => { one.open = true }")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    widths = shown.locator(".drawing svg").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(widths) <= width
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    back, text = (sum(map(int, colour[4:-1].split(","))) for colour in shown.evaluate(colours))
    assert (back < 200 and text > 600) if scheme == "dark" else (back > 600 and text < 200)
    of_axis = shown.locator(".drawing svg .role-axis-label text").first
    colour = of_axis.evaluate("one => getComputedStyle(one).fill")
    assert colour == shown.locator("figcaption span").first.evaluate("one => getComputedStyle(one).color")


def test_what_a_screen_reader_is_told(opened):
    """Every control and picture has a name, every table a caption."""
    shown = opened()
    nameless = """[...document.querySelectorAll('input, select, button, [role=img], [role=region], nav')]
        .filter(one => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))"""
    assert shown.evaluate(f"{nameless}.length") == 0
    assert shown.evaluate("[...document.querySelectorAll('table')].filter(one => !one.caption).length") == 0
    assert shown.locator("h1").count() == 1 and shown.locator("html").get_attribute("lang") == "en"


@pytest.mark.slow
def test_of_many_documents_one_page_is_in_the_table(opened, reported, tmp_path):
    texts = [f"w{row % 10} w{row // 7 % 10} document {row}" for row in range(MOST)]
    texts[12_345] += " zyzzyva"
    lines = [json.dumps({"text": text, "labels": [f"w{row % 10}"]}) for row, text in enumerate(texts)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    xmlkit("report", reported / RUN, "--data", tmp_path / "test.jsonl", "-o", tmp_path / "page.html")
    shown = opened(file=tmp_path / "page.html")
    status, found = shown.locator(".documents [role=status]"), shown.locator(f"{ROWS} .text")
    assert MOST == 20_000 and status.inner_text() == "1 to 10 of 20,000 documents"
    assert found.all_inner_texts() == texts[:10] and shown.locator(ROWS).count() == 10
    shown.get_by_role("button", name="Next page of documents").click()
    assert found.all_inner_texts() == texts[10:20] and shown.locator(ROWS).count() == 10
    assert status.inner_text() == "11 to 20 of 20,000 documents"
    shown.get_by_label("Search documents").fill("Zyzzyva")
    awaited(shown.locator(ROWS)).to_have_count(1)
    assert found.all_inner_texts() == [texts[12_345]] and status.inner_text() == "1 to 1 of 1 documents"


def test_a_comparison(opened, tmp_path):
    write_comparison(tmp_path)
    told = json.loads((tmp_path / "validation.json").read_text())
    xmlkit("report", tmp_path, "-o", tmp_path / "page.html")
    shown = opened(file=tmp_path / "page.html")
    heads = shown.locator("table.figures thead th").all_inner_texts()
    base, other = shown.locator("table.figures tbody tr").all()
    for name, figure in told["rows"][1]["metrics"].items():
        at = heads.index(name) - 1
        assert base.locator("td").nth(at).inner_text() == f"{told['rows'][0]['metrics'][name]['value']:.2f}"
        assert other.locator("td").nth(at).inner_text().split() == [
            *(f"{figure[key]:+.2f}" for key in ("difference", "low")),
            *("to", f"{figure['high']:+.2f}"),
        ]
    assert shown.locator("pre").inner_text() == told["command"]
    assert shown.locator(".drawing svg").count() == len(told["rows"][1]["metrics"])


def test_a_long_name_leaves_a_picture_its_room(opened, tmp_path):
    write_comparison(tmp_path)
    told = json.loads((tmp_path / "validation.json").read_text())
    told["rows"][1]["name"] = "combination[where=classifier],loss-fix[mode=gradnorm],lexical,neighbours"
    (tmp_path / "validation.json").write_text(json.dumps(told))
    xmlkit("report", tmp_path, "-o", tmp_path / "page.html")
    drawing = opened(file=tmp_path / "page.html").locator(".drawing svg").first
    axis = drawing.locator(".role-axis-domain").first.bounding_box()
    assert axis["width"] > 0.7 * drawing.bounding_box()["width"]


def test_a_suite(opened, tmp_path):
    results = {
        "bag-one-1": {"seconds": 40, "P@1": 60.25, "P@5": 20.5, "PSP@5": 33.75},
        "plt-one-1": {"seconds": 42, "P@1": 60.5, "P@5": 20.75, "PSP@5": 33.5, "peer": "plt"},  # close by
        "tree-one-1": {"seconds": 1020.4, "P@1": 54.5, "P@5": 18.25, "PSP@5": 31.5, "peer": "tree"},
    }
    for name, result in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"corpus": "one", **result}))
    parts = {name: {"part": name.split("-")[0], "status": 0} for name in results}
    (tmp_path / "suite.json").write_text(json.dumps({"machine": {}, "parts": parts}))
    xmlkit("report", tmp_path, "-o", tmp_path / "page.html")
    shown = opened(file=tmp_path / "page.html")
    heads = shown.locator("table.figures thead th").all_inner_texts()
    for row, (name, told) in zip(shown.locator("table.figures tbody tr").all(), results.items(), strict=True):
        cells = dict(zip(heads, row.locator("th, td").all_inner_texts(), strict=True))
        assert cells["model"].startswith(name.split("-")[0])
        assert cells["seconds"] == f"{told['seconds']:,.0f}"
        assert all(cells[key] == f"{value:.2f}" for key, value in told.items() if "@" in key)
    assert shown.locator(".drawing svg").count() == 1
