"""Rankings of many documents: the same however they are batched, label vectors computed once."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.doors import Head
from xmlkit.model import ranking
from xmlkit.model.head import FixedLabels
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import rank_documents

TEXTS = tiny.texts(50, seed=3)
TOLERANCE = 1e-5  # of scores, between batches of different sizes


class Doubled(Head):
    """Label vectors that are computed from those inside."""

    calls = 0

    def label_vectors_UE(self, rows_U):
        self.calls += 1
        return 2 * self.inner.label_vectors_UE(rows_U)


def model(starts):
    return tiny.model(90, starts=starts, shortlist=4, label_width=16, start="random").eval()


def ranked(model, head, max_tokens):
    kind = tiny.tokenizer()
    reader = Reader(tokenise(TEXTS, kind, 100), Template.of(kind), 16)
    return rank_documents(model, head, reader, np.arange(len(TEXTS)), 5, max_tokens)


@pytest.mark.parametrize("starts", [None, range(0, 90, 3)], ids=["flat", "clustered"])
def test_the_batch_size_changes_nothing(starts, monkeypatch):
    ours = model(starts)
    scores, ids = ranked(ours, ours.head, 10**6)
    assert len(set(map(tuple, ids.tolist()))) > 1  # documents are told apart
    for max_tokens, at_once in ((16, 256), (64, 256), (10**6, 3)):
        monkeypatch.setattr(ranking, "DOCUMENTS_AT_ONCE", at_once)
        others, other_ids = ranked(ours, ours.head, max_tokens)
        np.testing.assert_allclose(others, scores, atol=TOLERANCE)
        # Of labels whose scores differ by less than the tolerance either may come first.
        told_apart = np.abs(np.diff(scores, axis=1, prepend=2, append=-1)) > 2 * TOLERANCE
        fixed = told_apart[:, :-1] & told_apart[:, 1:]
        assert fixed.mean() > 0.9
        assert np.array_equal(other_ids[fixed], ids[fixed])


@pytest.mark.parametrize("starts", [None, range(0, 90, 3)], ids=["flat", "clustered"])
def test_label_vectors_that_a_part_computes_are_computed_once(starts):
    ours = model(starts)
    assert ours.head_for_prediction() is ours.head
    ours.head = Doubled(ours.head)
    head = ours.head_for_prediction()
    assert isinstance(head, FixedLabels) and ours.head.calls == 1
    found = ranked(ours, head, 64)
    assert ours.head.calls == 1
    for mine, theirs in zip(found, ranked(ours, ours.head, 64), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert ours.head.calls > 1


def test_label_vectors_are_computed_without_dropout_whenever_they_are():
    class Dropped(Head):
        def label_vectors_UE(self, rows_U):
            return torch.nn.functional.dropout(self.inner.label_vectors_UE(rows_U), 0.9, self.training)

    ours = model(range(0, 90, 3))
    ours.head = Dropped(ours.head)
    ours.train()
    vectors_LE = ours.head_for_prediction().vectors_LE
    assert torch.equal(vectors_LE, ours.head.inner.rows.weight) and ours.head.training


def test_a_wrapper_of_the_query_alone_reads_the_stored_vectors():
    class Turned(Head):
        def query_BE(self, rank_BD):
            return -self.inner.query_BE(rank_BD)

    ours = model(range(0, 90, 3))
    rank_BD, ids_BC = torch.randn(2, ours.representation.rank_width), torch.tensor([[3, 4], [5, 3]])
    scores_BC = ours.head.scores_BC(rank_BD, ids_BC)
    ours.head = Turned(ours.head)
    assert ours.head_for_prediction() is ours.head
    torch.testing.assert_close(
        ours.head.scores_BC(rank_BD, ids_BC), -scores_BC
    )  # no biases with start=random
