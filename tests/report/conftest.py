"""A run that was trained on a corpus that would like to be more than text, and the page of it."""

from __future__ import annotations

import json

import pages
import pytest
import tiny
from commands import xmlkit
from pages import HOSTILE, RUN, SETTINGS

import xmlkit as library
from xmlkit.data.corpus import load_corpus


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A folder with a corpus, a run on it and `page.html`."""
    folder = tmp_path_factory.mktemp("report")
    corpus = tiny.learnable_corpus()
    (folder / "corpus").mkdir()
    for name, split in corpus.splits.items():
        with (folder / "corpus" / f"{name}.jsonl").open("w") as file:
            for row, text in enumerate(split.texts):
                hostile = f" {HOSTILE}" if row % 10 == 3 else ""
                labels = [split.label_ids[label] for label in split.labels[row]]
                line = {"id": f"{name}<{row}>", "text": f"{text} document {row}{hostile}", "labels": labels}
                file.write(json.dumps(line) + "\n")
    names = {label: f"word {label}" for label in corpus.labels.ids} | {"w3": HOSTILE}
    lines = [f"{label}\t{name}\n" for label, name in names.items()]
    (folder / "corpus" / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    settings = {**SETTINGS, "encoder": tiny.save_encoder(folder / "encoder")}
    library.train(load_corpus(folder / "corpus"), settings, folder / RUN)
    xmlkit("report", folder / RUN, "-o", folder / "page.html")
    return folder


@pytest.fixture(scope="session")
def page(reported):
    return pages.Page(reported / "page.html")
