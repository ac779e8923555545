"""A run that several ranks have begun is gone on with by others, or by one, as if it were unbroken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from ranks_here import on_ranks

from xmlkit.testing.tiny import SETTINGS
from xmlkit.training.train import resume, train

BAG = {"dropout": 0.0, "buckets": 64, "width": 8, "min_documents": 1}
CONFIG = {
    **SETTINGS,
    **{"dropout": 0.0, "start": "random", "validation": 0.2, "max_steps": 6, "eval_every": 3},
    **{
        "checkpoint_every": 1,
        "clustered": True,
        "plugins": ["lexical", "neighbours", "track"],
        "lexical": BAG,
    },
}


def trained(folder: Path, encoder: str, steps: int | None):
    """A run from the first step, broken off before so many."""
    corpus, config = tiny.learnable_corpus(80), {**CONFIG, "encoder": encoder}
    if steps is None:
        return _answers(train(corpus, config, folder), corpus)
    with tiny.killed_before_step(steps):
        train(corpus, config, folder)


def gone_on(folder: Path):
    corpus = tiny.learnable_corpus(80)
    return _answers(resume(folder, corpus), corpus)


def _answers(run, corpus):
    assert run.outcome == "finished"
    found = [[(p.label, p.score) for p in ps] for ps in run.model.predict(corpus.test.texts)]
    return found, run.metrics


@pytest.mark.slow
@pytest.mark.parametrize("others", [1, 2])
def test_another_number_of_ranks_goes_on(tmp_path, others):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    ((answers, metrics),) = on_ranks(1, trained, tmp_path / "unbroken", encoder, None)
    on_ranks(3, trained, tmp_path / "run", encoder, 4)
    for found, own_metrics in on_ranks(others, gone_on, tmp_path / "run"):
        assert own_metrics == pytest.approx(metrics, abs=1e-6)
        for own, expected in zip(found, answers, strict=True):
            np.testing.assert_allclose([s for _, s in own], [s for _, s in expected], rtol=2e-3)
            assert own[0][0] == expected[0][0]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {path.name for path in (tmp_path / "unbroken").iterdir()}
    tracked = list((tmp_path / "run" / "tensorboard").iterdir())
    assert len(tracked) == 2  # the first of several has begun it, the first of the others has gone on
