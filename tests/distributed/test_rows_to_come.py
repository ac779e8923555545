"""What ranks are about to split takes no memory before: tables have their rows once these are dealt."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from installing import install
from ranks_here import on_ranks

from xmlkit.distributed.share import are_to_come
from xmlkit.model.split import without_rows
from xmlkit.tables import RowTable
from xmlkit.testing.tiny import SETTINGS
from xmlkit.training.train import train

READS = """
from xmlkit import Head, hookimpl
class Reads(Head):
    def __init__(self, inner):
        super().__init__(inner)
        {reads}
@hookimpl(wrapper=True)
def head(): return Reads((yield))
"""
WAYS = [
    "self.sum = float(inner.rows.weight.sum())",
    "self.register_buffer('twice_LE', 2 * inner.rows.weight)",
]


def a_model(*plugins: str):
    return tiny.model(plugins=list(plugins), starts=[0, 9], start="random")


def test_tables_but_the_representations_hold_no_rows():
    model = without_rows(partial(a_model, "lexical"))
    here = {name for name, weight in model.named_parameters() if not weight.is_meta}
    tables = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, RowTable)}
    assert tables - here == {name for name in tables if not name.startswith("representation.")}
    assert here >= {name for name, _ in model.named_parameters()} - tables
    assert not are_to_come() and not a_model().head.rows.weight.is_meta


@pytest.mark.parametrize("reads", WAYS)
def test_a_plugin_that_reads_its_rows_at_once_has_them(plugin_folder, reads):
    install(plugin_folder, "reads", READS.format(reads=reads))
    found, expected = without_rows(partial(a_model, "reads")).weights(), a_model("reads").weights()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def split_from(folder: Path, encoder: str) -> list[bool]:
    """Of each table whether it had rows before it was split: in training, and opened again."""
    had, real = [], RowTable.split

    def noting(self, *given):
        had.append(not self.weight.is_meta)
        real(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowTable, "split", noting)
        train(tiny.learnable_corpus(60), {**SETTINGS, "encoder": encoder, "clustered": True}, folder)
    return had


def test_the_first_alone_makes_rows_and_none_to_open_a_run(tmp_path):
    first, *others = on_ranks(3, split_from, tmp_path / "run", tiny.save_encoder(tmp_path / "encoder"))
    tables = len(first) // 2
    assert tables == 4
    assert first == [True] * tables + [False] * tables
    assert all(other == [False] * 2 * tables for other in others)
