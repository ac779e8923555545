"""Random negatives: never true, never twice, each as likely as any other, in training alone."""

from __future__ import annotations

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from xmlkit_plugins.astec_negatives import draw_outside

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
STARTS = range(0, 90, 3)


def both(unit, **options):
    """The same model without and with the plugin."""
    settings = {"starts": STARTS, "shortlist": 4}
    plain = tiny.model(90, **settings)
    return plain, tiny.model(
        90, plugins=["astec-negatives"], options={"astec-negatives": {"unit": unit, **options}}, **settings
    )


def candidates(model, seed=0):
    documents, training = tiny.batch(TEXTS, 90, seed=2)
    training.rng.manual_seed(seed)
    return model.shortlister(model.vectors(documents), documents, training), training


@given(
    known=st.lists(st.sets(st.integers(0, 19), max_size=20), min_size=1, max_size=4),
    count=st.integers(1, 25),
    seed=st.integers(0, 99),
)
def test_what_is_drawn_is_new_and_distinct(known, count, seed):
    widest = max(1, *map(len, known))
    # Padding repeats an id of the document's own, or stands at the end of all ids where it has none.
    rows = [(sorted(row) or [0]) + [next(iter(row), 0)] * (widest - max(len(row), 1)) for row in known]
    ids, mask = draw_outside(torch.tensor(rows), 20, count, torch.Generator().manual_seed(seed))
    for row, drawn, real in zip(rows, ids, mask, strict=True):
        found = drawn[real].tolist()
        free = set(range(20)) - set(row)
        assert len(found) == len(set(found)) == min(count, len(free))
        assert set(found) <= free


@pytest.mark.parametrize("count", [1, 3, 6])
def test_each_free_label_is_as_likely_as_any_other(count):
    """7 of 10 are free; over 20,000 documents the share of each is count / 7, within five standard errors."""
    known = torch.tensor([[4, 0, 8, 4]]).expand(20_000, -1)
    ids, mask = draw_outside(known, 10, count, torch.Generator().manual_seed(1))
    assert mask.all()
    shares = torch.bincount(ids.flatten(), minlength=10) / len(known)
    expected = torch.tensor([0.0 if i in (0, 4, 8) else count / 7 for i in range(10)])
    error = (count / 7 * (1 - count / 7) / len(known)) ** 0.5
    assert (shares - expected).abs().max() < 5 * error


@pytest.mark.parametrize(
    ("unit", "options", "drawn"),
    [
        ("labels", {"count": 7}, 7),
        ("labels", {"fraction": 0.05}, 5),  # of 90, rounded up
        ("clusters", {"count": 3}, 9),
        ("clusters", {}, 3),  # 1% of 30, rounded up
    ],
)
def test_what_is_added_to_the_shortlist(unit, options, drawn):
    plain, model = both(unit, **options)
    before, training = candidates(plain)
    after, _ = candidates(model)
    for i in range(len(TEXTS)):
        old = before.ids_BC[i][before.mask_BC[i]].tolist()
        new = after.ids_BC[i][after.mask_BC[i]].tolist()
        assert new[: len(old)] == old and len(new) == len(set(new)) == len(old) + drawn
        start, end = training.labels.offsets[i : i + 2].tolist()
        true = set(training.labels.values_V[start:end].tolist())
        assert not set(new[len(old) :]) & true
        assert set(after.ids_BC[i][after.truth_BC[i]].tolist()) == true
        if unit == "clusters":
            assert all(label - label % 3 + k in new for label in new for k in range(3))


@pytest.mark.parametrize("unit", ["labels", "clusters"])
def test_documents_draw_apart_and_the_generator_decides(unit):
    _, model = both(unit, count=5)
    first, _ = candidates(model, seed=1)
    again, _ = candidates(model, seed=1)
    other, _ = candidates(model, seed=2)
    width = first.ids_BC.shape[1] - 12
    assert torch.equal(first.ids_BC, again.ids_BC) and not torch.equal(first.ids_BC, other.ids_BC)
    drawn = {tuple(sorted(row.tolist())) for row in first.ids_BC[:, -width:]}
    assert len(drawn) == len(TEXTS)


def test_more_than_there_is():
    for unit in ("labels", "clusters"):
        _, model = both(unit, count=1000)
        after, _ = candidates(model)
        assert after.mask_BC.sum(1).tolist() == [90] * 4


@pytest.mark.parametrize("unit", ["labels", "clusters"])
def test_nothing_is_added_at_prediction(unit):
    plain, model = both(unit)
    documents, _ = tiny.batch(TEXTS)
    for a, b in zip(plain.eval().rank(documents, 9), model.eval().rank(documents, 9), strict=True):
        assert torch.equal(a, b)


def test_the_losses_of_the_other_candidates_stay():
    """The ranker's loss grows by exactly the drawn labels' own."""
    plain, model = both("labels", count=7)
    documents, training = tiny.batch(TEXTS, 90, seed=2)
    z = plain.head.biases.weight[0].item()
    more = 7 * torch.nn.functional.softplus(torch.tensor(z))
    losses = [float(m.eval()(documents, training).losses["ranker"].detach()) for m in (plain, model)]
    assert losses[1] - losses[0] == pytest.approx(float(more), rel=1e-4)


def test_without_a_shortlist_it_says_that_it_has_nothing_to_do(capsys):
    flat = tiny.model(plugins=["astec-negatives"])
    assert flat.shortlister.every_label
    assert "astec-negatives: nothing to do, since every label is scored" in capsys.readouterr().err
