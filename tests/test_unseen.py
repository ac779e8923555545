"""Labels that no training document has: how well they are found among themselves."""

from __future__ import annotations

import json
import re
from functools import partial

import commands
import numpy as np
import pytest
import tiny

import xmlkit
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.inference.unseen import evaluate_unseen, unseen_documents
from xmlkit.testing.tiny import SETTINGS, named_corpus

UNSEEN = {f"new{row}": f"w{20 + row} w41" for row in range(7)}
WARM = {
    "start": "warm",
    "pooling": "mean",
    "label_width": 32,
}  # clusters by names, where there is no document
MODELS = {
    "flat": {"plugins": ["label-text"], "clustered": False},
    "clustered": {"plugins": ["label-text"], "clustered": True, **WARM},
    "votes": {"plugins": ["label-text", "neighbours"], "clustered": False, "validation": 0.2},
    "votes in clusters": {
        "plugins": ["label-text", "neighbours"],
        "clustered": True,
        "validation": 0.2,
        **WARM,
    },
    "without names": {"plugins": [], "clustered": False, **WARM},
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The tiny one, with labels that test documents alone have, and some that nobody knows."""
    known = named_corpus()
    labels = Labels([*known.labels.ids, *UNSEEN], [*(known.labels.names or []), *UNSEEN.values()])
    texts = tiny.texts(90, seed=11)
    true = [
        [word for word in dict.fromkeys(text.split()) if word in known.labels.rows]
        + [label for label, name in UNSEEN.items() if name.split()[0] in text.split() and label != "new6"]
        + ["nobody's"] * (row % 5 == 0)
        for row, text in enumerate(texts)
    ]
    test = Corpus.of(texts, true).train.numbered_as(labels)
    return Corpus("unseen", labels, known.train.numbered_as(labels), test)


@pytest.fixture(scope="module")
def trained_of(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    encoder = tiny.save_encoder(folder / "encoder")
    found: dict[str, xmlkit.training.train.Trained] = {}

    def trained(name: str):
        if name not in found:
            found[name] = xmlkit.train(
                corpus, {**SETTINGS, "encoder": encoder, **MODELS[name]}, folder / name
            )
        return found[name]

    return trained


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_a_loop_over_whole_rankings_has(trained_of, corpus, name):
    """Whatever is predicted at all, without the labels that are not asked about."""
    model = trained_of(name).model
    asked, ranked, occurring, hit = 0, [], set(), {1: set(), 3: set(), 5: set()}
    sums = dict.fromkeys([f"{of}@{k}" for of in ("P", "R", "RP", "nDCG") for k in (1, 3, 5)], 0.0)
    whole = model.predict(corpus.test.texts, top_k=len(model.labels))
    for row, found in enumerate(whole):
        true = {corpus.test.label_ids[label] for label in corpus.test.labels[row]} & UNSEEN.keys()
        if not true:
            continue
        best = [one.label for one in found if one.label in UNSEEN]
        ranked.append(len(best))
        asked, occurring = asked + 1, occurring | true
        for k in (1, 3, 5):
            hits = [label in true for label in best[:k]]
            reachable = min(k, len(true))
            sums[f"P@{k}"] += sum(hits) / k
            sums[f"R@{k}"] += sum(hits) / len(true)
            sums[f"RP@{k}"] += sum(hits) / reachable
            ideal = sum(1 / np.log2(rank + 2) for rank in range(reachable))
            sums[f"nDCG@{k}"] += sum(h / np.log2(rank + 2) for rank, h in enumerate(hits)) / ideal
            hit[k] |= true & set(best[:k])
    unseen = evaluate_unseen(model, corpus.test)
    assert (unseen.labels, unseen.occurring, unseen.documents) == (len(UNSEEN), len(occurring), asked)
    expected = {of: 100 * total / asked for of, total in sums.items()}
    expected |= {f"coverage@{k}": 100 * len(hit[k]) / len(occurring) for k in hit}
    assert unseen.metrics == pytest.approx(expected)
    assert 0 < unseen.metrics["R@5"] < 100 and asked < len(corpus.test) - 10
    assert min(ranked) < 7 or "cluster" not in name  # a shortlist leaves some out


def test_a_ranking_by_hand(trained_of, corpus):
    model = trained_of("flat").model
    rows = [model.labels.rows[label] for label in UNSEEN]
    texts, seen = ["a", "b", "c", "d"], model.labels.ids[0]
    true = [["new0", "new1", seen], [seen, "nobody's"], ["new2", "nobody's"], ["new0"]]
    asked = unseen_documents(model, Corpus.of(texts, true).train)
    assert asked.texts == ["a", "c", "d"]
    best = np.array([[rows[1], rows[3], rows[0], -1, -1], [rows[0], -1, -1, -1, -1], [rows[0], *rows[3:]]])
    found = asked.scored(best)
    assert (found.labels, found.occurring, found.documents) == (7, 3, 3)
    of = found.metrics
    assert [of["P@1"], of["P@3"], of["R@1"], of["RP@3"]] == pytest.approx(
        [100 * 2 / 3, 100 * (2 / 3 + 1 / 3) / 3, 100 * (1 / 2 + 1) / 3, 100 * 2 / 3]
    )
    assert of["coverage@1"] == pytest.approx(100 * 2 / 3) and not any(name.startswith("PS") for name in of)


def test_training_says_it_too(trained_of):
    trained = trained_of("flat")
    document = json.loads((trained.folder / "metrics.json").read_text())
    unseen = document.pop("unseen")
    assert document == trained.metrics and unseen == trained.unseen.as_document()
    assert unseen["labels"] == len(UNSEEN) and unseen["documents"] > 10


def test_there_is_nothing_to_say_where_the_split_has_no_such_label(trained_of, corpus):
    model = trained_of("flat").model
    texts = corpus.test.texts[:2]
    assert evaluate_unseen(model, Corpus.of(texts, [["w1"], ["nobody's", "w2"]]).train) is None


def test_the_command(trained_of, corpus, tmp_path):
    lines = [
        {"text": text, "labels": [corpus.test.label_ids[label] for label in corpus.test.labels[row]]}
        for row, text in enumerate(corpus.test.texts)
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = trained_of("flat").folder
    out, _ = partial(commands.xmlkit, cwd=tmp_path)("evaluate", str(run), "test.jsonl")
    unseen = trained_of("flat").unseen
    counts = f"{unseen.occurring} of them occur here, on {unseen.documents} documents"
    said = f"7 labels have no training document, {counts}"
    before, after = out.split(said)
    assert (
        re.search(rf"│ P +│ +{unseen.metrics['P@1']:.2f} │", after) and "PSP" in before and "PSP" not in after
    )
