"""Votes of the nearest documents: against a slow reference in float64, by hand, at the edges, opened."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from xmlkit_plugins import neighbours
from xmlkit_plugins.neighbours import DEFAULTS, FLOORS, TEMPERATURES, WEIGHTS, merged

import xmlkit
from xmlkit import search
from xmlkit.testing.tiny import losses_of
from xmlkit.training import train as training
from xmlkit.training.assemble import held_out

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7", "w1 w2", "w59 w58 w57 w5"]
L, N = 30, 40
NUMBERS = (0.7, 0.1, 0.02)


def model(starts, nearest=6, documents=N, most_labels=4, numbers=NUMBERS):
    """A head of random weights, and kept documents of random vectors and labels."""
    options = {"neighbours": {"nearest": nearest}}
    ours = tiny.model(L, plugins=["neighbours"], options=options, starts=starts, shortlist=3, label_width=8)
    rng = torch.Generator().manual_seed(1)
    for parameter in (*ours.head.parameters(), *ours.shortlister.parameters()):
        torch.nn.init.normal_(parameter, std=0.3, generator=rng)
    part, sizes = ours.shortlister, torch.randint(0, most_labels + 1, (documents,), generator=rng)
    rows = [sorted(torch.randperm(L, generator=rng)[:size].tolist()) for size in sizes.tolist()]
    x_ND = torch.randn(documents, len(part.centre_D), generator=rng)
    part.centre_D = torch.randn(len(part.centre_D), generator=rng) / 4
    part.bank_ND = torch.nn.functional.normalize(x_ND, dim=1).half()
    part.values_G = torch.tensor([label for row in rows for label in row], dtype=torch.int32)
    part.offsets = torch.tensor(np.cumsum([0, *map(len, rows)]))
    part.fitted = torch.tensor(numbers)
    return ours.eval(), rows


def votes_by_hand(part, rows, x_D, nearest, temperature, most=math.inf):
    """Label to v, of one document, in float64; `most` labels count, those of the nearest first."""
    u_D = x_D.double().numpy() - part.centre_D.double().numpy()
    cos_N = part.bank_ND.double().numpy() @ (u_D / np.linalg.norm(u_D))
    order = np.argsort(-cos_N)[:nearest]
    weights = np.exp(cos_N[order] / temperature)
    counted = [(label, w) for n, w in zip(order, weights / weights.sum(), strict=True) for label in rows[n]]
    found: dict[int, float] = {}
    for label, weight in counted[: int(min(most, len(counted)))]:
        found[label] = found.get(label, 0.0) + weight
    return found


def scores_by_hand(ours, rows, documents, nearest):
    """Label to score of each document."""
    weight, temperature, eps = ours.shortlister.fitted.double().tolist()
    with torch.no_grad():
        vectors = ours.vectors(documents)
        z_BL = ours.head.scores_BU(vectors.rank_BD, slice(0, L)).double().numpy()
        clusters = ours.shortlister.clusters
        if clusters is not None:
            short = ours.shortlister.inner(vectors, documents, None)
            z_BK = ours.shortlister.cluster_logits_BK(vectors.recall_BD).double().numpy()
            prior_BL = (1 / (1 + np.exp(-z_BK[:, clusters.of(torch.arange(L)).numpy()]))) ** 0.5
    for row in range(len(z_BL)):
        votes = votes_by_hand(ours.shortlister, rows, vectors.rank_BD[row], nearest, temperature)
        known = set(range(L)) if clusters is None else set(short.ids_BC[row].tolist()) | set(votes)
        yield {
            label: (1 if clusters is None else prior_BL[row, label])
            / (1 + math.exp(-z_BL[row, label] - weight * math.log((votes.get(label, 0.0) + eps) / eps)))
            for label in known
        }


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("nearest", [1, 6, 100])
@pytest.mark.parametrize("starts", [None, range(0, L, 3)], ids=["flat", "clustered"])
def test_the_ranking_is_that_of_a_slow_reference(starts, nearest, on_host, monkeypatch):
    """The same where nothing may be looked at, however few documents are searched in one go."""
    ours, rows = model(starts, nearest)
    assert ours.shortlister.power == 0.5
    monkeypatch.setattr(neighbours, "_on_host", lambda _: on_host)
    documents, _ = tiny.batch(TEXTS, L)
    expected = list(scores_by_hand(ours, rows, documents, nearest))
    for numbers, k in product((1, 7 * len(ours.shortlister.centre_D), 2**21), (3, L)):
        monkeypatch.setattr(search, "NUMBERS_AT_ONCE", numbers)
        scores_Bk, ids_Bk = ours.rank(documents, k)
        for row, by_hand in enumerate(expected):
            best = sorted(by_hand, key=by_hand.get, reverse=True)[:k]
            assert [label for label in ids_Bk[row].tolist() if label >= 0] == best
            ours_k = scores_Bk[row, : len(best)].tolist()
            assert ours_k == pytest.approx([by_hand[label] for label in best], rel=1e-4)


def test_by_hand_in_two_dimensions():
    """The document looks along x; kept: along x, at 60 degrees, and along -x, which is not among the two."""
    ours, _ = model(None, nearest=2)
    part = ours.shortlister
    part.centre_D = torch.tensor([1.0, 1.0])
    part.bank_ND = torch.tensor([[-1.0, 0.0], [0.5, 0.75**0.5], [1.0, 0.0]]).half()
    part.values_G, part.offsets = torch.tensor([7, 2, 5, 5], dtype=torch.int32), torch.tensor([0, 1, 3, 4])
    cos_BK, at_BK = part.nearest(torch.tensor([[4.0, 1.0]]))
    assert at_BK.tolist() == [[2, 1]]
    torch.testing.assert_close(cos_BK, torch.tensor([[1.0, 0.5]]))
    ids_BX, mask_BX, votes_BX = part.votes(cos_BK, at_BK, torch.tensor(0.5))
    # Shares e^2 : e^1 over their sum; label 5 has both, label 2 the second.
    assert ids_BX.tolist() == [[2, 5]] and mask_BX.all()
    torch.testing.assert_close(votes_BX, torch.tensor([[1 / (1 + math.e), 1.0]]))
    part.fitted = torch.tensor([2.0, 0.5, 0.1])
    logits = part.numbers.logits(torch.tensor([0.0, 0.1, 0.9])).tolist()
    assert logits == pytest.approx([0.0, 2 * math.log(2), 2 * math.log(10)])


@pytest.mark.parametrize(("nearest", "at"), [(1, [1]), (2, [1, 0]), (5, [1, 0])])
def test_a_document_that_is_kept_has_no_vote_for_itself(nearest, at):
    """As above; without itself the next ones vote. Of two equal ones the other does."""
    ours, _ = model(None, nearest=nearest)
    part = ours.shortlister
    part.centre_D = torch.tensor([1.0, 1.0])
    part.bank_ND = torch.tensor([[-1.0, 0.0], [0.5, 0.75**0.5], [1.0, 0.0]]).half()
    part.values_G, part.offsets = torch.tensor([7, 2, 5, 5], dtype=torch.int32), torch.tensor([0, 1, 3, 4])
    x_BD, temperature = torch.tensor([[4.0, 1.0]]), torch.tensor(0.5)
    cos_BK, at_BK = part.nearest(x_BD, seen=True)
    votes = cos_BK > -torch.inf
    assert at_BK[votes].tolist() == at
    ids_BX, mask_BX, votes_BX = part.votes(cos_BK, at_BK, temperature)
    weights = [math.exp(cos / 0.5) for cos in (0.5, -1.0)][: len(at)]
    found = dict(zip(ids_BX[mask_BX].tolist(), votes_BX[mask_BX].tolist(), strict=True))
    expected = {2: weights[0] / sum(weights), 5: weights[0] / sum(weights)}
    if len(at) > 1:
        expected[7] = weights[1] / sum(weights)
    assert found == pytest.approx(expected)
    part.bank_ND = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).half()
    cos_BK, at_BK = part.nearest(x_BD, seen=True)
    assert set(at_BK[0, :2].tolist()) == {0, 2} and cos_BK[0].tolist()[1] == 1
    new_BD = torch.tensor(
        [[2.0, 2.0]]
    )  # 45 degrees from each: nobody is left out, and one more does not vote
    cos_BK, _ = part.nearest(new_BD, seen=True)
    assert int((cos_BK > -torch.inf).sum()) == min(nearest, 3)


def test_of_a_single_document_nobody_is_left():
    ours, _ = model(None, documents=1, most_labels=1)
    part = ours.shortlister
    part.values_G, part.offsets = torch.tensor([7], dtype=torch.int32), torch.tensor([0, 1])
    part.bank_ND = torch.nn.functional.normalize(torch.randn(1, len(part.centre_D)), dim=1).half()
    x_BD = part.bank_ND.float() + part.centre_D
    cos_BK, at_BK = part.nearest(x_BD, seen=True)
    _, mask_BX, votes_BX = part.votes(cos_BK, at_BK, torch.tensor(0.1))
    assert not mask_BX.any() and not votes_BX.any()


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 9)), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_merging_is_adding_up_by_label(rows, on_host):
    ids, mask, votes = (torch.tensor([[slot[i] for slot in row] for row in rows]) for i in range(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_on_host", lambda _: on_host)
        ids_BX, mask_BX, votes_BX = merged(ids, mask, votes.float(), 5)
    assert ids_BX.shape == mask_BX.shape == votes_BX.shape
    for row, slots in enumerate(rows):
        expected: dict[int, float] = {}
        for label, is_real, vote in slots:
            if is_real:
                expected[label] = expected.get(label, 0) + vote
        real = ids_BX[row][mask_BX[row]].tolist()
        assert real == sorted(expected) and votes_BX[row][mask_BX[row]].tolist() == [*map(expected.get, real)]
        assert set(ids_BX[row].tolist()) <= (set(real) or {0})
        assert votes_BX[row][~mask_BX[row]].eq(0).all()


@pytest.mark.parametrize("on_host", [True, False])
def test_of_very_many_labels_those_of_the_nearest_count(on_host, monkeypatch):
    ours, rows = model(None, nearest=5, most_labels=20)
    monkeypatch.setattr(neighbours, "_on_host", lambda _: on_host)
    monkeypatch.setattr(neighbours, "LABELS_A_NEIGHBOUR", 3)
    part = ours.shortlister
    x_BD = torch.randn(8, len(part.centre_D), generator=torch.Generator().manual_seed(3))
    found = part.votes(*part.nearest(x_BD), torch.tensor(0.1))
    for x_D, ids_X, mask_X, votes_X in zip(x_BD, *found, strict=True):
        ours_X = dict(zip(ids_X[mask_X].tolist(), votes_X[mask_X].tolist(), strict=True))
        expected = votes_by_hand(part, rows, x_D, 5, 0.1, most=15)
        assert ours_X == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("starts", [None, range(0, L, 3)], ids=["flat", "clustered"])
def test_documents_without_labels_vote_for_nothing(starts):
    """The nearest has none, or no kept document has any: the ranking is the plain one."""
    ours, _ = model(starts, nearest=1)
    part = ours.shortlister
    documents, _ = tiny.batch(TEXTS, L)
    part.values_G, part.offsets = part.values_G[:1], torch.tensor([*[0] * N, 1])
    part.bank_ND[-1] = 0  # of cosine 0: never the nearest
    voted = ours.rank(documents, 5)
    part.values_G, part.offsets = part.values_G[:0], torch.zeros_like(part.offsets)
    silent = ours.rank(documents, 5)
    ours.shortlister = part.inner
    scores_Bk, ids_Bk = ours.rank(documents, 5)
    for found_scores, found_ids in (voted, silent):
        torch.testing.assert_close(found_scores, scores_Bk)
        assert torch.equal(found_ids, ids_Bk)


SETTINGS = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0.2,
    "device": "cpu",
    "max_steps": 12,
    "lr": 1e-3,
    "precision": "float32",
    "plugins": ["neighbours"],
    "cluster_size": 3,
    "shortlist": 2,
    "label_width": 8,
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def trainer(folder, encoder, corpus=None, **settings):
    settings = {**SETTINGS, "encoder": encoder, **settings}
    return training.prepare(corpus or tiny.learnable_corpus(), settings, folder)


def test_what_is_kept_is_of_the_training_documents(tmp_path, encoder):
    corpus = tiny.learnable_corpus()
    ours = trainer(tmp_path / "run", encoder, clustered=False)
    ours.fit()
    part, apart = ours.model.shortlister, held_out(corpus, ours.config)
    kept = np.flatnonzero(~apart)
    documents, _ = tiny.batch([corpus.train.texts[row] for row in kept])
    with torch.no_grad():
        x_ND = ours.model.eval().vectors(documents).rank_BD.double()
    u_ND = torch.nn.functional.normalize(x_ND - x_ND.mean(0), dim=1)
    torch.testing.assert_close(part.centre_D.double(), x_ND.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part.bank_ND.double(), u_ND, rtol=2e-3, atol=1e-3)
    labels = corpus.train.labels.take(kept)
    assert part.values_G.tolist() == labels.values.tolist()
    assert part.offsets.tolist() == labels.offsets.tolist()


def test_of_more_than_most_documents_a_random_sample_is_kept(tmp_path, encoder, capsys):
    """The sampled documents' own vectors and labels, the same of one seed, and it is said."""
    whole = trainer(tmp_path / "whole", encoder, clustered=False, max_steps=1)
    whole.fit()
    ours = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = {"clustered": False, "max_steps": 1, "seed": seed, "neighbours": {"most": 20}}
        ours.append(trainer(tmp_path / name, encoder, **settings))
        ours[-1].fit()
    total = len(whole.data.train_rows)
    said = " ".join(capsys.readouterr().err.split())
    assert f"neighbours.most=20: of {total} training documents so many will be kept, at random" in said
    assert f"vectors and labels of 20 of {total} training documents are kept" in said
    a, b, c = (some.model.shortlister for some in ours)
    assert torch.equal(a.bank_ND, b.bank_ND) and not torch.equal(a.bank_ND, c.bank_ND)
    full = whole.model.shortlister
    raw_ND = full.bank_ND.double()  # the same vectors, around another centre: told by their labels
    rows = {tuple(full.values_G[i:j].tolist()) for i, j in zip(full.offsets, full.offsets[1:])}
    found = [tuple(a.values_G[i:j].tolist()) for i, j in zip(a.offsets, a.offsets[1:])]
    assert len(found) == len(a.bank_ND) == 20 < len(raw_ND) and set(found) <= rows


