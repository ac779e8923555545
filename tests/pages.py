"""A page of `xmlkit report` as tests read it: what its tags say, without a browser."""

from __future__ import annotations

import json
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

from xmlkit.comparison.compare import SHOWN, Comparison, Figure, Row
from xmlkit.model.folder import write_json

HOSTILE = (
    "</script><script>window.taken=1</script><img src=x onerror=window.taken=2>{{7*7}}\u2028'\"&amp;<!--"
)
RUN = "run <b>&\"'"
SETTINGS = {
    **{"max_len": 16, "batch_size": 16, "validation": 0.2, "epochs": 3, "device": "cpu", "pooling": "first"},
    **{"clustered": True, "cluster_size": 3, "shortlist": 3, "lr": 3e-3, "head_lr": 2e-2, "log_every": 1},
    **{"plugins": ["se", "loss-fix"], "eval_every": 10},
}

KEPT = ("caption", "th", "td", "dd", "dt", "h1", "b", "p", "pre", "li")


class Page(HTMLParser):
    """Its tables by caption, its pictures' specifications by title, what the tables of the scripts hold."""

    def __init__(self, file: Path):
        super().__init__()
        self.tags: set[str] = set()
        self.tables: dict[str, list[list[str]]] = {}
        self.pictures: dict[str, dict] = {}
        self.facts: dict[str, str] = {}
        self.titles: list[str] = []
        self.says: list[str] = []
        self.listed: list[dict] = []
        self.links: list[str] = []
        self.policy = ""
        self._rows: list[list[str]] = []
        self._title = self._text = self._fact = ""
        self._script: dict[str, str | None] | None = None
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        given = dict(attributes)
        self.links += [value for name, value in attributes if name in ("src", "href") and value]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "script":
            self._script = given
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])
        if tag in KEPT or tag == "script":
            self._text = ""

    def handle_data(self, data):
        self._text += data

    def handle_endtag(self, tag):
        text = " ".join(self._text.split())
        if tag == "caption":
            self.tables[text] = self._rows
        elif tag in ("th", "td"):
            self._rows[-1].append(text)
        elif tag == "dt":
            self._fact = text
        elif tag == "dd":
            self.facts[self._fact] = text
        elif tag == "h1":
            self.titles.append(text)
        elif tag in ("p", "pre"):
            self.says.append(text)
        elif tag == "b":
            self._title = text
        elif tag == "script" and self._script and self._script.get("type") == "application/json":
            found = json.loads(self._text)
            if self._script.get("class") == "data":
                self.listed.append(found)
            else:
                self.pictures[self._title] = found


def write_comparison(
    folder: Path, command: str | None = f"xmlkit compare {HOSTILE.split()[0]}"
) -> Comparison:
    """A comparison's folder as it is where the runs are gone."""
    base = Row("base", {name: Figure(40.25) for name in SHOWN}, 10.0, 0.0, 0, None, "")
    figures = {name: Figure(42.0, 1.75, 0.5, 3.0) for name in SHOWN}
    rows = [base, Row("se,loss-fix[mode=split]", figures, 12.0, 2.0, 1000, 1.25, "better")]
    versions = {"lightxml": "1.0", "se": "1.0"}
    found = Comparison("validation", "2026-01-31", 400, 3, rows, SETTINGS, versions, command=command)
    write_json(folder / "validation.json", asdict(found))
    return found


def points(picture: dict) -> list[dict]:
    """What a picture draws: the values in it, or in that of its layers which has the most to say."""
    if "values" in picture.get("data", {}):
        return picture["data"]["values"]
    found = map(points, picture.get("layer", ()))
    return max(found, key=lambda values: sum(map(len, values)), default=[])
