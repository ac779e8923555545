"""Row-wise AdamW against torch's dense one, row by row."""

from __future__ import annotations

import copy

import pytest
import tiny
import torch
from conftest import install
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from xmlkit.hooks import RowTable, unique_ids_without_waiting
from xmlkit.training import rows as module
from xmlkit.training.optim import clip_gradients
from xmlkit.training.rows import RowAdamW, row_parameters, unite_rows
from xmlkit.training.train import prepare

RATE, DECAY, EPS = 0.1, 0.2, 1e-8


def table(rows=7, width=3):
    torch.manual_seed(0)
    return RowTable(rows, width)


def read(rows, ids, goal_RE):
    """A loss that reads some rows, each as often as it is named."""
    ids = torch.tensor(ids)
    ((rows(ids) - goal_RE[ids]) ** 2).sum().backward()


def go_without_waiting(patch):
    """As on a device: gradients are filled up with their first row, and all rows step in one go."""
    patch.setattr(module, "unique_ids", unique_ids_without_waiting)
    patch.setattr(module, "_on_host", lambda tensor: False)


@settings(max_examples=60)
@given(
    steps=st.lists(st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=3), min_size=1, max_size=8),
    waits=st.booleans(),
    at_once=st.sampled_from([2, 100]),
)
def test_each_row_steps_as_if_dense_adamw_had_it_alone(steps, waits, at_once):
    """One torch AdamW a row, which steps when the row is read; accumulated over micro-batches."""
    ours, theirs = table(), [nn.Parameter(row.detach().clone()) for row in table().weight]
    goal_RE = torch.linspace(-2, 2, 21).reshape(7, 3)
    optimizer = RowAdamW([{"params": [ours.weight], "lr": RATE, "weight_decay": DECAY}], eps=EPS)
    dense = [torch.optim.AdamW([row], lr=RATE, weight_decay=DECAY, eps=EPS) for row in theirs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_AT_ONCE", at_once)
        if not waits:
            go_without_waiting(patch)
        for micro_batches in steps:
            for ids in filter(None, micro_batches):
                read(ours, ids, goal_RE)
                for i in ids:
                    ((theirs[i] - goal_RE[i]) ** 2).sum().backward()
            unite_rows([ours.weight])
            optimizer.step()
            ours.weight.grad = None
            for row, own in zip(theirs, dense, strict=True):
                own.step()
                row.grad = None
    torch.testing.assert_close(ours.weight, torch.stack(list(theirs)), rtol=1e-4, atol=1e-5)


def test_rows_that_are_not_read_stay_to_the_bit():
    rows = table()
    before = rows.weight.detach().clone()
    optimizer = RowAdamW([{"params": [rows.weight], "lr": RATE, "weight_decay": DECAY}])
    for ids in ([1, 4], [4]):
        read(rows, ids, torch.zeros(7, 3))
        unite_rows([rows.weight])
        optimizer.step()
        rows.weight.grad = None
    same = (rows.weight == before).all(1).tolist()
    assert same == [True, False, True, True, False, True, True]
    assert optimizer.state[rows.weight]["steps"].tolist() == [0, 1, 0, 0, 2, 0, 0]


def test_chunks_change_nothing(monkeypatch):
    weights = []
    for at_once in (2, 100):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
        rows = table()
        read(rows, [6, 0, 3, 5, 1], torch.ones(7, 3))
        unite_rows([rows.weight])
        RowAdamW([{"params": [rows.weight], "lr": RATE}]).step()
        weights.append(rows.weight.detach())
    assert torch.equal(*weights)


def test_a_table_that_is_read_densely_is_our_mistake():
    rows = table()
    (rows.weight * 2).sum().backward()
    with pytest.raises(AssertionError, match="used densely"):
        unite_rows([rows.weight])


@pytest.mark.parametrize("waits", [True, False])
def test_clipping_is_torchs_over_dense_gradients(waits, monkeypatch):
    if not waits:
        go_without_waiting(monkeypatch)
    model = nn.ModuleDict({"rows": table(), "dense": nn.Linear(3, 4)})
    plain = copy.deepcopy(model)
    plain["rows"].sparse = False
    for each in (model, plain):
        for ids in ([1, 2, 2], [2, 5]):
            each["dense"](each["rows"](torch.tensor(ids))).pow(3).sum().mul(50).backward()
    unite_rows(row_parameters(model))
    clip_gradients(model.parameters(), 0.7)
    norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.7)
    assert norm > 0.7
    torch.testing.assert_close(model["rows"].weight.grad.to_dense(), plain["rows"].weight.grad)
    torch.testing.assert_close(model["dense"].weight.grad, plain["dense"].weight.grad)


def test_all_tables_of_a_model_are_found():
    model = tiny.model(9, starts=[0, 4])
    assert {id(p) for p in row_parameters(model)} == {
        id(model.head.rows.weight),
        id(model.head.biases.weight),
    }


def test_a_second_optimiser_steps_rows_a_second_time(tmp_path, plugin_folder):
    """What `second_step` names is stepped twice, on one gradient, with moments of its own."""
    install(plugin_folder, "twice", TWICE)
    corpus, encoder = tiny.learnable_corpus(), tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    trainer = prepare(corpus, {**settings, "plugins": ["twice"]}, tmp_path / "run")
    kinds = [type(optimizer).__name__ for optimizer in trainer.optimizers]
    assert kinds == ["AdamW", "RowAdamW", "AdamW", "RowAdamW"]
    trainer.step(trainer.data.train_rows[:8])
    first, second = trainer.optimizers[1], trainer.optimizers[3]
    rows = trainer.model.head.rows.weight
    assert first.state[rows]["steps"].sum() == second.state[rows]["steps"].sum() > 0
    assert torch.equal(first.state[rows]["mean"], second.state[rows]["mean"])
    trainer.save()
    moments = {name: t.clone() for name, t in second.state[rows].items()}
    trainer.step(trainer.data.train_rows[:8])
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
