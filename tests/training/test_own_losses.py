"""What a loss combiner knows of a batch, and losses of its own: here a teacher's, as in distillation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from installing import install

from xmlkit import UserError
from xmlkit.data.corpus import Labels
from xmlkit.testing.tiny import losses_of
from xmlkit.training import train as training

TEACHES = """
import torch
import torch.nn.functional as F
from xmlkit import LossCombiner, hookimpl
seen = []
class Taught(LossCombiner):
    def __init__(self, inner, build):
        super().__init__(inner)
        documents = len(build.train_labels) if build.train_labels else 0
        self.ids = list(build.label_ids)
        rng = torch.Generator().manual_seed(0)
        self.register_buffer("ids_NX", torch.randint(build.num_labels, (documents, 3), generator=rng))
    sized = ("ids_NX",)
    @property
    def loss_names(self): return (*self.inner.loss_names, "teacher")
    def own_losses(self, scores_BX, training):
        ids_BX = self.ids_NX[training.rows_B.clamp(min=0)]
        seen.append((training.rows_B.tolist(), training.labels.values_V.tolist()))
        known = self.inner.own_losses(scores_BX, training)
        return {**known, "teacher": F.softplus(-scores_BX(ids_BX)).sum(1).mean()}
@hookimpl(wrapper=True)
def loss(build): return Taught((yield), build)
"""
NAMELESS = TEACHES.replace('"teacher": F', '"other": F')


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize("clustered", [True, False])
def test_the_gradient_is_that_of_the_sum(plugin_folder, clustered):
    """By plain differentiation, without the boundary."""
    install(plugin_folder, "teaches", TEACHES)
    starts = {"starts": [0, 9, 15]} if clustered else {}
    ours = tiny.model(plugins=["teaches"], start="random", dropout=0.0, **starts).double()
    documents, given = tiny.batch(["w1 w2", "w3", "w4 w5 w6"])
    output = ours(documents, given)
    assert list(output.losses) == [*(["generator"] if clustered else []), "ranker", "teacher"]
    ours.backward(output)
    found = [p.grad.to_dense().clone() for p in ours.encoder.parameters() if p.grad is not None]
    ours.zero_grad()
    rank_BD = ours.vectors(documents).rank_BD
    z_BX = ours.head.scores_BU(rank_BD, slice(0, 23)).gather(1, ours.combiner.ids_NX[:3])
    teacher = torch.nn.functional.softplus(-z_BX).sum(1).mean()
    torch.testing.assert_close(output.losses["teacher"], teacher)
    rest = tiny.model(start="random", dropout=0.0, **starts).double()
    rest.backward(rest(documents, given))
    teacher.backward()
    expected = [p.grad for p in ours.encoder.parameters() if p.grad is not None]
    without = [p.grad for p in rest.encoder.parameters() if p.grad is not None]
    for gradient, own, other in zip(found, expected, without, strict=True):
        torch.testing.assert_close(gradient, own + other)


def test_which_documents_these_are(tmp_path, encoder, plugin_folder):
    """Places in `build.train_labels`, whose labels are those of the batch; -1 is a label's name."""
    install(plugin_folder, "teaches", TEACHES)
    corpus = tiny.learnable_corpus()
    named = Labels(corpus.labels.ids, [f"{label} w40" for label in corpus.labels.ids])
    corpus = replace(corpus, labels=named)
    settings = {"encoder": encoder, "max_len": 16, "batch_size": 16, "epochs": 1, "device": "cpu"}
    settings |= {"plugins": ["teaches"], "validation": 0.2, "name_documents": "hard", "log_every": 1}
    trainer = training.prepare(corpus, settings, tmp_path / "run")
    trainer.fit()
    from teaches import seen

    rows = [row for rows, _ in seen for row in rows]
    documents = len(trainer.data.train_rows)
    assert sorted(row for row in rows if row >= 0) == list(range(documents)) and rows.count(-1) == 10
    known = trainer.data.labels.take(trainer.data.train_rows)
    for rows_B, values_V in seen:
        names = [value for value in values_V] if -1 in rows_B else None
        expected = [known[row].tolist() for row in rows_B if row >= 0]
        if names is None:
            assert values_V == [label for labels in expected for label in labels]
    assert trainer.model.combiner.ids == corpus.labels.ids
    assert "teacher" in losses_of(tmp_path / "run")[0]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            NAMELESS,
            "loss: Taught.own_losses: losses are ['other'], expected ['teacher'] as loss_names has it",
        ),
        (TEACHES.replace('"teacher"', '"ranker"'), "two losses are called 'ranker'"),
    ],
)
def test_losses_that_were_not_announced(plugin_folder, source, expected):
    install(plugin_folder, "teaches", source)
    with pytest.raises(UserError) as error:
        ours = tiny.model(plugins=["teaches"])
        ours(*tiny.batch(["w1"]))
    assert expected in str(error.value)
