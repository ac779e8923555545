"""The page in a browser: what it shows is what the server says, for everyone, and nothing goes elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from serving import serving

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

MINUS = "\N{MINUS SIGN}"
TEXT = "w1 w2, w3 \N{GRINNING FACE} w4"
# The contrast of each text that is seen, as WCAG 2.2 has it, and the text; `marks` lie behind another one.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!one.checkVisibility() || !walk.currentNode.data.trim() || one.closest("#marks, #status")) continue;
    const behind = [];
    for (let at = one; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [a, b] = [over(behind), over([...behind, getComputedStyle(one).color])].map(light);
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walk.currentNode.data.trim()]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    from benchmarks.page import BROWSERS, browser

    found = browser()
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, telling_server):
    """Opens the page as somebody has it; at the end nothing was asked of others, and no error was told."""
    contexts, asked, said = [], [], []

    def open_page(server=telling_server, **like):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **like})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(server.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}
    assert [line for line in said if not re.search("status of (401|422|503)", line)] == []


def typed(page, text=TEXT):
    """Once all models have answered; their articles."""
    page.get_by_label("Text", exact=True).fill(text)
    sync_api.expect(page.locator("#status")).not_to_be_empty(timeout=60_000)
    return page.get_by_role("article").all()


def open_label(page, button):
    button.click()
    page.locator(".why:not([hidden]):not([aria-busy]) h3").first.wait_for()
    return page.locator(".why:not([hidden])")


def test_labels_of_each_model_are_what_the_server_says(opened, telling_server):
    page = opened()
    articles = typed(page)
    assert [one.get_attribute("aria-label") for one in articles] == ["rich", "blend"]
    for article in articles:
        question = {"texts": TEXT, "model": article.get_attribute("aria-label")}
        expected = telling_server.post("/predict", json=question).json()["results"][0]["labels"]
        buttons = article.get_by_role("button").all()
        assert [one.locator(".name").text_content() for one in buttons] == [one["name"] for one in expected]
        shown = [float(one.locator(".score").text_content()) for one in buttons]
        assert shown == pytest.approx([one["score"] for one in expected], abs=0.006)
        for button, score in zip(buttons, shown, strict=True):
            share = "e => getComputedStyle(e, '::before').width.slice(0, -2) / e.offsetWidth"
            assert button.locator(".bar").evaluate(share) == pytest.approx(score, abs=0.02)
    page.get_by_label("Labels", exact=True).select_option("10")
    sync_api.expect(page.locator("article .label")).to_have_count(20, timeout=60_000)
    page.get_by_label("Text", exact=True).fill(" ")
    page.get_by_text("Labels appear here").wait_for()
    assert page.get_by_role("article").count() == 0


def test_a_label_shows_its_words_and_its_documents(opened, telling_server):
    page = opened()
    articles = typed(page)
    for article, name in zip(articles, ("rich", "blend"), strict=True):
        asked = {"text": TEXT, "model": name}
        expected = telling_server.post("/explain", json=asked).json()["labels"][1]
        why = expected["why"]
        panel = open_label(page, article.get_by_role("button").nth(1))
        falls = {fall["text"]: fall["fall"] for fall in why["falls"]}
        rows = panel.locator("section").first.locator(".rows li").all()
        shown = {
            row.locator(".word").text_content(): float(
                row.locator(".number").text_content().replace(MINUS, "-")
            )
            for row in rows
        }
        assert shown == {word: pytest.approx(fall, abs=6e-4) for word, fall in falls.items() if word in shown}
        assert all(abs(fall) < 6e-4 for word, fall in falls.items() if word not in shown)
        most = max(map(abs, falls.values()))
        marked = {one.text_content(): one.get_attribute("class") for one in page.locator("#marks mark").all()}
        assert marked and marked == {
            word: "for" if fall > 0 else "against"
            for word, fall in falls.items()
            if abs(fall) >= max(0.04 * most, 5e-4)
        }
        assert page.locator("#marks").text_content() == TEXT + "\n"
        votes = [vote for part in why["parts"] for vote in part["documents"]]
        panel.evaluate("e => e.querySelectorAll('details').forEach((one) => (one.open = true))")
        places = {f"document {vote['place']}," for vote in votes}
        assert votes and all(
            any(place in one.text_content() for place in places)
            for one in panel.locator(".documents li").all()
        )
        for part in why["parts"] if name == "blend" else []:
            row = panel.locator(".rows li").filter(has=page.locator(".member", has_text=part["member"])).first
            assert float(row.locator(".number").text_content().replace(MINUS, "-")) == pytest.approx(
                part["adds"], abs=6e-3
            )
        assert page.locator("[aria-expanded=true]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("[aria-expanded=true]").count() == 0 and page.locator("#marks mark").count() == 0


def test_of_many_labels_of_a_document_no_number_is_told(opened):
    """The server tells the first ones alone."""
    page = opened()

    def many(route):
        answer = route.fetch()
        told = answer.json()
        for one in told["labels"]:
            for part in one["why"]["parts"]:
                for vote in part["documents"]:
                    vote["labels"] = [f"label {number}" for number in range(32)]
        route.fulfill(response=answer, json=told)

    page.route("**/explain", many)
    [article, _] = typed(page)
    panel = open_label(page, article.get_by_role("button").nth(1))
    tags = panel.locator(".documents .tags").all_text_contents()
    assert tags and all(" label 6 and more" in one for one in tags)


@pytest.mark.parametrize("summed", [True, False])
def test_members_add_to_what_the_ensemble_is(opened, summed):
    """Where scores are summed there is no logit, and nothing beside the members."""
    page = opened()

    def as_a_sum(route):
        answer = route.fetch()
        told = answer.json()
        for one in told["labels"]:
            one["why"]["rest"] = None
        route.fulfill(response=answer, json=told)

    if summed:
        page.route("**/explain", as_a_sum)
    [_, article] = typed(page)
    panel = open_label(page, article.get_by_role("button").first)
    whole = "the mean of their scores" if summed else "its logit"
    shares = panel.locator("section").nth(1)
    assert shares.locator("h3").text_content() == f"What members of the ensemble add to {whole}"
    assert shares.locator("li").count() == (3 if summed else 4)
    assert ("its frequency" in shares.text_content()) == (not summed)


def test_with_the_keyboard_alone(opened):
    page = opened(reduced_motion="reduce")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("w1 w2 w3")
    sync_api.expect(page.locator("article[aria-busy=false]")).to_have_count(2, timeout=60_000)
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    first = page.get_by_role("article").first.get_by_role("button").first
    assert (
        focused.get_attribute("aria-expanded") == "false" and focused.text_content() == first.text_content()
    )
    assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator(".why:not([aria-busy]) .rows").first.wait_for()
    panel = page.locator(f"#{focused.get_attribute('aria-controls')}")
    assert focused.get_attribute("aria-expanded") == "true" and panel.is_visible()
    assert focused.locator(".name").text_content() in page.get_by_role("status").text_content()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.locator(":focus").get_attribute("aria-expanded") == "false" and panel.is_hidden()
    motion = "e => getComputedStyle(e.querySelector('.name'), '::before').transitionDuration"
    assert page.locator(":focus").evaluate(motion) == "0s"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
    page = opened(viewport={"width": width, "height": 844})
    typed(page, "w1 w2 w3 " + "w" * 400)
    for article in page.get_by_role("article").all():
        panel = open_label(page, article.get_by_role("button").first)
        panel.evaluate("e => e.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        words = panel.locator(".rows .word").all_text_contents()
        assert "w1" in words and max(map(len, words)) <= 61
        marks, text = (page.locator(one).bounding_box() for one in ("#marks", "#text"))
        assert (marks["x"], marks["width"], marks["y"]) == (text["x"], text["width"], text["y"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, scheme):
    page = opened(color_scheme=scheme)
    [rich, blend] = typed(page)
    for article in (blend, rich):
        panel = open_label(page, article.get_by_role("button").first)
        panel.evaluate("e => e.querySelectorAll('details').forEach((one) => (one.open = true))")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 30 and min(contrasts)[0] >= 4.5, min(contrasts)
    red, *_ = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert red < 40 if scheme == "dark" else red > 240


def test_what_is_typed_and_what_labels_are_called_stays_text(opened):
    page = opened()
    before = page.evaluate("document.querySelectorAll('script, i, img').length")
    evil = "<script>document.title = 'hacked'</script> <img src=x onerror=\"document.title='hacked'\"> w1"
    [article, _] = typed(page, evil)
    name = article.locator(".name").first.text_content()
    assert name.startswith("<i>w") and name.endswith("</i> & <script>")
    open_label(page, article.get_by_role("button").first)
    assert page.locator("#marks").text_content() == evil + "\n"
    assert page.evaluate("document.querySelectorAll('script, i, img').length") == before
    assert page.title() != "hacked"


def test_what_the_server_refuses_is_told(opened):
    page = opened()
    for article in typed(page, "w" * 2_001):
        assert "2,001 characters" in article.locator(".failed").text_content()
    said = page.get_by_role("status").text_content()
    assert said.count("2,001 characters") == 2 and "no labels" not in said


@pytest.mark.slow
def test_the_page_asks_for_the_token(run, opened, tmp_path):
    with serving(tmp_path / "log", run, XMLKIT_TOKEN="a secret") as server:
        for path in ("/", "/page.js", "/page.css", "/icon.svg"):
            answer = server.get(path)
            assert answer.status_code == 200 and "unsafe" not in answer.headers["content-security-policy"]
        page = opened(server)
        field = page.get_by_label("This server asks for its token")
        for given in ("a secret\N{ZERO WIDTH SPACE}", "another", "a secret"):
            field.fill(given)
            page.keyboard.press("Enter")
            if given != "a secret":
                page.get_by_role("alert").filter(has_text="another token").wait_for()
        field.wait_for(state="hidden")
        assert len(typed(page, "w1 w2")[0].get_by_role("button").all()) == 5
        assert page.evaluate("[sessionStorage.getItem('token'), localStorage.length]") == ["a secret", 0]
        page.reload()
        assert len(typed(page, "w1 w2")) == 1


def test_what_can_not_be_explained_now_can_be_asked_again(opened):
    """The first answer is one of a server that has as many explanations as it takes."""
    page = opened()
    refused = {
        "title": "Service Unavailable",
        "status": 503,
        "detail": "8 explanations are asked for already",
    }
    page.route("**/explain", lambda route: route.fulfill(status=503, json=refused), times=1)
    [article, _] = typed(page)
    article.get_by_role("button").first.click()
    panel = page.locator(".why:not([hidden])")
    assert panel.locator(".failed").text_content() == refused["detail"]
    assert page.get_by_role("status").text_content() == refused["detail"]
    panel.get_by_role("button", name="Ask again").click()
    panel.locator(".rows").first.wait_for()
