"""Row-wise optimisers against dense ones, row by row."""

from __future__ import annotations

import copy
import math

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from installing import install
from torch import Tensor, nn

from xmlkit import tables
from xmlkit.tables import RowTable
from xmlkit.training import rows as module
from xmlkit.training.optim import clip_gradients
from xmlkit.training.row_optimizers import RowAdamW, RowRMSprop, StochasticRounding
from xmlkit.training.rows import row_parameters, unite_rows
from xmlkit.training.train import prepare

RATE, DECAY, EPS = 0.1, 0.2, 1e-8


def table(rows=7, width=3):
    torch.manual_seed(0)
    return RowTable(rows, width)


def read(rows, ids, goal_RE, how="called"):
    """A loss that reads some rows, each as often as it is named: their distance from a goal as seen by
    queries. `rows` is a table that is called or multiplied with, or a matrix."""
    ids = torch.tensor(ids)
    query_BE = torch.tensor([[1.0, -2.0, 0.5], [0.3, 1.0, 1.0]], requires_grad=True)
    if isinstance(rows, Tensor):
        seen_BU = query_BE @ rows[ids].T
    elif how == "called":
        seen_BU = query_BE @ rows(ids).T
    else:
        seen_BU = rows.products_BU(query_BE, ids)
    ((seen_BU - query_BE.detach() @ goal_RE[ids].T) ** 2).sum().backward()
    return query_BE.grad


def go_without_waiting(patch):
    """As on a device: the number of rows is unknown, and gradients are filled up."""
    for each in (module, tables):
        patch.setattr(each, "on_host", lambda tensor: False)


class SlowRMSprop:
    """One row, number by number."""

    def __init__(self, rows, lr, weight_decay, eps):
        (self.row,), self.lr, self.decay, self.eps = rows, lr, weight_decay, eps
        self.square, self.steps = 0.0, 0

    def step(self):
        if self.row.grad is None:
            return
        gradient, self.steps = self.row.grad.tolist(), self.steps + 1
        self.square = 0.999 * self.square + 0.001 * sum(g * g for g in gradient) / len(gradient)
        root = math.sqrt(self.square / (1 - 0.999**self.steps)) + self.eps
        for i, g in enumerate(gradient):
            self.row.data[i] = self.row.data[i] * (1 - self.lr * self.decay) - self.lr * g / root


