"""Texts without labels in training: what they cost, what they leave alone, how a run goes on with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

from xmlkit.discovery import BASE, installed
from xmlkit.errors import Incompatible, UserError
from xmlkit.passing import RaggedLabels
from xmlkit.testing.tiny import losses_of, named_corpus
from xmlkit.training import train as training
from xmlkit.training.feed import micro_batches_of

WATCHES = """
import torch
from xmlkit import LossCombiner, hookimpl
seen, built = [], []
class Watches(LossCombiner):
    @property
    def loss_names(self): return (*self.inner.loss_names, "watched")
    def own_losses(self, scores_BX, training):
        seen.append((training.labelled, training.rows_B.tolist(), len(training.labels.values_V)))
        z_BX = scores_BX(training.rows_B.abs()[:, None] % 3)
        return {**self.inner.own_losses(scores_BX, training), "watched": z_BX.square().mean()}
@hookimpl(wrapper=True)
def loss(build):
    inner = yield
    built.append((build.unlabelled_documents, build.train_documents, build.train_labels))
    return Watches(inner)
"""
SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.2, "device": "cpu", "precision": "float32"}
SETTINGS |= {"log_every": 1, "epochs": 1, "plugins": ["watches"], "micro_batch_size": 5}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def settings(encoder, plugin_folder, tmp_path):
    """A plugin that looks at what passes, and 30 texts."""
    install(plugin_folder, "watches", WATCHES)
    path = tmp_path / "texts"
    path.write_text("".join(f"w59 w{row} {text}\n" for row, text in enumerate(tiny.texts(30, seed=11))))
    return {**SETTINGS, "encoder": encoder, "unlabelled": str(path)}


@pytest.mark.parametrize("names", [None, "hard", "soft"])
def test_an_epoch_reads_each_once_apart_from_documents_and_names(settings, tmp_path, names):
    """Places are -2 - i; what is known of the training documents is as it was."""
    trainer = training.prepare(named_corpus(), {**settings, "name_documents": names}, tmp_path / "run")
    trainer.fit()
    from watches import built, seen

    (texts, documents, labels), count = built[0], len(trainer.data.train_rows)
    assert texts == (tmp_path / "texts").read_text().splitlines()
    assert len(documents) == len(labels) == count
    bare = [row for labelled, rows, _ in seen if not labelled for row in rows]
    others = [row for labelled, rows, _ in seen if labelled for row in rows]
    assert sorted(bare) == [-2 - place for place in reversed(range(len(texts)))]
    assert sorted(row for row in others if row >= 0) == list(range(count))
    assert others.count(-1) == len(others) - count == (12 if names else 0)
    assert all(not labels for labelled, _, labels in seen if not labelled)
    # As without them: counts, and so propensities, and steps of an epoch alone are more.
    assert trainer.data.counts_L.tolist() == np.bincount(named_corpus().train.labels.values).tolist()
    assert trainer.run.num_steps == -(-(count + len(texts) + others.count(-1)) // 16)


def test_a_step_is_the_mean_over_all_its_documents(settings, tmp_path):
    """Three documents and two bare texts: the ranker's loss is that of the three, times 3 / 5."""
    trainer = training.prepare(named_corpus(), settings, tmp_path / "run")
    data, config = trainer.data, trainer.config
    rows = np.array([data.train_rows[0], len(data.labels) + 3, *data.train_rows[1:3], len(data.labels) + 7])
    batches = micro_batches_of(data, rows, config, trainer.device)
    assert [(b.labelled, len(b.labels)) for b in batches] == [(True, 3), (False, 2)]
    assert [batch.share for batch in batches] == [0.6, 0.4]
    texts = data.unlabelled.documents
    expected = data.unlabelled.texts
    for place, row in zip(batches[1].rows_B.tolist(), range(2), strict=True):
        text = batches[1].documents.text
        tokens = text.values_W[text.offsets[row] : text.offsets[row + 1]].tolist()
        assert tokens == expected[-2 - place].tolist() and texts[-2 - place] in texts
    trainer.model.eval()  # without dropout
    alone = trainer.model(*batches[0].on(trainer.device, trainer.rng)).losses["ranker"].item()
    losses = trainer.step(batches)
    assert losses["ranker"].item() == pytest.approx(0.6 * alone)
    assert losses["loss"].item() == pytest.approx(losses["ranker"].item() + losses["watched"].item())


