"""Levels of clusters: against loops over documents and clusters, by hand, at the edges, beside others."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import tiny
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from xmlkit_plugins.multi_resolution import Cascade, LayerVectors, Options

from xmlkit import BuildContext, ClusterTable, Start, Training, UserError, Vectors
from xmlkit.config import resolve
from xmlkit.data.ragged import Ragged
from xmlkit.labels.clusters import cluster_labels
from xmlkit.model.inputs import ragged_labels
from xmlkit.testing import check_plugin, tiny_run
from xmlkit.training.optim import optimizers

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
H, INNER = 3, 4  # widths of a coarse level's vector and of the last level's


def part(starts, num_labels, shortlist=2, levels=2, branch=2, labels=None, inner=INNER, **settings_):
    """A cascade by itself, over clusters that begin at these labels."""
    given_ = {"num_layers": levels + 1, "hidden": H, "num_labels": num_labels, "shortlist": shortlist}
    given_ |= {"cluster_power": 1.0, "cluster_width": None, "label_width": 5, "reduction": "sum"}
    given_ |= {"pooling": "mean", "dropout": 0.0, "start": "random", "train_labels": labels}
    table = ClusterTable(torch.tensor([*starts, num_labels]))
    build = BuildContext(**{**given_, "clusters": table, **settings_})
    return Cascade(build, table, Options(levels=levels, branch=branch), levels * build.hidden + inner)


def training_on(rows, num_labels, **fields):
    labels = ragged_labels(Ragged.of([sorted(row) for row in rows]), num_labels)
    return Training(replace(labels, **fields), torch.Generator(), torch.arange(len(rows)))


def shortlist_of(cascade, x_BD, training=None):
    return cascade(Vectors(x_BD, x_BD), None, training)


def slow_cascade(cascade, x_D, true, members, levels, branch, shortlist):
    """Of one document: z and whether a true label is in it, of each cluster of each level; what is kept."""
    scores, holds, kept = [], [], []
    for level in range(levels + 1):
        size = branch ** (levels - level)
        below = [members[i : i + size] for i in range(0, len(members), size)]
        sees = x_D[level * H : (level + 1) * H] if level < levels else x_D[levels * H :]
        rows, biases = (table[level].weight.detach() for table in (cascade.rows, cascade.biases))
        scores.append([float((rows[k] * sees).sum() + biases[k, 0]) for k in range(len(below))])
        holds.append([any(label in true for some in cluster for label in some) for cluster in below])
        within = [k for k in range(len(below)) if level == 0 or k // branch in kept[-1]]
        order = sorted(within, key=lambda k: (-holds[level][k], -scores[level][k]))
        kept.append(order[:shortlist])
    return scores, holds, kept


@settings(max_examples=80)
@given(st.data())
def test_candidates_truth_and_losses_are_those_of_the_slow_reference(data):
    """Of any number of clusters of any sizes, whether or not `branch` divides it."""
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=13))
    levels, branch = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    top, is_training = data.draw(st.integers(1, 5)), data.draw(st.booleans())
    starts = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    num_labels = starts[-1]
    rows = data.draw(st.lists(st.sets(st.integers(0, num_labels - 1)), min_size=1, max_size=4))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    cascade = part(starts[:-1], num_labels, top, levels, branch)
    x_BD = 3 * torch.randn(len(rows), levels * H + INNER)
    short = shortlist_of(cascade, x_BD, training_on(rows, num_labels) if is_training else None)
    members = [range(a, b) for a, b in pairwise(starts)]
    losses = [0.0] * (levels + 1)
    for i, row in enumerate(rows):
        true = row if is_training else set()
        scores, holds, kept = slow_cascade(cascade, x_BD[i], true, members, levels, branch, top)
        expected = {label for k in kept[-1] for label in members[k]} | true
        ids, mask = short.ids_BC[i], short.mask_BC[i]
        assert ids[mask].sort().values.tolist() == sorted(expected)  # each once
        assert set(short.clusters_BS[i].tolist()) == set(kept[-1])
        assert len(kept[-1]) == min(top, len(members))
        if is_training:
            assert set(ids[mask & short.truth_BC[i]].tolist()) == true
        for level in range(levels + 1):
            pairs = zip(scores[level], holds[level], strict=True)
            losses[level] += sum(math.log1p(math.exp(-z if h else z)) for z, h in pairs)
    if is_training:
        assert tuple(short.losses) == cascade.loss_names
        found = [float(loss.detach()) for loss in short.losses.values()]
        assert found == pytest.approx([loss / len(rows) for loss in losses], rel=1e-4)
    else:
        assert short.truth_BC is None and not short.losses


def by_hand(shortlist=1, **settings_):
    """Six clusters of two labels in three of the coarse level, the biases alone scoring them."""
    cascade = part([0, 2, 4, 6, 8, 10], 12, shortlist, levels=1, **settings_)
    with torch.no_grad():
        for rows in cascade.rows:
            rows.weight.zero_()
        cascade.biases[0].weight[:, 0] = torch.tensor([0.0, 2.0, 1.0])
        cascade.biases[1].weight[:, 0] = torch.tensor([9.0, 8.0, -1.0, 0.5, 3.0, -4.0])
    return cascade, torch.zeros(1, H + INNER)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_coarse_cluster_rules_out_finer_ones_that_score_higher(power):
    """The second coarse cluster is the best, so it is cluster 2 or 3, not 0 or 1 with 9 and 8."""
    cascade, x_BD = by_hand(cluster_power=power)
    short = shortlist_of(cascade, x_BD)
    assert short.clusters_BS.tolist() == [[3]] and short.ids_BC.tolist() == [[6, 7]]
    torch.testing.assert_close(short.prior_BC, torch.full((1, 2), 0.5).sigmoid() ** power)
    torch.testing.assert_close(cascade.cluster_logits_BK(x_BD)[0], cascade.biases[1].weight[:, 0])
    two, _ = by_hand(shortlist=2)  # coarse 1 and 2 are kept: of 2, 3, 4 and 5 the best two
    assert set(shortlist_of(two, x_BD).clusters_BS[0].tolist()) == {3, 4}
    three, _ = by_hand(shortlist=3)  # all coarse ones are kept, and nothing is ruled out
    assert set(shortlist_of(three, x_BD).clusters_BS[0].tolist()) == {0, 1, 4}


def test_true_clusters_come_first_however_sure_a_level_is_of_others():
    cascade, x_BD = by_hand()
    for scale in (1.0, 30.0):
        with torch.no_grad():
            for biases in cascade.biases:
                biases.weight.mul_(scale)
        short = shortlist_of(cascade, x_BD, training_on([{11}], 12))
        assert short.clusters_BS.tolist() == [[5]] and short.truth_BC.tolist() == [[False, True]]


def test_the_losses_by_hand():
    """Labels 0 and 3 are true: at the coarse level the first of three clusters, at the last one 0 and 1."""
    cascade, x_BD = by_hand()
    short = shortlist_of(cascade, x_BD, training_on([{0, 3}], 12))
    softplus = [lambda z: math.log1p(math.exp(z)), lambda z: math.log1p(math.exp(-z))]
    coarse = softplus[1](0.0) + softplus[0](2.0) + softplus[0](1.0)
    fine = sum(softplus[k < 2](z) for k, z in enumerate([9.0, 8.0, -1.0, 0.5, 3.0, -4.0]))
    found = {name: float(loss.detach()) for name, loss in short.losses.items()}
    assert found == pytest.approx({"level-1": coarse, "generator": fine}, rel=1e-5)


def test_a_cluster_is_as_true_as_its_truest_label():
    """Labels that are true in part: 1 by 0.2, 2 by 0.9, 5 by 0.4, in clusters 0, 1 and 2."""
    cascade, x_BD = by_hand()
    seen = []

    def cost(z_BK, truth_BK):
        seen.append(truth_BK.tolist())
        return F.binary_cross_entropy_with_logits(z_BK, truth_BK)

    training = training_on([{1, 2, 5}], 12, targets_V=torch.tensor([0.2, 0.9, 0.4]))
    short = shortlist_of(cascade, x_BD, replace(training, cluster_cost=cost))
    coarse, fine = ([pytest.approx(row)] for row in ([0.9, 0.4, 0.0], [0.2, 0.9, 0.4, 0.0, 0.0, 0.0]))
    assert seen == [coarse, fine]
    assert set(short.ids_BC[short.truth_BC].tolist()) == {1, 2, 5}


def test_more_true_labels_than_clusters_are_kept():
    """In all thirty clusters, of which four are kept: none is missing, and other documents get no more."""
    model = tiny_model(90, shortlist=4).train()
    documents, _ = tiny.batch(TEXTS)
    true = sorted([*range(0, 90, 3), *range(1, 90, 3)])
    training = training_on([true, [5], [], [0, 89]], 90)
    short = model.shortlister(model.vectors(documents), documents, training)
    found = [set(i[t].tolist()) for i, t in zip(short.ids_BC, short.truth_BC, strict=True)]
    assert found == [set(true), {5}, set(), {0, 89}]
    assert short.mask_BC.sum(1).tolist() == [12 + 60 - 8, 12, 12, 12]


def tiny_model(num_labels=23, plugins=("multi-resolution",), size=3, levels=2, branch=2, **settings_):
    own = {"multi-resolution": {"levels": levels, "branch": branch}} if plugins else {}
    starts = range(0, num_labels, size) if size else None
    given_ = {"starts": starts, "shortlist": 2, "start": "random", "dropout": 0.0, **settings_}
    return tiny.model(num_labels, plugins=plugins, options=own, **given_)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_each_level_has_its_own_layer_and_the_last_one_what_there_was(pooling):
    """Of the three layers the first two; all three are handed on. No layer's vector changes the ranker's."""
    ours, plain = tiny_model(pooling=pooling), tiny_model(plugins=(), pooling=pooling)
    documents, _ = tiny.batch(TEXTS)
    states = ours.encoder(documents)
    vectors, before = ours.representation(states), plain.representation(states)
    rows = []
    for i in range(len(TEXTS)):
        of_layer = [states.layers[n][i, documents.mask_BT[i]] for n in (0, 1)]
        own = [layer[documents.first_B[i]] if pooling == "first" else layer.mean(0) for layer in of_layer]
        rows.append(torch.cat([*own, before.recall_BD[i]]))
    torch.testing.assert_close(vectors.recall_BD, torch.stack(rows))
    assert torch.equal(vectors.rank_BD, before.rank_BD)
    cascade = ours.shortlister
    assert [rows.weight.shape[1] for rows in cascade.rows] == [32, 32, before.recall_BD.shape[1]]
    assert [len(rows.weight) for rows in cascade.rows] == [2, 4, 8]


def test_coarse_vectors_have_the_document_vector_s_dropout():
    """In training a quarter of the numbers is 0 and the others are larger; at prediction none is."""
    model = tiny_model(dropout=0.25)
    documents, _ = tiny.batch([" ".join(tiny.WORDS[i : i + 5]) for i in range(40)])
    states = model.encoder(documents)
    whole_BD = model.representation.eval()(states).recall_BD[:, :64]
    torch.manual_seed(0)
    found_BD = model.representation.train()(states).recall_BD[:, :64]
    kept_BD = found_BD != 0
    assert 0.7 < float(kept_BD.float().mean()) < 0.8
    torch.testing.assert_close(found_BD[kept_BD], whole_BD[kept_BD] / 0.75)


@pytest.mark.parametrize(
    ("num_layers", "levels", "layers"),
    [(5, 2, [0, 2]), (7, 3, [0, 2, 4]), (3, 2, [0, 1]), (4, 1, [0]), (8, 3, [0, 2, 4])],
)
def test_layers_lie_evenly_and_none_is_read_twice(num_layers, levels, layers):
    sizes = {"hidden": 32, "num_layers": num_layers, "pooling": "first", "dropout": 0.0}
    inner = tiny.model(plugins=()).representation
    assert LayerVectors(inner, SimpleNamespace(**sizes), levels).layers == layers


def test_a_coarse_cluster_is_a_node_of_the_tree_that_labels_were_clustered_by():
    """Consecutive clusters by twos, fours and eights are the clusters of an earlier halving."""
    vectors_LD = F.normalize(torch.randn(203, 8, generator=torch.Generator().manual_seed(0)), dim=1).numpy()
    fine = cluster_labels(vectors_LD, 7, seed=3)
    assert len(fine.starts) == 32 + 1
    for size, largest in ((2, 13), (4, 26), (8, 51)):
        coarse = cluster_labels(vectors_LD, largest, seed=3)
        assert fine.starts[::size].tolist() == coarse.starts.tolist()
        for a, b in pairwise(coarse.starts):
            assert set(fine.order_L[a:b]) == set(coarse.order_L[a:b])


def test_gradients_reach_each_level_from_its_own_loss_alone():
    model = tiny_model()
    documents, training = tiny.batch(TEXTS)
    losses = model(documents, training).losses
    assert tuple(losses) == ("level-1", "level-2", "generator", "ranker")
    for name, loss in losses.items():
        for table in (*model.shortlister.rows, *model.shortlister.biases):
            table.weight.grad, table.weight.row_products = None, []
        loss.backward(retain_graph=True)
        touched = [bool(table.weight.row_products) for table in model.shortlister.rows]
        assert touched == [name == one for one in ("level-1", "level-2", "generator")]
        assert touched == [table.weight.grad is not None for table in model.shortlister.biases]


@pytest.mark.parametrize(("size", "branch"), [(1, 2), (3, 2), (3, 4)])
def test_biases_begin_at_the_log_odds_of_their_level(size, branch):
    """`start=prior`: as in the base at the last level; at the others by a count in loops."""
    rows, num_labels = [{0, 1, 5}, {22}, set(), {7, 8}, {9}], 23
    labels = training_on(rows, num_labels).labels
    given_ = {"start": "prior", "train_labels": labels, "size": size}
    cascade = tiny_model(branch=branch, **given_).shortlister
    plain = tiny_model(plugins=(), **given_).shortlister
    for level, own in enumerate((size * branch**2, size * branch, size)):
        count = len(cascade.rows[level].weight)
        true = sum(
            any(k * own <= label < (k + 1) * own for label in row) for row in rows for k in range(count)
        )
        odds = true / (len(rows) * count - true)
        expected = torch.full((count, 1), math.log(odds))
        torch.testing.assert_close(cascade.biases[level].weight.data, expected)
        assert not cascade.rows[level].weight.any()
    torch.testing.assert_close(cascade.biases[-1].weight, plain.biases.weight)


def test_rows_decay_and_biases_do_not():
    cascade = tiny_model().shortlister
    found = optimizers([cascade], resolve({"weight_decay": 0.5}))
    decay = {
        id(p): group["weight_decay"] for one in found for group in one.param_groups for p in group["params"]
    }
    assert [decay[id(table.weight)] for table in cascade.rows] == [0.5] * 3
    assert [decay[id(table.weight)] for table in cascade.biases] == [0.0] * 3


def test_random_rows_begin_as_those_of_a_linear_layer():
    cascade = part(range(0, 400, 2), 400, levels=1, inner=40)
    for table in (cascade.rows[1], cascade.biases[1]):
        largest = float(table.weight.detach().abs().max())
        assert 0.9 * 40**-0.5 < largest <= 40**-0.5


def test_where_nothing_is_ruled_out_the_last_level_is_the_base():
    """With its rows, and a shortlist of all clusters of the level before, it predicts the same."""
    given_ = {"shortlist": 4, "start": "random", "pooling": "mean"}
    ours, plain = tiny_model(levels=1, **given_).eval(), tiny_model(plugins=(), **given_).eval()
    with torch.no_grad():
        ours.shortlister.rows[1].weight.copy_(plain.shortlister.rows.weight)
        ours.shortlister.biases[1].weight.copy_(plain.shortlister.biases.weight)
    documents, training = tiny.batch(TEXTS, seed=3)
    for one, other in zip(ours.rank(documents, 9), plain.rank(documents, 9), strict=True):
        assert torch.equal(one, other)
    found, expected = ours(documents, training).losses, plain(documents, training).losses
    for name in ("generator", "ranker"):
        torch.testing.assert_close(found[name], expected[name])


def test_a_warm_start_scores_each_level_by_the_mean_of_its_clusters():
    """Cosines in the level's own layer, times the length of the start's rows; odds of coarse ones add up."""
    cascade = part(range(5), 5, levels=1, start="warm")
    rng = torch.Generator().manual_seed(2)
    centre_D, vectors_KD = torch.randn(H + INNER, generator=rng), torch.randn(5, H + INNER, generator=rng)
    vectors_KD = 6 * F.normalize(vectors_KD, dim=1)
    bias_K = torch.tensor([-9.0, -8.0, -7.0, -9.5, -8.5])
    for _ in range(2):  # it is given twice
        cascade.take_start(Start(centre_D, vectors_KD, bias_K))
    x_BD = torch.randn(4, H + INNER, generator=rng)
    z_BK, coarse_BK = cascade.cluster_logits_BK(x_BD), cascade._z_BK(0, x_BD)
    for i in range(4):
        u_D = x_BD[i] - centre_D
        for k in range(5):
            cosine = F.cosine_similarity(u_D[H:], vectors_KD[k, H:], dim=0)
            torch.testing.assert_close(z_BK[i, k].data, 6 * cosine + bias_K[k])
        for k, some in enumerate([[0, 1], [2, 3], [4]]):  # the last one holds but one
            mean_D = sum(vectors_KD[m, :H] for m in some) / len(some)
            cosine = F.cosine_similarity(u_D[:H], mean_D, dim=0)
            bias = math.log(sum(math.exp(bias_K[m]) for m in some))
            torch.testing.assert_close(coarse_BK[i, k].data, 6 * cosine + bias)


def test_a_cluster_that_a_start_knows_nothing_of_has_a_row_of_zeros():
    cascade = part(range(4), 4, levels=1, start="warm")
    vectors_KD = torch.zeros(4, H + INNER)
    vectors_KD[3] = 1.0
    cascade.take_start(Start(torch.zeros(H + INNER), vectors_KD, torch.full((4,), -300.0)))
    assert [bool(row.any()) for row in cascade.rows[0].weight] == [False, True]
    assert all(torch.isfinite(tensor).all() for tensor in cascade.state_dict().values())


def test_a_warm_run_begins_with_rows_at_each_level():
    """Through the real path, in which a run's own clusters are made before there are levels."""
    warm = tiny_run(["multi-resolution"], pooling="mean", start="warm", epochs=0, max_steps=None)
    assert all(0 <= score <= 1 for row in warm.predictions for _, score in row)
    assert len({score for row in warm.predictions for _, score in row}) > 20