@pytest.mark.parametrize(("kind", "slow"), [(RowAdamW, torch.optim.AdamW), (RowRMSprop, SlowRMSprop)])
@settings(max_examples=60)
@given(
    steps=st.lists(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 6), min_size=1, max_size=6), st.sampled_from(["called", "product"])
            ),
            max_size=3,
        ),
        min_size=1,
        max_size=6,
    ),
    waits=st.booleans(),
    at_once=st.sampled_from([2, 100]),
)
def test_each_row_steps_as_if_an_optimiser_had_it_alone(kind, slow, steps, waits, at_once):
    """It steps when the row is read, on what micro-batches add up to, however they read it."""
    ours, theirs = table(), [nn.Parameter(row.detach().clone()) for row in table().weight]
    goal_RE = torch.linspace(-2, 2, 21).reshape(7, 3)
    optimizer = kind([{"params": [ours.weight], "lr": RATE, "weight_decay": DECAY}], eps=EPS)
    alone = [slow([row], lr=RATE, weight_decay=DECAY, eps=EPS) for row in theirs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "NUMBERS_AT_ONCE", dict.fromkeys(("cpu", "cuda"), at_once * 3))
        if not waits:
            go_without_waiting(patch)
        for micro_batches in steps:
            for ids, how in micro_batches:
                found = read(ours, ids, goal_RE, how)
                whole = torch.stack(list(theirs))
                torch.testing.assert_close(found, read(whole, ids, goal_RE), rtol=1e-4, atol=1e-4)
                for row in set(range(7)) - {i for some, _ in micro_batches for i in some}:
                    theirs[row].grad = None
            unite_rows([ours.weight])
            optimizer.step()
            for row, own in zip(theirs, alone, strict=True):
                own.step()
                row.grad = None
    torch.testing.assert_close(ours.weight, torch.stack(list(theirs)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [RowAdamW, RowRMSprop])
def test_a_rate_of_0_moves_nothing(kind):
    """Nor makes it no number where an element has had no gradient yet."""
    rows = table()
    before = rows.weight.detach().clone()
    optimizer = kind([{"params": [rows.weight], "lr": 0.0, "weight_decay": DECAY}], eps=EPS)
    (torch.tensor([[1.0, 0.0, 0.5]]) @ rows(torch.tensor([0, 3])).T).sum().backward()
    unite_rows([rows.weight])
    optimizer.step()
    torch.testing.assert_close(rows.weight.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [RowAdamW, RowRMSprop])
@pytest.mark.parametrize("how", ["called", "product"])
def test_rows_that_are_not_read_stay_to_the_bit(kind, how):
    rows = table()
    before = rows.weight.detach().clone()
    optimizer = kind([{"params": [rows.weight], "lr": RATE, "weight_decay": DECAY}])
    for ids in ([1, 4], [4]):
        read(rows, ids, torch.zeros(7, 3), how)
        unite_rows([rows.weight])
        optimizer.step()
    same = (rows.weight == before).all(1).tolist()
    assert same == [True, False, True, True, False, True, True]
    assert optimizer.state[rows.weight]["steps"].tolist() == [0, 1, 0, 0, 2, 0, 0]
    unite_rows([rows.weight])  # nothing was read since
    optimizer.step()
    assert optimizer.state[rows.weight]["steps"].tolist() == [0, 1, 0, 0, 2, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_runs_of_rows_change_nothing(monkeypatch, dtype):
    weights = []
    for at_once in (2, 100):
        monkeypatch.setattr(tables, "NUMBERS_AT_ONCE", dict.fromkeys(("cpu", "cuda"), at_once * 3))
        torch.manual_seed(0)
        rows = RowTable(7, 3, dtype)
        torch.manual_seed(0)
        read(rows, [6, 0, 3, 5, 1], torch.ones(7, 3), "product")
        unite_rows([rows.weight])
        monkeypatch.setattr(torch, "randint", lambda high, *a, **k: torch.zeros(5, 3, dtype=torch.int32))
        RowAdamW([{"params": [rows.weight], "lr": RATE}]).step()
        weights.append(rows.weight.detach())
    assert torch.equal(*weights)


def test_rounding_is_right_on_average_and_exact_where_there_is_nothing_to_round():
    value = 1 + 0.3 * 2**-7  # between 1 and the next bfloat16, three tenths of the way
    rows = torch.tensor([[value, -value, 1.0]]).repeat(20_000, 1)
    rounded = StochasticRounding(rows)(rows.clone()).double()
    up = 1 + 2**-7
    assert set(rounded[:, 0].tolist()) == {1.0, up} and set(rounded[:, 1].tolist()) == {-1.0, -up}
    assert rounded.mean(0).tolist() == pytest.approx([value, -value, 1.0], abs=6 * 0.5 * 2**-7 / 20_000**0.5)


def test_bfloat16_rows_follow_steps_that_rounding_to_the_nearest_would_lose():
    """1,000 steps of 1e-4 from 1, where neighbours in bfloat16 are 0.0078 apart."""
    torch.manual_seed(0)
    rows = RowTable(50, 8, torch.bfloat16)
    nn.init.ones_(rows.weight)
    optimizer = RowRMSprop([{"params": [rows.weight], "lr": 1e-4}])
    for _ in range(1000):
        rows.products_BU(torch.ones(1, 8, requires_grad=True), torch.arange(50)).sum().backward()
        unite_rows([rows.weight])
        optimizer.step()
    assert rows.weight.dtype == torch.bfloat16
    assert float(rows.weight.detach().float().mean()) == pytest.approx(0.9, abs=0.005)


def test_a_table_that_is_read_densely_is_our_mistake():
    rows = table()
    (rows.weight * 2).sum().backward()
    with pytest.raises(AssertionError, match="used densely"):
        unite_rows([rows.weight])


@pytest.mark.parametrize("how", ["called", "product"])
@pytest.mark.parametrize("waits", [True, False])
def test_clipping_is_torchs_over_dense_gradients(waits, how, monkeypatch):
    if not waits:
        go_without_waiting(monkeypatch)
    model = nn.ModuleDict({"rows": table(), "dense": nn.Linear(3, 4)})
    plain = copy.deepcopy(model)
    plain["rows"].sparse = False
    for each in (model, plain):
        for ids in ([1, 2, 2], [2, 5]):
            ids, rows = torch.tensor(ids), each["rows"]
            query_BE = each["dense"].weight
            if how == "called" or each is plain:
                products = query_BE @ rows(ids).T
            else:
                products = rows.products_BU(query_BE, ids)
            products.pow(3).sum().mul(50).backward()
    unite_rows(row_parameters(model))
    clip_gradients(model.parameters(), 0.7)
    norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.7)
    assert norm > 0.7
    found = model["rows"].weight.row_gradient
    clipped = torch.zeros(7, 3).index_add_(
        0, found.rows_U, found.add_to(torch.zeros(len(found.rows_U), 3), 1.0)
    )
    torch.testing.assert_close(clipped, plain["rows"].weight.grad)
    torch.testing.assert_close(model["dense"].weight.grad, plain["dense"].weight.grad)


def test_all_tables_of_a_model_are_found():
    model = tiny.model(9, starts=[0, 4])
    assert {id(p) for p in row_parameters(model)} == {
        id(model.head.rows.weight),
        id(model.head.biases.weight),
        id(model.shortlister.rows.weight),
        id(model.shortlister.biases.weight),
    }


def test_a_second_optimiser_steps_rows_a_second_time(tmp_path, plugin_folder):
    """What `second_step` names is stepped twice, on one gradient, with moments of its own."""
    install(plugin_folder, "twice", TWICE)
    corpus, encoder = tiny.learnable_corpus(), tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    trainer = prepare(corpus, {**settings, "plugins": ["twice"]}, tmp_path / "run")
    kinds = [type(optimizer).__name__ for optimizer in trainer.optimizers]
    assert kinds == ["AdamW", "RowRMSprop", "AdamW", "RowRMSprop"]
    trainer.step(trainer.micro_batches(trainer.data.train_rows[:8]))
    first, second = trainer.optimizers[1], trainer.optimizers[3]
    rows = trainer.model.head.rows.weight
    assert first.state[rows]["steps"].sum() == second.state[rows]["steps"].sum() > 0
    assert torch.equal(first.state[rows]["square"], second.state[rows]["square"])
    trainer.save()
    moments = {name: t.clone() for name, t in second.state[rows].items()}
    trainer.step(trainer.micro_batches(trainer.data.train_rows[:8]))
    trainer.restore()
    assert all(torch.equal(trainer.optimizers[3].state[rows][name], t) for name, t in moments.items())


TWICE = '''
"""Steps the head twice."""
from xmlkit import LossCombiner, hookimpl

class Twice(LossCombiner):
    def second_step(self, model):
        return [*self.inner.second_step(model), model.head]

@hookimpl(wrapper=True)
def loss():
    return Twice((yield))
'''


def test_more_documents_than_the_rows_are_wide():
    """Then the two factors would be larger than what they make, and it is made."""
    rows, plain = table(), table().weight.detach().clone().requires_grad_()
    ids = torch.tensor([4, 1, 6])
    for seed in range(3):
        query_BE = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        rows.products_BU(query_BE, ids).square().sum().backward()
        (query_BE @ plain[ids].T).square().sum().backward()
    unite_rows([rows.weight])
    found = rows.weight.row_gradient
    assert found.values_UE.shape == (3, 3)
    torch.testing.assert_close(found.values_UE, plain.grad[found.rows_U])
    torch.testing.assert_close(found.squared_norms_U(), plain.grad[found.rows_U].square().sum(1))


def test_equal_queries_that_cancel_out_make_no_giant_step():
    rows = table()
    before = rows.weight.detach().clone()
    query_BE = torch.full((2, 3), 0.7, requires_grad=True)
    query_BE.data[1] += 1e-7
    (rows.products_BU(query_BE, torch.tensor([2, 3])) * torch.tensor([[1.0], [-1.0]])).sum().backward()
    unite_rows([rows.weight])
    RowRMSprop([{"params": [rows.weight], "lr": RATE}]).step()
    assert (rows.weight - before).abs().max() <= 2 * RATE


def test_what_a_broken_off_step_left_is_forgotten(tmp_path):
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "max_len": 16, "clustered": True}
    settings |= {"cluster_size": 3, "shortlist": 2, "device": "cpu", "dropout": 0.0}
    moved = []
    for broken in (True, False):
        trainer = prepare(tiny.learnable_corpus(), settings, tmp_path / str(broken))
        trainer.model.eval()
        batches = trainer.micro_batches(trainer.data.train_rows[:8])
        if broken:
            rows = trainer.model.head.rows
            query_BE = torch.ones(1, rows.embedding_dim, requires_grad=True)
            rows.products_BU(query_BE, slice(0, 2)).sum().backward()
        trainer.step(batches)
        moved.append(trainer.model.head.rows.weight.detach().clone())
    assert torch.equal(*moved)