@pytest.mark.parametrize("clustered", [False, True])
def test_the_numbers_are_the_best_of_the_grid_by_the_models_own_ranking(tmp_path, encoder, clustered):
    """Each point of the grid through the model, as a prediction is."""
    ours = trainer(tmp_path / "run", encoder, clustered=clustered, start="prior")  # so that votes help
    ours.fit()
    part, chosen, model = ours.model.shortlister, ours.model.shortlister.fitted, ours.model
    found = {}
    for numbers in [(0.0, *DEFAULTS[1:]), *product(WEIGHTS, TEMPERATURES, FLOORS)]:
        part.fitted = torch.tensor(numbers)
        metrics = ours.scores(model)
        found[tuple(part.fitted.tolist())] = (metrics["nDCG@5"], metrics["P@5"])
    assert found[tuple(chosen.tolist())] == pytest.approx(max(found.values()))
    assert max(found.values()) > next(iter(found.values()))  # of weight 0
    line = losses_of(tmp_path / "run")[-1]
    assert line["trained/validation/nDCG@5"] == pytest.approx(max(found.values())[0], abs=1e-3)


def test_without_held_out_documents_the_numbers_are_the_defaults(tmp_path, encoder, capsys):
    ours = trainer(tmp_path / "run", encoder, validation=0, max_steps=2)
    ours.fit()
    torch.testing.assert_close(ours.model.shortlister.fitted, torch.tensor(DEFAULTS))
    said = " ".join(capsys.readouterr().err.split())
    assert "neighbours: no held-out document has labels to fit its numbers to: weight 0.5" in said