def test_options_change_what_is_chosen():
    """Of clusters that score alike, other levels and other branches rule out others."""
    torch.manual_seed(0)
    x_D = torch.randn(3 * H + INNER)
    chosen = set()
    for levels, branch in ((1, 2), (2, 2), (2, 3), (3, 2)):
        torch.manual_seed(1)
        cascade = part(range(16), 16, 3, levels, branch)
        x_BD = x_D[None, : levels * H + INNER]
        with torch.no_grad():
            cascade.rows[-1].weight.zero_()
            cascade.biases[-1].weight[:, 0] = torch.arange(16.0)
        counts = [len(rows.weight) for rows in cascade.rows]
        assert counts == [math.ceil(16 / branch**depth) for depth in range(levels, -1, -1)]
        chosen.add(tuple(shortlist_of(cascade, x_BD).clusters_BS[0].sort().values.tolist()))
    assert len(chosen) == 4


@pytest.mark.parametrize("options", [{"levels": 0}, {"branch": 1}, {"levels": 17}, {"beam": 2}])
def test_options_out_of_bounds(options):
    with pytest.raises(ValidationError):
        Options(**options)


def test_too_few_layers_are_told_and_what_to_set():
    with pytest.raises(
        UserError, match=r"levels=3: the encoder hands on too few layers, 3; .*--set layers=8"
    ):
        tiny_model(levels=3)
    with pytest.raises(UserError, match="too few layers, 1"):
        tiny_model(levels=1, layers=1)
    with pytest.raises(UserError, match=r"too few layers, 0; .*another --encoder"):
        tiny_run(["multi-resolution", "lexical"], encoder="none")
    with pytest.raises(UserError, match="no cluster_width"):
        tiny_model(cluster_width=8)


