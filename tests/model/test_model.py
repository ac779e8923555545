"""The losses, the boundary, ranking, and what a weights file holds."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
import torch.nn.functional as F

from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model import head as head_module
from xmlkit.model import model as model_module
from xmlkit.model.inputs import ragged_labels
from xmlkit.model.model import cut
from xmlkit.model.parts import seeded
from xmlkit.training.rows import row_gradient, row_parameters, unite_rows

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]


def dense_truth(training, num_labels):
    truth = torch.zeros(len(training.labels), num_labels)
    for row in range(len(training.labels)):
        start, end = training.labels.offsets[row : row + 2].tolist()
        truth[row, training.labels.values_V[start:end]] = 1.0
    return truth


def randomised(model, seed=0):
    torch.manual_seed(seed)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_is_binary_cross_entropy_over_all_labels(pooling, reduction):
    model = randomised(tiny.model(pooling=pooling, reduction=reduction))
    documents, training = tiny.batch(TEXTS)
    states = model.encoder(documents)
    if pooling == "first":
        x = torch.cat([layer[:, 0] for layer in states.layers], 1)
    else:
        x = torch.stack([s[m].mean(0) for s, m in zip(states.layers[-1], documents.mask_BT, strict=True)])
    z = x @ model.head.rows.weight.T + model.head.biases.weight[:, 0]
    expected = F.binary_cross_entropy_with_logits(z, dense_truth(training, 23), reduction=reduction)
    if reduction == "sum":
        expected = expected / len(TEXTS)
    torch.testing.assert_close(model(documents, training).losses["ranker"], expected)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_of_a_shortlist_is_that_over_its_candidates(example_plugins, reduction):
    """In-batch candidates; in two micro-batches the same loss, weighed by documents."""
    model = randomised(tiny.model(plugins=["batch-labels"], reduction=reduction))
    documents, training = tiny.batch(TEXTS, seed=1)
    ids = training.labels.values_V.unique()
    z = model.head.scores_BU(model.vectors(documents).rank_BD, ids)
    truth = dense_truth(training, 23)[:, ids]
    expected = F.binary_cross_entropy_with_logits(z, truth, reduction="none")
    expected = expected.sum(1).mean() if reduction == "sum" else expected.mean(1).mean()
    torch.testing.assert_close(model(documents, training).losses["ranker"], expected)


def test_backward_at_the_boundary_is_plain_backward():
    """Float64: the gradient of every parameter is that of differentiating the loss in one go."""
    model = randomised(tiny.model()).double()
    documents, training = tiny.batch(TEXTS)
    model.backward(model(documents, training))
    unite_rows(row_parameters(model))
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for name in ("rows", "biases"):
        weight = getattr(model.head, name).weight
        ours[f"head.{name}.weight"] = row_gradient(weight).add_to(torch.zeros_like(weight), 1.0)
    model.zero_grad()
    z = model.vectors(documents).rank_BD @ model.head.rows.weight.T + model.head.biases.weight[:, 0]
    truth = dense_truth(training, 23).double()
    (F.binary_cross_entropy_with_logits(z, truth, reduction="sum") / 4).backward()
    theirs = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys() and len(ours) > 30
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-9, atol=1e-13)


def test_biases_start_at_the_log_odds_and_rows_at_zero():
    labels = ragged_labels(Ragged.of([[0, 3], [3], []]), 5)  # 3 of 15 pairs are true
    head = tiny.model(5, train_labels=labels).head
    assert torch.all(head.rows.weight == 0)
    assert head.biases.weight[:, 0].tolist() == pytest.approx([math.log(0.2 / 0.8)] * 5)
    assert tiny.model(5, train_labels=labels, start="random").head.rows.weight.abs().min() > 0


def test_a_corpus_without_labels_and_one_with_all_have_finite_biases():
    for rows in ([[], []], [[0, 1, 2], [0, 1, 2]]):
        bias = tiny.model(3, train_labels=ragged_labels(Ragged.of(rows), 3)).head.biases.weight
        assert torch.isfinite(bias).all()


def test_parts_start_equal_whatever_stands_around_them(example_plugins):
    plain = tiny.model(start="random")
    wrapped = tiny.model(start="random", plugins=["layer-gain", "cosine", "label-smoothing"])
    for name, tensor in plain.weights().items():
        assert torch.equal(tensor, wrapped.weights()[name]), name


def test_ranking_is_that_of_all_scores_whatever_the_run_of_labels(monkeypatch):
    model = randomised(tiny.model())
    documents, _ = tiny.batch(TEXTS)
    with torch.no_grad():
        z = model.head.scores_BU(model.vectors(documents).rank_BD, slice(0, 23))
    expected = z.sigmoid().sort(1, descending=True)
    for at_once in (1, 7, 23, 100):
        monkeypatch.setattr(head_module, "LABELS_AT_ONCE", at_once)
        scores, ids = model.rank(documents, 6)
        torch.testing.assert_close(scores, expected.values[:, :6])
        assert torch.equal(ids, expected.indices[:, :6])
    scores, ids = model.rank(documents, 40)
    assert ids.shape == (4, 23) and sorted(ids[0].tolist()) == list(range(23))


def test_padding_and_company_change_nothing():
    model = randomised(tiny.model())
    documents, _ = tiny.batch(TEXTS)
    scores, ids = model.rank(documents, 5)
    for row in range(len(TEXTS)):
        alone, _ = tiny.batch([TEXTS[row]])
        alone_scores, alone_ids = model.rank(alone, 5)
        torch.testing.assert_close(alone_scores[0], scores[row], rtol=1e-5, atol=1e-6)
        assert torch.equal(alone_ids[0], ids[row])


def test_a_training_step_never_asks_the_device():
    model = tiny.model().train().to("meta")
    documents, training = tiny.batch(TEXTS)
    meta = torch.device("meta")
    output = model(documents.to(meta), type(training)(training.labels.to(meta), training.rng))
    model.backward(output, 0.5)
    assert model.head.rows.weight.row_products and model.head.biases.weight.grad is not None


def test_cut_parts_only_what_differs():
    a, b = torch.ones(2, 3, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    same, leaf, whole = cut(model_module.Vectors(a, a))
    assert same.recall_BD is same.rank_BD is leaf and whole is a
    parted, leaf, whole = cut(model_module.Vectors(a, b))
    (parted.recall_BD.sum() + 2 * parted.rank_BD.sum()).backward()
    whole.backward(leaf.grad)
    assert a.grad.tolist() == [[1.0] * 3] * 2 and b.grad.tolist() == [[2.0] * 4] * 2


def test_seeded_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(0, "head"):
        first = torch.rand(1)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0, "loss"):
        assert torch.rand(1) != first


def test_names_in_the_file_are_door_plugin_parameter(example_plugins):
    plain = tiny.model().weights()
    names = {name for name in plain if not name.startswith("encoder/")}
    assert names == {"head/lightxml/rows.weight", "head/lightxml/biases.weight"}
    one_order = tiny.model(plugins=["layer-gain", "text-length"]).weights()
    other_order = tiny.model(plugins=["text-length", "layer-gain"]).weights()
    assert one_order.keys() == other_order.keys() == plain.keys() | {"representation/layer-gain/gain_N"}


def test_weights_go_back_in_and_misfits_are_refused():
    model, other = randomised(tiny.model()), tiny.model()
    other.load_weights({name: tensor.clone() for name, tensor in model.weights().items()})
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    saved = dict(model.weights())
    bias = saved.pop("head/lightxml/biases.weight")
    with pytest.raises(UserError, match=r"lacks 'head/lightxml/biases\.weight'"):
        other.load_weights(saved)
    with pytest.raises(UserError, match=r"is \(22, 1\), expected \(23, 1\)"):
        other.load_weights({**saved, "head/lightxml/biases.weight": bias[1:]})
