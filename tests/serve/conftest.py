"""A run that has learnt something, and a server of it with small limits."""

from __future__ import annotations

import json

import pytest
import tiny
from serving import serving

from xmlkit import Corpus, ensemble, load, train
from xmlkit.data.corpus import Labels


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("to serve")
    given = {"encoder": tiny.save_encoder(folder / "encoder"), "max_len": 16, "epochs": 6, "device": "cpu"}
    given |= {"lr": 3e-3, "head_lr": 1e-2, "batch_size": 16, "seed": 1}
    train(tiny.learnable_corpus(), given, folder / "a run")
    return folder / "a run"


@pytest.fixture(scope="session")
def model(run):
    return load(run)


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """Seven of the ten labels, the odd ones with notations, and one that the model lacks."""
    path = tmp_path_factory.mktemp("vocabulary") / "words.tsv"
    rows = [f"w{i}\tword {i}" + (f"\t{i}.9" if i % 2 else "") for i in (0, 1, 2, 3, 4, 5, 6, 77)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def server(run, vocabulary, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log"
    limits = ["--texts", 40, "--length", 2000, "--body", 20_000, "--wait", 50]
    with serving(log, run, run, "--vocab", vocabulary, "--language", "en", *limits) as server:
        yield server


@pytest.fixture(scope="session")
def telling(tmp_path_factory):
    """A run that has a bag and neighbours, and a blend of it, its neighbours and a file of some labels.

    Labels have names that are no HTML.
    """
    folder, plain = tmp_path_factory.mktemp("telling"), tiny.learnable_corpus()
    names = [f"<i>{label}</i> & <script>" for label in plain.labels.ids]
    corpus = Corpus(plain.name, Labels(plain.labels.ids, names), plain.train, plain.test)
    given = {"encoder": tiny.save_encoder(folder / "encoder"), "max_len": 16, "epochs": 6, "device": "cpu"}
    given |= {"lr": 3e-3, "head_lr": 1e-2, "batch_size": 16, "pooling": "mean", "validation": 0.3}
    given |= {"lexical": {"buckets": 997, "width": 6, "characters": [1, 2]}, "neighbours": {"nearest": 6}}
    train(corpus, {**given, "plugins": ["lexical", "neighbours"]}, folder / "rich")
    with (folder / "some.jsonl").open("w") as file:
        for row, text in enumerate(corpus.train.texts):
            known = [corpus.labels.ids[label] for label in corpus.train.labels[row] if label % 2]
            labels = [{"label": label, "score": 0.7} for label in known]
            print(json.dumps({"text": text, "labels": labels}), file=file)
    members = [str(folder / "rich"), f"neighbours:{folder / 'rich'}", f"scores:{folder / 'some.jsonl'}"]
    assert len(ensemble(members, corpus, folder / "blend").parts) == 3
    return [folder / "rich", folder / "blend"]


@pytest.fixture(scope="session")
def telling_server(telling, tmp_path_factory):
    log = tmp_path_factory.mktemp("telling served") / "log"
    with serving(log, *telling, "--length", 2000) as server:
        yield server
