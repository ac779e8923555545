"""The losses, the boundary, ranking, and what a weights file holds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from xmlkit.data.ragged import Ragged
from xmlkit.doors import Shortlister
from xmlkit.errors import UserError
from xmlkit.model import head as head_module
from xmlkit.model import model as model_module
from xmlkit.model.inputs import ragged_labels
from xmlkit.model.model import cut
from xmlkit.model.parts import seeded
from xmlkit.passing import Shortlist
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


def with_targets(training, change=None):
    """The same labels, true in part."""
    labels = training.labels
    targets_V = torch.linspace(0.1, 1.0, len(labels.values_V)) if change is None else change
    return replace(training, labels=replace(labels, targets_V=targets_V))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("starts", [None, [0, 9, 17]])
def test_labels_that_are_true_in_part_are_cross_entropy_against_their_targets(reduction, starts):
    """Every label, or all clusters in the shortlist: t log p + (1 - t) log(1 - p) over all pairs."""
    model = randomised(tiny.model(reduction=reduction, starts=starts))
    documents, training = tiny.batch(TEXTS)
    soft = with_targets(training)
    truth = torch.zeros(4, 23)
    truth[soft.labels.documents_V, soft.labels.values_V] = soft.labels.targets_V
    vectors = model.vectors(documents)
    found = model(documents, soft).losses
    scale = 4 if reduction == "sum" else 1
    z = model.head.scores_BU(vectors.rank_BD, slice(0, 23))
    expected = F.binary_cross_entropy_with_logits(z, truth, reduction=reduction) / scale
    torch.testing.assert_close(found["ranker"], expected)
    if starts:
        z = model.shortlister.cluster_logits_BK(vectors.recall_BD)
        by_cluster = torch.stack([truth[:, a:b].amax(1) for a, b in ((0, 9), (9, 17), (17, 23))], 1)
        expected = F.binary_cross_entropy_with_logits(z, by_cluster, reduction=reduction) / scale
        torch.testing.assert_close(found["generator"], expected)


@pytest.mark.parametrize("starts", [None, [0, 9, 17]])
def test_targets_of_one_are_labels_without_targets(starts):
    """To the bit, with their gradients."""
    model = randomised(tiny.model(starts=starts, shortlist=2))
    documents, training = tiny.batch(TEXTS)
    found = []
    for given in (training, with_targets(training, torch.ones(len(training.labels.values_V)))):
        output = model(documents, given)
        model.backward(output)
        unite_rows(row_parameters(model))
        found.append([*output.losses.values(), model.encoder.backbone.embeddings.word_embeddings.weight.grad])
        model.zero_grad(set_to_none=True)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


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
    training = replace(training, labels=training.labels.to(meta), rows_B=training.rows_B.to(meta))
    output = model(documents.to(meta), training)
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


class Voting(Shortlister):
    """Candidates (B, 3) of the test's, with its votes."""

    adds_votes = True

    def forward(self, vectors, documents, training):
        short = None if self.every_label else self.inner(vectors, documents, training)
        ids_BC, mask_BC, votes_BC = self.given
        if short is None:
            return Shortlist(vectors.rank_BD, ids_BC, mask_BC, torch.ones_like(votes_BC), votes_BC=votes_BC)
        return short.extended(ids_BC, mask_BC, training, torch.full_like(votes_BC, 0.5), votes_BC)


def voting(starts, seed):
    model = randomised(tiny.model(30, starts=starts, shortlist=3, label_width=8)).eval()
    model.shortlister = Voting(model.shortlister)
    rng = torch.Generator().manual_seed(seed)
    ids_BC = torch.stack([torch.randperm(30, generator=rng)[:6] for _ in TEXTS])
    ids_BC[:, 4] = ids_BC[:, 0]
    mask_BC = torch.tensor([[True, True, True, True, False, True]] * len(TEXTS))
    model.shortlister.given = ids_BC, mask_BC, 3 * torch.rand(len(TEXTS), 6, generator=rng)
    return model


