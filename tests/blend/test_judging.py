"""Judging on documents that weights have not seen: nothing leaks, and members are worth what they are."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.blend import judging
from xmlkit.blend.aim import Aim
from xmlkit.blend.forms import FORMS, RARE, Form
from xmlkit.blend.fusion import fit, pairs_of
from xmlkit.blend.judging import Judge
from xmlkit.blend.member import Candidates
from xmlkit.data.ragged import Ragged
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.measures.scoring import Scoring
from xmlkit.metrics import ranking_terms, score_ranking

N, L = 120, 12
COUNTS_L = np.arange(1, L + 1) ** 2


def judge_of(true_NL, metric="nDCG@5", counts_L=COUNTS_L):
    truth = Ragged.of([np.flatnonzero(row).tolist() for row in true_NL])
    return Judge(truth, Scoring(counts_L, 1000, (1, 3, 5), 0.5, 0.4), Aim(tuple(metric.split(","))))


def true_labels(seed=0, documents=N):
    return np.random.default_rng(seed).random((documents, L)) < 0.25


def member(true_NL, knows, seed, named=8):
    """What it says is the truth, so many times, and noise."""
    rng = np.random.default_rng(seed)
    e_NL = (knows * true_NL + rng.normal(0, 1, true_NL.shape)).astype(np.float32)
    ids_NK = np.argsort(-e_NL, 1)[:, :named]
    evidence_NK = np.take_along_axis(e_NL, ids_NK, 1)
    return Candidates(ids_NK, evidence_NK, evidence_NK[:, -1])


def of(*said):
    return pairs_of(said, COUNTS_L)


# ------------------------------------------------------------------------------------------ unseen


@pytest.mark.parametrize("form", [Form(), Form(300.0), Form(1.0), Form(trees=True)], ids=str)
def test_no_document_has_a_say_in_its_own_logits_nor_its_half(form):
    """Whose logits move at the change of a document's truth: all of the other half, no other's."""
    true_NL = true_labels()
    pairs = of(member(true_NL, 2, 1), member(true_NL, 1, 2))
    before_V = judge_of(true_NL).unseen_V(pairs, form)

    def moved(documents):
        changed_NL = true_NL.copy()
        changed_NL[documents] = ~changed_NL[documents]
        after_V = judge_of(changed_NL).unseen_V(pairs, form)
        return set(pairs.texts_V[after_V != before_V].tolist())

    other = moved([0])
    own = set(range(N)) - other
    assert 0 in own and len(own) == len(other) == N // 2
    for document in (max(own), max(other), min(other)):
        assert moved([document]) == (own if document in other else other)
    assert moved(sorted(own)) == other
    assert moved(sorted(other)) == own


def test_logits_are_those_of_weights_of_the_other_half():
    true_NL = true_labels()
    pairs, judge = of(member(true_NL, 2, 1), member(true_NL, 1, 2)), judge_of(true_NL)
    z_V = judge.unseen_V(pairs, Form(300.0))
    flipped = judge_of(np.concatenate([~true_NL[:1], true_NL[1:]])).unseen_V(pairs, Form(300.0))
    half_N = np.ones(N, bool)
    half_N[pairs.texts_V[flipped != z_V]] = False
    for one_N in (half_N, ~half_N):
        weights = fit(pairs.take(one_N), judge.truth, 300.0)
        np.testing.assert_array_equal(z_V[~one_N[pairs.texts_V]], weights.z_V(pairs.take(~one_N)))


def test_to_know_labels_by_heart_does_not_help():
    """Members that know nothing, and more weights than documents."""
    true_NL = true_labels(documents=40)
    pairs, judge = of(member(true_NL, 0, 1), member(true_NL, 0, 20)), judge_of(true_NL)
    chance_V = np.random.default_rng(3).normal(size=len(pairs.texts_V))
    by_heart_V = fit(pairs, judge.truth, 0.01).z_V(pairs)
    by_heart, unseen, chance = (
        judge.terms(pairs.ranked(z_V, 5)[0]).percent
        for z_V in (by_heart_V, judge.unseen_V(pairs, Form(0.01)), chance_V)
    )
    assert by_heart > unseen + 15 and unseen < chance + 10


def test_a_single_document_is_judged_by_the_weights_that_all_begin_with():
    true_NL = true_labels(documents=1)
    pairs = of(member(true_NL, 2, 1), member(true_NL, 1, 2))
    z_V = judge_of(true_NL).unseen_V(pairs, Form())
    np.testing.assert_allclose(z_V, pairs.numbers_VF[:, :2].mean(1), rtol=1e-5)


# ------------------------------------------------------------------------------------------ choosing


def test_of_equal_forms_the_plainest_is_chosen():
    """All rank the truth first."""
    true_NL = true_labels()
    pairs, judge = of(member(true_NL, 30, 1), member(true_NL, 30, 2)), judge_of(true_NL)
    shrinks = [form.shrink for form in FORMS if form.shrink]
    plainest = Form(rare=0.5)
    assert FORMS[0] == plainest and FORMS[-1].trees and shrinks == sorted(shrinks, reverse=True)
    form, z_V = judge.chosen(pairs)
    assert form == plainest
    np.testing.assert_array_equal(z_V, judge.unseen_V(pairs, plainest))


def test_the_shrinkage_that_ranks_best_is_chosen(monkeypatch):
    """Half of the labels are always said to be false where they are true: only weights of their own help."""
    true_NL = true_labels()
    said_NL = np.where(np.arange(L) < L // 2, ~true_NL, true_NL)
    pairs, judge = of(member(said_NL, 3, 1, named=L), member(said_NL, 1, 2, named=L)), judge_of(true_NL)
    monkeypatch.setattr(judging, "FORMS", (Form(), Form(1e4), Form(1.0), Form(1e3)))
    form, z_V = judge.chosen(pairs)
    assert form.shrink == 1.0
    np.testing.assert_array_equal(z_V, judge.unseen_V(pairs, form))
    ours, plain = (judge.terms(pairs.ranked(z, 5)[0]).percent for z in (z_V, judge.unseen_V(pairs, Form())))
    assert ours > plain + 20


# ------------------------------------------------------------------------------------------ worth


@pytest.mark.parametrize("metric", ["nDCG@5", "P@1", "PSP@3", "nDCG@5,PSP@5"])
def test_noise_is_worth_about_nothing_and_the_one_good_member_much(metric):
    true_NL = true_labels()
    said = [member(true_NL, 0, 1), member(true_NL, 4, 2), member(true_NL, 0, 3)]
    pairs, judge = of(*said), judge_of(true_NL, metric)
    form, z_V = judge.chosen(pairs)
    first, good, last = judge.losses(pairs, z_V, 3, form)
    assert good[0] > 20 and good[1] > 15 and good[1] < good[0] < good[2]
    for points, low, high in (first, last):
        assert abs(points) < 2 and low <= points <= high and low < 1 and high > -1


def test_what_is_lost_is_the_metric_with_it_less_that_without():
    true_NL = true_labels()
    pairs, judge = of(member(true_NL, 2, 1), member(true_NL, 1, 2)), judge_of(true_NL)
    z_V = judge.unseen_V(pairs, Form())
    whole = judge.scores(pairs.ranked(z_V, 5)[0])["nDCG@5"]
    for at, (points, _, _) in enumerate(judge.losses(pairs, z_V, 2, Form())):
        rest = pairs.without(at)
        ids_NK = rest.ranked(judge.unseen_V(rest, Form()), 5)[0]
        assert points == pytest.approx(whole - judge.scores(ids_NK)["nDCG@5"]) and points > 0


def test_a_member_twice_is_not_missed():
    true_NL = true_labels()
    said = member(true_NL, 2, 1)
    pairs, judge = of(said, said), judge_of(true_NL)
    for points, low, high in judge.losses(pairs, judge.unseen_V(pairs, Form()), 2, Form()):
        assert abs(points) < 0.5 and low <= points <= high


# ------------------------------------------------------------------------------------------ rare labels


def test_true_labels_count_alike_where_rare_ones_count_no_more():
    np.testing.assert_array_equal(judge_of(true_labels()).gain_L(0.0), np.ones(L))


@pytest.mark.parametrize("rare", [0.25, 1.0])
def test_gains_are_in_part_inverse_propensities_and_1_on_average(rare):
    """Over true labels that are known: the last ones are not."""
    true_NL, known = true_labels(), L - 2
    gain_L = judge_of(true_NL, counts_L=COUNTS_L[:known]).gain_L(rare)
    weights_L = inverse_propensities(COUNTS_L[:known], 1000, 0.5, 0.4)
    assert gain_L.shape == (known,)
    beyond_L = gain_L - (1 - rare)
    np.testing.assert_allclose(beyond_L / beyond_L[0], weights_L / weights_L[0])
    assert (np.diff(gain_L) < 0).all()  # the more documents, the less
    for part_L in (gain_L, beyond_L / rare):
        counted = [part_L[label] for row in true_NL for label in np.flatnonzero(row[:known])]
        assert np.mean(counted) == pytest.approx(1)


def test_no_true_label_that_is_known_leaves_gains_finite():
    none_NL = np.zeros((N, L), bool)
    assert np.isfinite(judge_of(none_NL).gain_L(1.0)).all()


def test_the_more_rare_labels_count_the_higher_they_are_ranked():
    true_NL = true_labels()
    pairs = of(member(true_NL, 1, 1, named=L), member(true_NL, 1, 2, named=L))
    judge = judge_of(true_NL)
    means = []
    for rare in (0.0, 0.5, 1.0):
        ids_NK = pairs.ranked(judge.unseen_V(pairs, Form(rare=rare)), 5)[0]
        means.append(COUNTS_L[ids_NK].mean())
    assert means[0] > means[1] > means[2] and means[2] < 0.9 * means[0]


def test_how_much_rare_labels_count_is_chosen_by_the_aim():
    """Labels are as frequent as is counted."""
    true_NL = np.random.default_rng(0).random((600, L)) < 0.3 * COUNTS_L / COUNTS_L.max()
    pairs = of(member(true_NL, 1, 1, named=L), member(true_NL, 1, 2, named=L))
    judge = judge_of(true_NL, "PSP@1")
    form, z_V = judge.chosen(pairs)
    reached = {
        rare: judge.terms(pairs.ranked(judge.unseen_V(pairs, form._replace(rare=rare)), 5)[0]).percent
        for rare in RARE
    }
    assert form.rare == 1.0 != RARE[0]
    assert judge.terms(pairs.ranked(z_V, 5)[0]).percent == reached.pop(1.0) > max(reached.values())


def test_scores_and_terms_are_those_of_the_metrics():
    true_NL = true_labels()
    judge, ids_NK = judge_of(true_NL, "PSP@3,P@1"), member(true_NL, 1, 1).ids_NK[:, :5]
    by = (judge.truth, COUNTS_L, 1000, (1, 3, 5), 0.5, 0.4)
    assert judge.depth == 5
    assert judge.scores(ids_NK) == score_ranking(ids_NK, *by)
    terms, scores = ranking_terms(ids_NK, *by), judge.scores(ids_NK)
    for found, metric in zip(judge.terms(ids_NK).terms, ("PSP@3", "P@1"), strict=True):
        assert found.part_N.tolist() == terms[metric].part_N.tolist()
    assert judge.terms(ids_NK).percent == pytest.approx((scores["PSP@3"] + scores["P@1"]) / 2)
