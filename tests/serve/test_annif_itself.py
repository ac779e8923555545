"""An unchanged Annif asks the server through its `http` backend."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tiny
from serving import serving

from benchmarks.annif_http import compared

ENVIRONMENT = os.environ.get("XMLKIT_TEST_ANNIF", "")


@pytest.mark.slow
@pytest.mark.skipif(not ENVIRONMENT, reason="XMLKIT_TEST_ANNIF names no virtual environment with annif 1.4")
def test_annif_suggests_and_evaluates_with_a_served_model(run, tmp_path):
    corpus = tiny.learnable_corpus()
    (tmp_path / "words.tsv").write_text("".join(f"{label}\tword {label}\n" for label in corpus.labels.ids))
    options = ["--vocab", tmp_path / "words.tsv", "--language", "en"]
    with serving(tmp_path / "log", run, *options) as server:
        found = compared(Path(ENVIRONMENT), tmp_path, run, corpus, server.url, "a-run")
    assert found["both"] != found["remote"]