@pytest.mark.parametrize("clustered", [False, True])
def test_opened_in_a_new_process_it_predicts_the_same(tmp_path, encoder, clustered):
    settings = {**SETTINGS, "encoder": encoder, "clustered": clustered}
    trained = training.train(tiny.learnable_corpus(), settings, tmp_path / "run")
    texts = tiny.texts(20, seed=1)
    here = xmlkit.load(tmp_path / "run").predict(texts)
    assert trained.model.predict(texts) == here
    expected = [[[p.label, p.score.hex()] for p in found] for found in here]
    assert tiny.predicted_in_a_new_process(tmp_path / "run", texts) == expected


def test_a_start_lends_neither_documents_nor_numbers(tmp_path, encoder):
    start = trainer(tmp_path / "start", encoder)
    start.fit()
    settings = {**SETTINGS, "encoder": encoder}
    corpus = tiny.learnable_corpus()
    ours = training.prepare(corpus, settings, tmp_path / "next", tmp_path / "start").model.shortlister
    assert ours.bank_ND.shape == (0, ours.bank_ND.shape[1]) and not len(ours.values_G)
    torch.testing.assert_close(ours.fitted, torch.tensor(DEFAULTS))
    assert load_file(tmp_path / "start" / "model.safetensors")["shortlist/neighbours/bank_ND"].numel()


def test_training_is_that_of_the_plain_model(tmp_path, encoder):
    """Not a draw, not a number differs before the last step is done."""
    for name, plugins in (("ours", ["neighbours"]), ("plain", [])):
        trainer(tmp_path / name, encoder, plugins=plugins, log_every=1).fit()
    ours, plain = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "plain"))
    assert all(torch.equal(tensor, ours[name]) for name, tensor in plain.items())
    assert losses_of(tmp_path / "ours")[:-1] == losses_of(tmp_path / "plain")


def test_a_corpus_at_the_edge(tmp_path, encoder):
    """One document, so that the mean is its vector; and documents without labels alone."""
    one = xmlkit.Corpus.of(["w1 w2"], [["a"]])
    none = xmlkit.Corpus.of([*["w1", "w2"] * 10, "w3"], [*[[]] * 20, ["a"]])
    for name, corpus in (("one", one), ("none", none)):
        trainer(tmp_path / name, encoder, corpus, max_steps=1).fit()
        assert xmlkit.load(tmp_path / name).predict(["w3", ""])[0][0].label == "a"
