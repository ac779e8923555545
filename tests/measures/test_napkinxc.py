"""What napkinXC's own metrics say of the same (https://github.com/mwydmuch/napkinXC), where it is installed.

Every document has true labels and as many predictions as ranks: without, napkinXC has other conventions.
"""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.data.ragged import Ragged
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.measures.assigned import Assigned
from xmlkit.measures.cut import Cut
from xmlkit.metrics import score_ranking

theirs = pytest.importorskip("napkinxc.metrics", reason="needs napkinxc: pip install --no-deps napkinxc")

NUM_LABELS, NUM_DOCUMENTS, K = 40, 300, 5


@pytest.fixture(scope="module", params=range(3))
def case(request):
    """Rankings, truth and training labels; the last label is there, since napkinXC counts up to the last."""
    rng = np.random.default_rng(request.param)
    chance_L = 1 / np.arange(1, NUM_LABELS + 1)
    chance_L /= chance_L.sum()

    def drawn(most):
        return rng.choice(NUM_LABELS, rng.integers(1, most + 1), replace=False, p=chance_L)

    truth = [sorted(drawn(9).tolist()) for _ in range(NUM_DOCUMENTS)]
    truth[0] = sorted({*truth[0], NUM_LABELS - 1})
    ids_NK = np.stack([rng.choice(NUM_LABELS, K, replace=False, p=chance_L) for _ in range(NUM_DOCUMENTS)])
    train = [drawn(6).tolist() for _ in range(1000)]
    train[0] = [NUM_LABELS - 1]
    return ids_NK, truth, train


def test_rankings(case):
    ids_NK, truth, train = case
    counts_L = np.bincount(np.concatenate(train), minlength=NUM_LABELS)
    weights_L = theirs.Jain_et_al_inverse_propensity(train)
    np.testing.assert_allclose(inverse_propensities(counts_L, len(train)), weights_L, rtol=1e-9)
    found = score_ranking(ids_NK, Ragged.of(truth), counts_L, len(train), ks=range(1, K + 1))
    tops = ids_NK.tolist()
    for name, expected in {
        "P": theirs.precision_at_k(truth, tops, k=K),
        "R": theirs.recall_at_k(truth, tops, k=K),
        "nDCG": theirs.ndcg_at_k(truth, tops, k=K),
        "PSP": theirs.psprecision_at_k(truth, tops, weights_L, k=K),
        "coverage": theirs.coverage_at_k(truth, tops, k=K),
    }.items():
        for k in range(1, K + 1):
            assert found[f"{name}@{k}"] == pytest.approx(100 * expected[k - 1], abs=1e-9), name


def test_what_is_assigned(case):
    ids_NK, truth, _ = case
    scores_NK = np.ones(ids_NK.shape)
    macro = {
        "macro-P": theirs.macro_precision_at_k(truth, ids_NK.tolist(), k=K),
        "macro-R": theirs.macro_recall_at_k(truth, ids_NK.tolist(), k=K),
        "macro-F1": theirs.macro_f1_measure_at_k(truth, ids_NK.tolist(), k=K),
    }
    for k in range(1, K + 1):
        kept_NK = Cut(0.0, k).assigned_NK(scores_NK, ids_NK)
        found = Assigned(ids_NK, kept_NK, Ragged.of(truth), NUM_LABELS).measures
        tops = ids_NK[:, :k].tolist()
        expected = {
            "micro-F1": theirs.micro_f1_measure(truth, tops),
            "example-F1": theirs.samples_f1_measure(truth, tops),
            **{name: values[k - 1] for name, values in macro.items()},
        }
        assert {name: found[name] for name in expected} == pytest.approx(
            {name: 100 * value for name, value in expected.items()}, abs=1e-9
        )
