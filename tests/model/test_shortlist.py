"""The clustered path: candidates, truth and losses against slow references, and its edges."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import tiny
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.hooks import BuildContext
from xmlkit.model.inputs import ragged_labels
from xmlkit.model.shortlist import TopClusters
from xmlkit.passing import Training, Vectors
from xmlkit.tables import ClusterTable, RowTable
from xmlkit.training.optim import clip_gradients
from xmlkit.training.row_optimizers import RowAdamW
from xmlkit.training.rows import row_parameters, unite_rows

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]


def build(starts, num_labels, shortlist=2, labels=None, order=None, **other):
    sizes = {"num_layers": 1, "hidden": 4, "cluster_width": None, "label_width": 5, "pooling": "mean"}
    settings = {"reduction": "sum", "dropout": 0.0, "start": "random", "cluster_power": 1.0}
    clusters = ClusterTable(torch.tensor([*starts, num_labels]), order and torch.tensor(order))
    fixed = {"num_labels": num_labels, "clusters": clusters, "shortlist": shortlist, "train_labels": labels}
    return BuildContext(**{**sizes, **settings, **fixed, **other})


def training_on(rows, num_labels):
    return Training(ragged_labels(Ragged.of(rows), num_labels), torch.Generator(), torch.arange(len(rows)))


def slow_candidates(logits, true, members, top):
    """Of one document: clusters with a true label first, then by score; all their labels, all true ones."""
    holds = [any(label in cluster for label in true) for cluster in members]
    order = sorted(range(len(members)), key=lambda k: (-holds[k], -logits[k]))
    chosen = order[:top]
    return chosen, {label for k in chosen for label in members[k]} | set(true), holds


@settings(max_examples=60)
@given(st.data())
def test_candidates_truth_and_loss_are_those_of_the_slow_reference(data):
    num_clusters = data.draw(st.integers(1, 6))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=num_clusters, max_size=num_clusters))
    starts = [sum(sizes[:k]) for k in range(num_clusters + 1)]
    num_labels, top = starts[-1], data.draw(st.integers(1, 7))
    order = data.draw(st.permutations(range(num_labels)) | st.none())
    members = [(order or range(num_labels))[a:b] for a, b in pairwise(starts)]
    rows = data.draw(st.lists(st.sets(st.integers(0, num_labels - 1)), min_size=1, max_size=4))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    part = TopClusters(build(starts[:-1], num_labels, top, order=order), 3)
    x_BD = torch.randn(len(rows), 3)
    short = part(Vectors(x_BD, x_BD), None, training_on([sorted(row) for row in rows], num_labels))
    z_BK = (x_BD @ part.rows.weight.T + part.biases.weight[:, 0]).detach()
    loss = 0.0
    for i, true in enumerate(rows):
        chosen, candidates, holds = slow_candidates(z_BK[i].tolist(), true, members, top)
        ids, mask = short.ids_BC[i], short.mask_BC[i]
        assert ids[mask].sort().values.tolist() == sorted(candidates)  # each once
        assert set(ids[mask & short.truth_BC[i]].tolist()) == true
        assert not (short.truth_BC[i] & ~mask).any()
        assert set(ids.tolist()) <= candidates  # padding repeats the document's own
        assert set(short.clusters_BS[i].tolist()) == set(chosen)
        loss += sum(math.log1p(math.exp(-z if h else z)) for z, h in zip(z_BK[i].tolist(), holds))
    assert short.losses["generator"].item() == pytest.approx(loss / len(rows), rel=1e-4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_table_of_the_cluster_of_each_label_is_the_same(cluster_L):
    numbers = sorted(set(cluster_L))
    cluster_L = [numbers.index(k) for k in cluster_L]  # none is empty
    table = ClusterTable.of_labels(torch.tensor(cluster_L))
    assert table.of(torch.arange(len(cluster_L))).tolist() == cluster_L
    ids, mask = table.labels_of(torch.arange(len(numbers))[:, None])
    members = [
        [label for label, k in enumerate(cluster_L) if k == cluster] for cluster in range(len(numbers))
    ]
    assert [ids[k][mask[k]].tolist() for k in range(len(numbers))] == members
    assert all(set(ids[k].tolist()) == set(members[k]) for k in range(len(numbers)))
    assert table.largest == ids.shape[1] == max(map(len, members))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_at_prediction_the_likeliest_clusters_and_their_probability(power):
    part = TopClusters(build([0, 3, 5], 9, cluster_power=power), 3)
    x_BD = torch.randn(2, 3)
    short = part(Vectors(x_BD, x_BD), None, None)
    z_BK = part.cluster_logits_BK(x_BD)
    assert short.truth_BC is None and not short.losses and short.ids_BC.shape == (2, 8)
    for i in range(2):
        best = z_BK[i].sort(descending=True).indices[:2]
        assert short.clusters_BS[i].tolist() == best.tolist()
        for label, real, prior in zip(short.ids_BC[i], short.mask_BC[i], short.prior_BC[i], strict=True):
            if real:
                probability = z_BK[i].sigmoid()[[0, 0, 0, 1, 1, 2, 2, 2, 2][label]]
                torch.testing.assert_close(prior, probability**power)


def test_true_clusters_come_first_however_sure_the_model_is_of_others():
    part = TopClusters(build([0, 1, 2], 4, shortlist=1), 3)
    torch.nn.init.zeros_(part.rows.weight)
    x_BD = torch.zeros(1, 3)
    for logits in ([-18.0, -18.0, 18.0], [-300.0, 5.0, 300.0]):
        with torch.no_grad():
            part.biases.weight[:, 0] = torch.tensor(logits)
        short = part(Vectors(x_BD, x_BD), None, training_on([[0]], 4))
        assert short.clusters_BS.tolist() == [[0]] and short.truth_BC.any()
    assert part(Vectors(x_BD, x_BD), None, None).clusters_BS.tolist() == [[2]]


def test_a_document_with_sixty_labels_keeps_them_all():
    """More true clusters than the shortlist holds: LightXML's code would train 40 of them as negatives."""
    model = tiny.model(90, starts=range(0, 90, 3), shortlist=4, dropout=0.0).train()
    documents, _ = tiny.batch(TEXTS)
    true = sorted([*range(0, 90, 3), *range(1, 90, 3)])
    training = training_on([true, [5], [], [0, 89]], 90)
    short = model.shortlister(model.vectors(documents), documents, training)
    found = [set(i[t].tolist()) for i, t in zip(short.ids_BC, short.truth_BC, strict=True)]
    assert found == [set(true), {5}, set(), {0, 89}]
    assert short.mask_BC.sum(1).tolist() == [12 + 60 - 8, 12, 12, 12]
    model.backward(model(documents, training))


