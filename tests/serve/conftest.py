"""A run that has learnt something, and a server of it with small limits."""

from __future__ import annotations

import pytest
import tiny
from serving import serving

from xmlkit import load, train


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
    """Seven of the ten labels, and one that the model lacks."""
    path = tmp_path_factory.mktemp("vocabulary") / "words.tsv"
    path.write_text("".join(f"w{i}\tword {i}\n" for i in (0, 1, 2, 3, 4, 5, 6, 77)))
    return path


@pytest.fixture(scope="session")
def server(run, vocabulary, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log"
    limits = ["--texts", 40, "--length", 2000, "--body", 20_000, "--wait", 50]
    with serving(log, run, run, "--vocab", vocabulary, "--language", "en", *limits) as server:
        yield server