def test_without_clusters_it_says_that_it_has_nothing_to_do(capsys):
    ours, plain = tiny_model(size=None, levels=9).eval(), tiny_model(plugins=(), size=None).eval()
    assert ours.shortlister.every_label and not isinstance(ours.representation, LayerVectors)
    assert "multi-resolution: nothing to do, since every label is scored" in capsys.readouterr().err
    documents, training = tiny.batch(TEXTS)
    for one, other in zip(ours.rank(documents, 5), plain.rank(documents, 5), strict=True):
        assert torch.equal(one, other)
    assert ours(documents, training).losses.keys() == {"ranker"}


def test_what_other_plugins_put_behind_the_vectors_is_the_last_level_s():
    """A bag of words beside the encoder: coarse levels see their layers as before."""
    ours = tiny_model(plugins=("multi-resolution", "lexical"), pooling="mean").eval()
    documents, _ = tiny.batch(TEXTS)
    recall_BD = ours.vectors(documents).recall_BD
    alone_BD = tiny_model(pooling="mean").eval().vectors(documents).recall_BD
    assert torch.equal(recall_BD[:, : 3 * 32], alone_BD)
    cascade = ours.shortlister
    assert [rows.weight.shape[1] for rows in cascade.rows] == [32, 32, 32 + 16]
    z_BK = recall_BD[:, 2 * 32 :] @ cascade.rows[2].weight.T + cascade.biases[2].weight[:, 0]
    torch.testing.assert_close(cascade.cluster_logits_BK(recall_BD), z_BK)