def test_fewer_clusters_than_the_shortlist_holds_score_every_label():
    model = tiny.model(9, starts=[0, 4, 8], shortlist=16)
    documents, training = tiny.batch(TEXTS, 9)
    scores, ids = model.rank(documents, 20)
    assert [sorted(i for i in row if i >= 0) for row in ids.tolist()] == [list(range(9))] * 4
    assert torch.isfinite(torch.stack(list(model(documents, training).losses.values()))).all()
    assert (scores[ids < 0] == 0).all()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_losses_of_the_whole_model(reduction):
    """With all clusters in the shortlist, Ld is the cross-entropy of all labels, Lg that of clusters."""
    model = tiny.model(9, starts=[0, 4, 8], reduction=reduction, start="random").eval()
    documents, training = tiny.batch(TEXTS, 9, seed=3)
    x = model.vectors(documents).rank_BD
    z = x @ model.head.project.weight.T + model.head.project.bias
    z = z @ model.head.rows.weight.T
    truth = torch.zeros(4, 9)
    truth[training.labels.documents_V, training.labels.values_V] = 1.0
    by_cluster = torch.stack([truth[:, a:b].amax(1) for a, b in ((0, 4), (4, 8), (8, 9))], 1)
    losses = model(documents, training).losses
    scale = 4 if reduction == "sum" else 1
    expected = {
        "generator": F.binary_cross_entropy_with_logits(
            model.shortlister.cluster_logits_BK(x), by_cluster, reduction=reduction
        ),
        "ranker": F.binary_cross_entropy_with_logits(z, truth, reduction=reduction),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value / scale)