@pytest.mark.parametrize("starts", [None, [0, 9, 15]], ids=["flat", "clustered"])
def test_the_gradient_of_a_bare_batch_is_that_of_its_own_losses_alone(plugin_folder, starts):
    install(plugin_folder, "watches", WATCHES)
    ours = tiny.model(plugins=["watches"], start="random", dropout=0.0, starts=starts).double()
    documents, given = tiny.batch(["w1 w2", "w3", "w4 w5 w6"])
    none = RaggedLabels(torch.zeros(0, dtype=torch.long), torch.zeros(4, dtype=torch.long), 23, 0)
    given = replace(given, labels=none, rows_B=torch.tensor([-2, -3, -6]), labelled=False)
    output = ours(documents, given)
    assert [name for name, loss in output.losses.items() if loss.item()] == ["watched"]
    ours.backward(output)
    found = {name: p.grad.to_dense().clone() for name, p in ours.named_parameters() if p.grad is not None}
    ours.zero_grad()
    z_BL = ours.head.scores_BU(ours.vectors(documents).rank_BD, slice(0, 23))
    z_BL.gather(1, torch.tensor([[2], [0], [0]])).square().mean().backward()
    expected = {name: p.grad for name, p in ours.encoder.named_parameters() if p.grad is not None}
    assert expected
    for name, gradient in expected.items():
        torch.testing.assert_close(found[f"encoder.{name}"], gradient)


@pytest.mark.parametrize("clustered", [False, True], ids=["flat", "clustered"])
@pytest.mark.parametrize("name", sorted(set(installed()) - {BASE, "watches"}))
def test_a_bare_batch_goes_through_every_plugin(plugin_folder, name, clustered):
    """And costs no loss of shortlist or ranker; what such a batch alone makes a step is stepped."""
    install(plugin_folder, "watches", WATCHES)
    kind = {"starts": range(0, 24, 3), "shortlist": 2, "label_width": 8} if clustered else {}
    try:
        ours = tiny.model(24, [name, "watches"], start="random", dropout=0.0, **kind)
    except Incompatible as error:
        pytest.skip(str(error))
    except UserError as error:  # some are for clusters, or for labels with names
        pytest.skip(str(error))
    documents, given = tiny.batch(["w1 w2", "w3"], 24)
    none = RaggedLabels(torch.zeros(0, dtype=torch.long), torch.zeros(3, dtype=torch.long), 24, 0)
    given = replace(given, labels=none, rows_B=torch.tensor([-2, -3]), labelled=False)
    ours.train()
    output = ours(documents, given)
    assert all(loss.item() == 0 for loss_name, loss in output.losses.items() if loss_name != "watched")
    assert torch.isfinite(ours.backward(output))


def test_frozen_they_cost_the_same_as_read_anew(settings, tmp_path, monkeypatch):
    """What the encoder said of them is kept with the rest."""
    corpus = named_corpus()
    given = {**settings, "freeze": True, "start": "prior", "dropout": 0.0, "max_steps": 4}
    training.train(corpus, given, tmp_path / "kept")
    monkeypatch.setattr("xmlkit.training.trainer.with_means", lambda model, data, config: data)
    training.train(corpus, given, tmp_path / "anew")
    kept, anew = (
        [line["watched"] for line in losses_of(tmp_path / name) if "watched" in line]
        for name in ("kept", "anew")
    )
    assert len(kept) == 4 and kept == pytest.approx(anew, rel=0.02)


@pytest.mark.parametrize("clustered", [False, True], ids=["flat", "clustered"])
def test_a_kill_and_resume_give_the_unbroken_weights(settings, tmp_path, clustered):
    """Unless the file has other texts by then, which is said."""
    corpus, given = named_corpus(), {**settings, "checkpoint_every": 3}
    given |= {"clustered": clustered, "cluster_size": 3, "shortlist": 2, "label_width": 8}
    training.train(corpus, given, tmp_path / "whole")
    with tiny.killed_before_step(5):
        training.train(corpus, given, tmp_path / "killed")
    path = tmp_path / "texts"
    was = path.read_text()
    path.write_text(was.replace("w59", "w58"))
    with pytest.raises(
        UserError,
        match=f"{path} has other texts than when .*killed was begun, or other ones are test documents",
    ):
        training.resume(tmp_path / "killed", corpus)
    path.write_text(was)
    training.resume(tmp_path / "killed", corpus)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_no_loss_learns_from_them(settings, tmp_path):
    """Nothing is left behind."""
    with pytest.raises(UserError, match="no loss learns from texts without labels: add --plugin distil"):
        training.train(named_corpus(), {**settings, "plugins": []}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="it is no file"):
        training.train(named_corpus(), {**settings, "unlabelled": "nowhere"}, tmp_path / "run")


def test_the_path_is_kept_whole(settings, tmp_path, monkeypatch):
    """A run goes on from another folder."""
    monkeypatch.chdir(tmp_path)
    trainer = training.prepare(named_corpus(), {**settings, "unlabelled": "texts"}, tmp_path / "run")
    assert trainer.config.unlabelled == str(tmp_path / "texts")