@pytest.mark.parametrize("k", [1, 5, 30, 40])
@pytest.mark.parametrize("seed", range(3))
def test_with_votes_for_every_label_the_best_k_are_those_of_all_sums(seed, k, monkeypatch):
    """A dense sum in float64, however few labels are looked at in one go."""
    model = voting(None, seed)
    documents, _ = tiny.batch(TEXTS, 30)
    ids_BC, mask_BC, votes_BC = model.shortlister.given
    with torch.no_grad():
        z_BL = model.head.scores_BU(model.vectors(documents).rank_BD, slice(0, 30)).double()
    expected_BL = z_BL.scatter_add(1, ids_BC, (votes_BC * mask_BC).double()).sigmoid()
    best = expected_BL.topk(min(k, 30), 1)
    for at_once in (7, 65_536):
        monkeypatch.setattr(head_module, "LABELS_AT_ONCE", at_once)
        scores_Bk, ids_Bk = model.rank(documents, k)
        torch.testing.assert_close(scores_Bk.double(), best.values, rtol=1e-5, atol=1e-6)
        assert torch.equal(ids_Bk, best.indices)


@pytest.mark.parametrize("seed", range(3))
def test_with_votes_a_candidates_score_is_of_the_sum_times_its_prior(seed):
    model = voting(range(0, 30, 3), seed)
    documents, _ = tiny.batch(TEXTS, 30)
    ids_BC, mask_BC, votes_BC = (found.tolist() for found in model.shortlister.given)
    with torch.no_grad():
        vectors = model.vectors(documents)
        plain = model.shortlister.inner(vectors, documents, None)
        z_BL = model.head.scores_BU(vectors.rank_BD, slice(0, 30)).double()
    scores_Bk, found_Bk = model.rank(documents, 30)
    for row in range(len(TEXTS)):
        prior = dict(zip(plain.ids_BC[row].tolist(), plain.prior_BC[row].tolist(), strict=True))
        votes = {
            label: vote
            for label, is_real, vote in zip(ids_BC[row], mask_BC[row], votes_BC[row], strict=True)
            if is_real
        }
        expected = {
            label: float((z_BL[row, label] + votes.get(label, 0)).sigmoid()) * prior.get(label, 0.5)
            for label in prior.keys() | votes.keys()
        }
        ours = dict(zip(found_Bk[row].tolist(), scores_Bk[row].tolist(), strict=True))
        ours.pop(-1, None)
        assert ours == pytest.approx(expected, rel=1e-5)


class Banked(Shortlister):
    """A buffer whose size a run decides, and one that it counts."""

    sized = ("bank_N",)

    def __init__(self, inner, numbers=()):
        super().__init__(inner)
        self.plugin = "banked"
        self.register_buffer("bank_N", torch.tensor(numbers, dtype=torch.float16))


def banked(*numbers):
    model = tiny.model()
    model.shortlister = Banked(model.shortlister, numbers)
    return model


def test_a_sized_buffer_is_the_saved_tensor_itself_and_stays_in_its_file(tmp_path):
    """No copy is made of what a file maps, be it megabytes."""
    path = tmp_path / "weights.safetensors"
    saved = {**banked().weights(), "shortlist/banked/bank_N": torch.arange(4_000_000).half()}
    save_file(saved, path)
    model, found = banked(), load_file(path)
    model.load_weights(found)
    bank_N = model.shortlister.bank_N
    assert bank_N.data_ptr() == found["shortlist/banked/bank_N"].data_ptr()
    assert torch.equal(bank_N, saved["shortlist/banked/bank_N"])
    place = next(
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if int(line.split("-")[0], 16) <= bank_N.data_ptr() < int(line.split("-")[1].split()[0], 16)
    )
    assert place.endswith("weights.safetensors")


def test_a_sized_buffer_keeps_its_number_type():
    saved = {**banked().weights(), "shortlist/banked/bank_N": torch.zeros(3)}
    with pytest.raises(
        UserError, match=r"'shortlist/banked/bank_N' is of torch.float32, expected torch.float16"
    ):
        banked().load_weights(saved)


def test_another_runs_sized_buffer_is_not_adopted():
    ours, theirs = banked(1.0), banked(2.0, 3.0)
    ours.adopt_weights(theirs.weights())
    assert ours.shortlister.bank_N.tolist() == [1.0]
