"""What is drawn above the boundary is drawn alike on all ranks, whatever each draws for itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from ranks_here import on_ranks

from xmlkit.distributed import ranks
from xmlkit.testing.tiny import SETTINGS
from xmlkit.training.train import prepare


def own_and_common() -> tuple[list[float], float]:
    torch.manual_seed(5)
    with ranks.own_draws(torch.device("cpu")):
        own = torch.rand(3).tolist()
    return own, float(torch.rand(()))


@pytest.mark.slow
def test_own_draws_differ_and_later_ones_are_common():
    (own, common), (other, also) = on_ranks(2, own_and_common)
    assert own != other and common == also


def states(folder: Path, encoder: str, settings: dict) -> tuple[list[int], list[int]]:
    trainer = prepare(tiny.learnable_corpus(80), {**SETTINGS, "encoder": encoder, **settings}, folder)
    for rows in trainer.data.train_rows[:34].reshape(2, 17):
        trainer.model.train()
        trainer.step(trainer.micro_batches(rows))
    return torch.get_rng_state().tolist(), trainer.rng.get_state().tolist()


@pytest.mark.parametrize(
    "plugins", [["full-head"], pytest.param(["astec-negatives", "lexical"], marks=pytest.mark.slow)]
)
def test_steps_leave_the_common_generators_alike(tmp_path, plugins):
    """Dropout below the boundary, rows rounded at random: 17 documents and 10 labels are no multiple of 3."""
    settings = {
        "row_precision": "bfloat16",
        "dropout": 0.1,
        "plugins": plugins,
        "clustered": len(plugins) == 2,
    }
    first, *others = on_ranks(3, states, tmp_path / "run", tiny.save_encoder(tmp_path / "encoder"), settings)
    assert all(other == first for other in others)
