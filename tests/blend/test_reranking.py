"""What trees are shown, by a slow reference; what comes after the first stays there; written and opened."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xmlkit
from xmlkit.blend import judging, reranking
from xmlkit.blend.aim import Aim
from xmlkit.blend.forms import Form
from xmlkit.blend.fusion import Weights, fit, pairs_of
from xmlkit.blend.judging import Judge
from xmlkit.blend.member import Candidates
from xmlkit.blend.reranking import Reranked, more_V, num_shown, reranked, shown_VX
from xmlkit.blend.trees import Trees
from xmlkit.data.corpus import Labels
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.files import digests
from xmlkit.testing.tiny import learnable_corpus

COUNTS_L = np.arange(1, 13) ** 2


def two_members(texts=300, seed=0):
    """A label is mostly true where both name it, however sure they say that they are."""
    rng = np.random.default_rng(seed)
    named_SNL = rng.random((2, texts, 12)) < 0.5
    true_NL = named_SNL.all(0) & (rng.random((texts, 12)) < 0.9)
    said = []
    for named_NL in named_SNL:
        ids_NL = np.where(named_NL, np.arange(12), -1)
        said.append(Candidates(ids_NL, rng.uniform(1, 30, ids_NL.shape).astype("f4"), np.zeros(texts, "f4")))
    return pairs_of(said, COUNTS_L), Ragged.of([np.flatnonzero(row).tolist() for row in true_NL])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=12))
def test_how_many_have_more(rows):
    rows.sort(key=lambda row: row[0])
    texts_V, x_V = np.array([row[0] for row in rows], int), np.array([row[1] for row in rows], float)
    expected = [sum(text == own and x > value for text, x in rows) for own, value in rows]
    assert more_V(texts_V, x_V).tolist() == expected


def test_what_trees_are_shown():
    pairs, _ = two_members(5)
    pairs = pairs.take(np.array([True, False, True, True, True]))  # a text without pairs
    z_V = np.random.default_rng(1).normal(size=len(pairs.texts_V))
    found_VX = shown_VX(pairs, z_V)
    assert found_VX.shape == (len(z_V), num_shown(2)) and found_VX.dtype == np.float32
    own_VX = np.column_stack([pairs.numbers_VF[:, :2], z_V]).astype(np.float32)
    for at, (text, label) in enumerate(zip(pairs.texts_V, pairs.labels_V)):
        same_VX = own_VX[pairs.texts_V == text]
        expected = [np.log1p(COUNTS_L[label]), *own_VX[at], *same_VX.max(0)]
        expected += [*(same_VX > own_VX[at]).sum(0), (pairs.numbers_VF[at, :2] > 0).sum()]
        np.testing.assert_allclose(found_VX[at], expected, rtol=1e-6)


def test_trees_are_better_where_a_sum_is_not_enough():
    """And are read as they were fitted, of any texts at once."""
    pairs, truth = two_members()
    fresh, fresh_truth = two_members(seed=1)
    fusion, weights = reranked(pairs, truth), fit(pairs, truth, None)
    assert isinstance(fusion, Reranked)
    np.testing.assert_array_equal(fusion.weights.w_F, weights.w_F)

    def right(one):
        best_N = fresh.ranked(one.z_V(fresh), 1)[0][:, 0]
        return np.mean([best in fresh_truth[text] for text, best in enumerate(best_N)])

    assert right(fusion) > right(weights) + 0.05
    few_N = np.arange(fresh.num_texts) % 7 == 3
    some_V = few_N[fresh.texts_V]
    np.testing.assert_allclose(fusion.z_V(fresh.take(few_N)), fusion.z_V(fresh)[some_V])


@pytest.mark.parametrize("first", [1, 3])
def test_what_comes_after_stays_as_far_behind(monkeypatch, first):
    monkeypatch.setattr(reranking, "FIRST", first)
    pairs, truth = two_members()
    fusion = reranked(pairs, truth)
    before_V, after_V = fusion.weights.z_V(pairs), fusion.z_V(pairs)
    moved = False
    for text in range(pairs.num_texts):
        own_V = pairs.texts_V == text
        before, after = before_V[own_V], after_V[own_V]
        order = np.argsort(-before)
        ahead, behind = order[:first], order[first:]
        gap = before[ahead].min() - before[behind]
        np.testing.assert_allclose(after[ahead].min() - after[behind], gap, atol=1e-9)
        moved |= bool((np.argsort(-after[ahead]) != np.arange(len(ahead))).any())
    assert moved == (first > 1)
    with monkeypatch.context() as all_first:
        all_first.setattr(reranking, "FIRST", 1000)
        shown = shown_VX(pairs, before_V)
        np.testing.assert_array_equal(fusion.z_V(pairs), fusion.trees.z_V(shown))


def test_the_logit_is_a_sum():
    pairs, truth = two_members()
    fusion = reranked(pairs, truth)
    adds_VF = fusion.adds_VF(pairs)
    np.testing.assert_allclose(adds_VF.sum(1), fusion.z_V(pairs))
    np.testing.assert_array_equal(adds_VF[:, :2], fusion.weights.adds_VF(pairs)[:, :2])


@pytest.mark.parametrize("true", [[], list(range(12))])
def test_where_there_is_nothing_to_tell_apart_there_are_weights(true):
    pairs, _ = two_members(20)
    assert isinstance(reranked(pairs, Ragged.of([true] * 20)), Weights)
    assert isinstance(reranked(pairs.take(np.zeros(20, bool)), Ragged.of([true] * 20)), Weights)


def test_propensities_count_in_trees_too():
    pairs, truth = two_members()
    gain_L = np.where(np.arange(12) == 0, 50.0, 1.0)
    plain, rare = reranked(pairs, truth), reranked(pairs, truth, gain_L)
    of_rare = pairs.labels_V == 0
    assert rare.z_V(pairs)[of_rare].mean() > plain.z_V(pairs)[of_rare].mean() + 1


# ------------------------------------------------------------------------------------------ as a run


@pytest.fixture(scope="module")
def corpus():
    tiny = learnable_corpus(4000, 12)
    return replace(tiny, labels=Labels(tiny.labels.ids, [f"{label} w40" for label in tiny.labels.ids]))


@pytest.fixture
def made(corpus, tmp_path, monkeypatch):
    """Of what two systems say: true is mostly what both name."""
    monkeypatch.setattr(judging, "FORMS", (Form(trees=True),))
    rng = np.random.default_rng(0)
    for number in (0, 1):
        with (tmp_path / f"{number}.jsonl").open("w") as file:
            for split in (corpus.train, corpus.test):
                for row, text in enumerate(split.texts):
                    named = [at for at in range(12) if at in split.labels[row] or rng.random() < 0.3]
                    scores = [
                        {"label": corpus.labels.ids[at], "score": round(rng.uniform(0.1, 0.9), 3)}
                        for at in named
                    ]
                    print(json.dumps({"text": text, "labels": scores}), file=file)
    members = [f"scores:{tmp_path / f'{number}.jsonl'}" for number in (0, 1)]
    return xmlkit.ensemble(members, corpus, tmp_path / "whole")


def test_what_is_written_is_what_was_fitted(made, corpus):
    model = xmlkit.load(made.folder)
    assert isinstance(model.whole.fusion, Reranked) and model.whole.described.trees
    held_out = model.held_out(corpus)
    said = [member.candidates(held_out.texts, 50) for member in model.whole.members]
    pairs, z_V = model.whole.fusion.read(said, model.whole.seen_L)
    judge = Judge(held_out.labels, model.scoring, Aim(("P@1",)))
    again = reranked(pairs, held_out.labels, judge.gain_L(model.whole.described.rare))
    np.testing.assert_array_equal(again.z_V(pairs), z_V)
    assert model.evaluate(corpus.test)["P@1"] > 60


@pytest.mark.parametrize(
    ("name", "values"),
    [("number_TM", 99), ("left_TM", -1), ("value_TM", np.nan), ("most_TM", np.inf), ("base", None)],
)
def test_trees_that_are_none(made, name, values):
    from xmlkit.model.tensor_file import load_tensors, save_tensors

    path = made.folder / "fusion.safetensors"
    tensors, _ = load_tensors(path)
    if values is None:
        del tensors[name]
    else:
        tensors[name][:] = values
    save_tensors(path, tensors, {})
    described = json.loads((made.folder / "ensemble.json").read_text())
    described["files"] |= digests(made.folder, ["fusion.safetensors"])
    (made.folder / "ensemble.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"fusion\.safetensors is not of this ensemble"):
        xmlkit.load(made.folder)


def test_a_sum_has_no_trees(made):
    described = json.loads((made.folder / "ensemble.json").read_text())
    (made.folder / "ensemble.json").write_text(json.dumps({**described, "fusion": "sum"}))
    with pytest.raises(UserError, match=r"fusion\.safetensors is not of this ensemble"):
        xmlkit.load(made.folder)


def test_trees_are_no_more_than_arrays(made):
    """Nothing of the library that grew them is needed, or run, to read them."""
    fusion = xmlkit.load(made.folder).whole.fusion
    assert {type(array) for array in vars(fusion.trees).values()} == {np.ndarray}
    assert isinstance(fusion.trees, Trees)
