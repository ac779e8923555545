"""Judging on documents that weights have not seen: nothing leaks, and members are worth what they are."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.blend import judging
from xmlkit.blend.forms import FORMS, Form
from xmlkit.blend.fusion import fit, pairs_of
from xmlkit.blend.judging import Judge, difference
from xmlkit.blend.member import Candidates
from xmlkit.data.ragged import Ragged
from xmlkit.inference.predict import Scoring
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.metrics import Terms, ranking_terms, score_ranking

N, L = 120, 12
COUNTS_L = np.arange(1, L + 1) ** 2


def judge_of(true_NL, metric="nDCG@5", counts_L=COUNTS_L):
    truth = Ragged.of([np.flatnonzero(row).tolist() for row in true_NL])
    return Judge(truth, Scoring(counts_L, 1000, (1, 3, 5), 0.5, 0.4), metric)


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
@pytest.mark.parametrize("metric", ["nDCG@5", "P@1"])
def test_no_document_has_a_say_in_its_own_logits_nor_its_half(form, metric):
    """Whose logits move at the change of a document's truth: all of the other half, no other's."""
    true_NL = true_labels()
    pairs = of(member(true_NL, 2, 1), member(true_NL, 1, 2))
    before_V = judge_of(true_NL, metric).unseen_V(pairs, form)

    def moved(documents):
        changed_NL = true_NL.copy()
        changed_NL[documents] = ~changed_NL[documents]
        after_V = judge_of(changed_NL, metric).unseen_V(pairs, form)
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
    assert FORMS[0] == Form() and FORMS[-1].trees and shrinks == sorted(shrinks, reverse=True)
    form, z_V = judge.chosen(pairs)
    assert form == Form()
    np.testing.assert_array_equal(z_V, judge.unseen_V(pairs, Form()))


def test_the_shrinkage_that_ranks_best_is_chosen(monkeypatch):
    """Half of the labels are always said to be false where they are true: only weights of their own help."""
    true_NL = true_labels()
    said_NL = np.where(np.arange(L) < L // 2, ~true_NL, true_NL)
    pairs, judge = of(member(said_NL, 3, 1, named=L), member(said_NL, 1, 2, named=L)), judge_of(true_NL)
    monkeypatch.setattr(judging, "FORMS", (Form(), Form(1e4), Form(1.0), Form(1e3)))
    form, z_V = judge.chosen(pairs)
    assert form == Form(1.0)
    np.testing.assert_array_equal(z_V, judge.unseen_V(pairs, Form(1.0)))
    ours, plain = (judge.terms(pairs.ranked(z, 5)[0]).percent for z in (z_V, judge.unseen_V(pairs, Form())))
    assert ours > plain + 20


# ------------------------------------------------------------------------------------------ worth


@pytest.mark.parametrize("metric", ["nDCG@5", "P@1", "PSP@3"])
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


def test_from_itself_a_model_differs_by_nothing():
    true_NL = true_labels()
    for metric in ("nDCG@5", "PSP@3"):
        judge = judge_of(true_NL, metric)
        terms = judge.terms(member(true_NL, 1, 1).ids_NK)
        assert difference(terms, terms) == (0, 0, 0)


def test_the_interval_is_that_of_paired_differences():
    """One is always 10 points better; then by 0 or 20, whose mean has a standard error."""
    rng = np.random.default_rng(0)
    base_N, ones_N = rng.random(400) / 2, np.ones(400)
    base = Terms(base_N, ones_N)
    assert difference(Terms(base_N + 0.1, ones_N), base) == pytest.approx((10, 10, 10))
    gains_N = 0.2 * (np.arange(400) % 2)
    points, low, high = difference(Terms(base_N + gains_N, ones_N), base)
    assert points == pytest.approx(10) == (low + high) / 2
    assert (high - low) / 2 == pytest.approx(1.966 * 100 * gains_N.std() / 400**0.5, rel=0.06)
    assert difference(base, Terms(base_N + gains_N, ones_N)) == pytest.approx((-points, -high, -low))


# ------------------------------------------------------------------------------------------ metrics


@pytest.mark.parametrize("metric", ["P@5", "nDCG@5", "RP@1", "R@3"])
def test_all_true_labels_count_alike_without_propensities(metric):
    assert judge_of(true_labels(), metric).gain_L is None


@pytest.mark.parametrize("metric", ["PSP@5", "PSnDCG@1"])
def test_gains_are_inverse_propensities_and_1_on_average(metric):
    """Over true labels that are known: the last ones are not."""
    true_NL, known = true_labels(), L - 2
    judge = judge_of(true_NL, metric, COUNTS_L[:known])
    gain_L = judge.gain_L
    weights_L = inverse_propensities(COUNTS_L[:known], 1000, 0.5, 0.4)
    assert gain_L.shape == (known,)
    np.testing.assert_allclose(gain_L / gain_L[0], weights_L / weights_L[0])
    assert (np.diff(gain_L) < 0).all()  # the more documents, the less
    assert np.mean([gain_L[label] for row in true_NL for label in np.flatnonzero(row[:known])]) == (
        pytest.approx(1)
    )


def test_with_propensities_rare_labels_are_ranked_higher():
    true_NL = true_labels()
    pairs = of(member(true_NL, 1, 1, named=L), member(true_NL, 1, 2, named=L))
    mean_count = {}
    for metric in ("P@5", "PSP@5"):
        judge = judge_of(true_NL, metric)
        ids_NK = pairs.ranked(judge.unseen_V(pairs, Form()), 5)[0]
        mean_count[metric] = COUNTS_L[ids_NK].mean()
    assert mean_count["PSP@5"] < 0.9 * mean_count["P@5"]


def test_scores_and_terms_are_those_of_the_metrics():
    true_NL = true_labels()
    judge, ids_NK = judge_of(true_NL, "PSP@3"), member(true_NL, 1, 1).ids_NK[:, :5]
    by = (judge.truth, COUNTS_L, 1000, (1, 3, 5), 0.5, 0.4)
    assert judge.depth == 5
    assert judge.scores(ids_NK) == score_ranking(ids_NK, *by)
    assert judge.terms(ids_NK).part_N.tolist() == ranking_terms(ids_NK, *by)["PSP@3"].part_N.tolist()
    assert judge.terms(ids_NK).percent == judge.scores(ids_NK)["PSP@3"]