def test_wrappers_of_the_shortlist_stand_around_it_and_are_named_after_it():
    for other in ("astec-negatives", "neighbours", "combination"):
        ours = tiny_model(plugins=("multi-resolution", other), start="prior")
        assert isinstance(ours.shortlister.inner, Cascade)
        documents, training = tiny.batch(TEXTS)
        ours.backward(ours(documents, training))
        with pytest.raises(UserError, match="name 'multi-resolution' first in --plugin"):
            tiny_model(plugins=(other, "multi-resolution"))


def test_an_opened_model_has_the_same_shapes_and_predicts_the_same():
    """There are no training labels then: biases come from the file."""
    ours = tiny_model(start="prior").eval()
    other = part(range(0, 23, 3), 23, start="prior", hidden=32, inner=ours.shortlister.widths[-1])
    assert not any(biases.weight.any() for biases in other.biases)
    with torch.no_grad():
        for table in ours.shortlister.rows:
            torch.nn.init.normal_(table.weight)
    other.load_state_dict(ours.shortlister.state_dict())
    documents, _ = tiny.batch(TEXTS)
    x_BD = ours.vectors(documents).recall_BD
    before, after = shortlist_of(ours.shortlister, x_BD), shortlist_of(other, x_BD)
    assert torch.equal(before.ids_BC, after.ids_BC)
    torch.testing.assert_close(before.prior_BC**2, after.prior_BC)  # whose cluster_power is 1, not 0.5