@pytest.mark.parametrize(("settings", "power"), [({}, 0.5), ({"recipe": "lightxml"}, 1.0)])
def test_the_score_is_that_of_the_label_times_that_of_its_cluster(settings, power):
    model = tiny.model(9, starts=[0, 4, 8], start="random", **settings).eval()
    documents, _ = tiny.batch(TEXTS)
    scores, ids = model.rank(documents, 9)
    x = model.vectors(documents).rank_BD
    cluster = model.shortlister.cluster_logits_BK(x).sigmoid()[:, [0] * 4 + [1] * 4 + [2]] ** power
    whole = (model.head.scores_BU(x, slice(0, 9)).sigmoid() * cluster).detach()
    torch.testing.assert_close(scores, whole.sort(1, descending=True).values)
    torch.testing.assert_close(scores, whole.gather(1, ids))


def test_biases_start_at_the_log_odds_and_rows_at_zero():
    labels = ragged_labels(Ragged.of([[0, 3], [3, 4], [8]]), 9)
    model = tiny.model(9, starts=[0, 4, 8], shortlist=2, train_labels=labels)
    # Clusters: 2 in the first document (0, 3 share one; so 1), 2 in the second, 1 in the third: 4 of 9.
    assert model.shortlister.biases.weight[:, 0].tolist() == pytest.approx([math.log(4 / 5)] * 3)
    # A document has 5 true labels / 3 among 2 clusters of 3 labels on average: 5 of 18 candidates.
    assert model.head.biases.weight.flatten().tolist() == pytest.approx([math.log(5 / 13)] * 9)
    assert not model.head.rows.weight.any() and not model.shortlister.rows.weight.any()
    turn_ED = model.head.project.weight
    torch.testing.assert_close(turn_ED.T @ turn_ED, torch.eye(96))  # 384 wide: lengths and angles stay


def test_where_labels_are_as_wide_as_documents_nothing_is_projected():
    head = tiny.model(9, starts=[0, 4], label_width=96).head
    x_BD = torch.randn(2, 96)
    assert head.query_BE(x_BD) is x_BD


def test_lightxmls_rows_are_xavier_and_have_no_biases():
    head = tiny.model(9, starts=[0, 4], start="random", label_width=6).head
    assert head.biases is None and head.rows.weight.abs().max() <= math.sqrt(6 / (9 + 6))
    assert head.rows.weight.std() > 0.2


def test_a_narrower_space_for_clusters():
    part = tiny.model(9, starts=[0, 4], cluster_width=7).shortlister
    assert part.rows.weight.shape == (2, 7) and part.narrow.weight.shape == (7, 96)
    torch.testing.assert_close(part.narrow.weight @ part.narrow.weight.T, torch.eye(7))
    torch.nn.init.normal_(part.rows.weight)
    x_BD = torch.randn(3, 96)
    expected = F.linear(part.narrow(x_BD), part.rows.weight, part.biases.weight[:, 0])
    torch.testing.assert_close(part.cluster_logits_BK(x_BD), expected)


@pytest.mark.parametrize(
    "plugins", [(), ("lexical",), ("layer-gain", "text-length", "cosine", "label-smoothing")]
)
def test_a_training_step_never_asks_the_device(example_plugins, plugins):
    """On `meta` no data exists: whatever would read any, or mix devices, raises."""
    model = tiny.model(90, plugins=plugins, starts=range(0, 90, 3), shortlist=4).train().to("meta")
    documents, _ = tiny.batch(TEXTS)
    labels = training_on([range(60), [5], [], [0, 89]], 90).labels
    meta = torch.device("meta")
    for share in (0.25, 0.75):
        training = Training(labels.to(meta), None, None)
        model.backward(model(documents.to(meta), training), share)
    rows = row_parameters(model)
    unite_rows(rows)
    assert len(rows) == 4 + ("lexical" in plugins)
    assert all(weight.row_gradient is not None for weight in rows)
    clip_gradients(model.parameters(), 1.0)
    RowAdamW([{"params": rows}]).step()


def test_rows_are_read_by_ids_and_in_runs():
    table = RowTable(5, 3)
    expected = table.weight[1:4].detach()
    with torch.no_grad():
        assert torch.equal(table(slice(1, 4)), expected)
    rows = table(slice(1, 4))
    rows.sum().backward()
    assert torch.equal(rows.detach(), expected) and table.weight.grad.is_sparse
    assert table.weight.grad.to_dense().tolist() == [[0.0] * 3, *[[1.0] * 3] * 3, [0.0] * 3]