@pytest.mark.slow
def test_other_levels_keep_the_contracts(checks):
    """Alone; the kit's own tests have its defaults, and those beside the others."""
    check_plugin("multi-resolution", {"levels": 1, "branch": 2}, beside=[])


@pytest.mark.parametrize("branch", [2, 100])
@pytest.mark.parametrize("order", [["multi-resolution", "propensity"], ["propensity", "multi-resolution"]])
def test_coarse_levels_cost_what_they_did_beside_propensity(order, branch):
    """Which knows the run's own clusters alone, be there one of a coarser level or several."""
    losses = []
    for plugins in (["multi-resolution"], order):
        options = {"multi-resolution": {"levels": 1, "branch": branch}}
        model = tiny.model(
            14, plugins=plugins, options=options, starts=range(0, 14, 2), shortlist=2, dropout=0.0
        )
        documents, training = tiny.batch(TEXTS, 14)
        output = model.eval()(documents, training)
        losses.append({name: loss.item() for name, loss in output.losses.items()})
    plain, beside = losses
    assert beside["level-1"] == plain["level-1"] and beside["generator"] > plain["generator"]


def test_a_branch_that_holds_all_clusters_is_no_wider():
    wide, enough = (part(range(0, 12, 2), 12, levels=3, branch=branch) for branch in (10**12, 6))
    assert wide.sizes == enough.sizes == [6, 6, 6, 1]
    assert [len(rows.weight) for rows in wide.rows] == [1, 1, 1, 6]
