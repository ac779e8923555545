"""The event `trained`: once, with the best weights, over the run's own documents, and saved again."""

from __future__ import annotations

import json
import os
import signal
import sys

import numpy as np
import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

import xmlkit
from xmlkit.metrics import score_ranking
from xmlkit.training import train as training
from xmlkit.training import trainer as trainer_module
from xmlkit.training.assemble import held_out
from xmlkit.training.trainer import Trainer

QUICK = {"max_len": 16, "batch_size": 16, "epochs": 2, "validation": 0.2, "log_every": 1, "device": "cpu"}
KEEPER = """
'''Keeps a vote for each label, of each run its own, and what it was told.'''
import torch
from xmlkit import Shortlist, Shortlister, hookimpl

heard = []
votes = [0.0] * 9 + [50.0]
fails = []

class Keeper(Shortlister):
    adds_votes = True
    sized = ("votes_L",)

    def __init__(self, inner):
        super().__init__(inner)
        self.register_buffer("votes_L", torch.zeros(0))

    def forward(self, vectors, documents, training):
        short = None if self.every_label else self.inner(vectors, documents, training)
        if training is not None or not len(self.votes_L):
            return short
        shape = len(vectors.rank_BD), len(self.votes_L)
        ids_BL = torch.arange(shape[1], device=self.votes_L.device).expand(shape)
        one_BL, votes_BL = torch.ones(shape), self.votes_L.expand(shape)
        if short is None:
            return Shortlist(vectors.rank_BD, ids_BL, one_BL.bool(), one_BL, votes_BC=votes_BL)
        return short.extended(ids_BL, one_BL.bool(), None, one_BL, votes_BL)

@hookimpl(wrapper=True)
def shortlist():
    return Keeper((yield))

@hookimpl
def evaluated(run, metrics):
    heard.append(("evaluated", metrics))

@hookimpl
def trained(run, read):
    heard.append(("trained", run, read, {n: t.clone() for n, t in run.model.weights().items()}))
    if fails:
        raise fails.pop()
    run.model.shortlister.votes_L = torch.tensor(votes)

@hookimpl
def run_ended(outcome):
    heard.append((outcome,))
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def keeper(plugin_folder):
    install(plugin_folder, "keeper", KEEPER)
    import keeper

    yield keeper
    sys.modules.pop("keeper", None)


def run(folder, encoder, **settings):
    corpus = tiny.learnable_corpus()
    return training.train(corpus, {"encoder": encoder, **QUICK, "plugins": ["keeper"], **settings}, folder)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("clustered", [False, True])
def test_what_it_leaves_in_the_model_is_saved_scored_and_opened(tmp_path, encoder, keeper, clustered, capsys):
    """A vote of 50 for the last label makes it the first of every document."""
    settings = {"clustered": clustered, "cluster_size": 3, "shortlist": 2, "label_width": 8}
    run(tmp_path / "run", encoder, max_steps=3, **settings)
    before, trained, after, ended = keeper.heard
    assert [before[0], trained[0], after[0], ended] == ["evaluated", "trained", "evaluated", ("finished",)]
    last, end = lines(tmp_path / "run")[-2:]
    assert (
        last["step"] == 3
        and end == {"step": 3, "outcome": "finished"}
        and last["trained/validation/P@1"] == round(after[1]["P@1"], 4)
    )
    assert before[1] != after[1]
    assert "step 3, trained: validation" in capsys.readouterr().err
    assert weights(tmp_path / "run")["shortlist/keeper/votes_L"].tolist() == keeper.votes
    opened = xmlkit.load(tmp_path / "run")
    assert {found[0].label for found in opened.predict(["w1", "", "w3 w4"])} == {opened.labels.ids[9]}


@pytest.mark.parametrize("swa", [{}, {"swa_start": 0, "swa_every": 1}])
def test_the_model_has_the_best_weights_be_they_not_the_last(tmp_path, encoder, keeper, monkeypatch, swa):
    real, scores = Trainer.scores, iter([3.0, 7.0, 5.0, 4.0, 6.0])
    monkeypatch.setattr(Trainer, "scores", lambda *a: {**real(*a), "P@5": next(scores), "nDCG@5": 1.0})
    saved = []
    real_save = trainer_module.save_weights

    def save(folder, model):
        real_save(folder, model)
        saved.append(weights(folder))

    monkeypatch.setattr(trainer_module, "save_weights", save)
    run(tmp_path / "run", encoder, epochs=4, **swa)
    (at_event,) = [heard[3] for heard in keeper.heard if heard[0] == "trained"]
    assert len(saved) == 3  # step 1 of 4, step 2, and after the event
    best, last = saved[1:]
    assert all(torch.equal(best[name], at_event[name]) for name in best)
    assert all(torch.equal(best[name], last[name]) for name in best if not name.endswith("votes_L"))


def test_each_document_is_read_at_its_place(tmp_path, encoder, keeper):
    run(tmp_path / "run", encoder, max_steps=2, precision="float32")
    _, (_, event, read, _), *_ = keeper.heard
    corpus, model = tiny.learnable_corpus(), event.model
    apart = held_out(corpus, event.config)
    model.shortlister.votes_L = torch.zeros(0)
    for documents, rows in ((read.training, ~apart), (read.held_out, apart)):
        rows = np.flatnonzero(rows)
        some = torch.tensor([5, 2, 9])
        for places in (None, some):
            seen = []
            for places_B, batch, vectors in documents.batches(places):
                assert not model.training and not vectors.rank_BD.requires_grad
                assert len(places_B) == len(batch.tokens_BT) == len(vectors.rank_BD)
                for place, x_D in zip(places_B.tolist(), vectors.rank_BD, strict=True):
                    text = corpus.train.texts[rows[place]]
                    alone, _ = tiny.batch([text])
                    with torch.no_grad():
                        expected_D = model.vectors(alone).rank_BD[0]
                    torch.testing.assert_close(x_D, expected_D, rtol=1e-4, atol=1e-5)
                seen += places_B.tolist()
            assert sorted(seen) == (list(range(len(rows))) if places is None else [2, 5, 9])
        truth = corpus.train.labels.take(rows)
        assert documents.labels.values_V.tolist() == truth.values.tolist()
        assert documents.labels.offsets.tolist() == truth.offsets.tolist()


def test_scores_are_the_models_and_metrics_those_of_the_run(tmp_path, encoder, keeper):
    run(tmp_path / "run", encoder, max_steps=2, precision="float32")
    _, (_, event, read, _), (_, metrics), _ = keeper.heard
    ids_NK = torch.full((len(read.held_out.labels), 5), -1)
    for places_B, documents, vectors in read.held_out.batches():
        scores_Bk, ids_Bk = read.rank(vectors, documents, 5)
        assert all(torch.equal(*pair) for pair in zip((scores_Bk, ids_Bk), event.model.rank(documents, 5)))
        ids_NK[places_B] = ids_Bk
        z_Bk = read.logits_BC(vectors.rank_BD, ids_Bk)
        votes_Bk = torch.tensor(keeper.votes)[ids_Bk]
        torch.testing.assert_close(scores_Bk, (z_Bk + votes_Bk).sigmoid(), rtol=1e-5, atol=1e-6)
    assert read.metrics(ids_NK) == pytest.approx(metrics)
    corpus = tiny.learnable_corpus()
    truth = corpus.train.labels.take(np.flatnonzero(held_out(corpus, event.config)))
    counts_L = np.bincount(corpus.train.labels.values, minlength=len(corpus.labels))
    narrow = np.pad(ids_NK[:, :2].numpy(), ((0, 0), (0, 3)), constant_values=-1)
    expected = score_ranking(narrow, truth, counts_L, len(corpus.train.texts))
    assert read.metrics(ids_NK[:, :2]) == pytest.approx(expected)


def test_ctrl_c_leaves_it_to_the_resumed_run(tmp_path, encoder, keeper, monkeypatch):
    run(tmp_path / "whole", encoder)
    real = Trainer.step

    def interrupted(self, batches):
        losses = real(self, batches)
        if self.step_number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    keeper.heard.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert run(tmp_path / "broken", encoder).outcome == "interrupted"
    assert keeper.heard == [("interrupted",)]
    assert weights(tmp_path / "broken")["shortlist/keeper/votes_L"].shape == (0,)
    assert xmlkit.load(tmp_path / "broken").predict(["w1"])
    training.resume(tmp_path / "broken", tiny.learnable_corpus())
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_failure_in_it_loses_no_weights_and_the_run_can_be_resumed(tmp_path, encoder, keeper):
    run(tmp_path / "whole", encoder)
    keeper.fails.append(RuntimeError("of the plugin"))
    with pytest.raises(RuntimeError, match="of the plugin"):
        run(tmp_path / "broken", encoder)
    assert xmlkit.load(tmp_path / "broken").predict(["w1"])
    training.resume(tmp_path / "broken", tiny.learnable_corpus())
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert sum("trained/validation/P@1" in line for line in lines(tmp_path / "broken")) == 1


def test_without_held_out_documents_it_is_called_all_the_same(tmp_path, encoder, keeper):
    run(tmp_path / "run", encoder, max_steps=2, validation=0)
    (_, _, read, at_event), ended = keeper.heard
    assert ended == ("finished",) and not len(read.held_out.labels) and not list(read.held_out.batches())
    saved = weights(tmp_path / "run")
    assert all(torch.equal(saved[name], at_event[name]) for name in saved if not name.endswith("votes_L"))
    assert not any("trained/validation/P@1" in line for line in lines(tmp_path / "run"))
    with pytest.raises(xmlkit.UserError, match="no documents to score"):
        read.metrics(torch.zeros(0, 5, dtype=torch.long))


def test_a_runs_kept_buffers_do_not_start_another(tmp_path, encoder, keeper):
    run(tmp_path / "start", encoder, max_steps=1)
    settings = {"encoder": encoder, **QUICK, "plugins": ["keeper"]}
    trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / "next", tmp_path / "start")
    assert trainer.model.shortlister.votes_L.shape == (0,)


def test_a_run_that_had_stopped_early_stays_so(tmp_path, encoder, keeper):
    """What breaks off the event after its last step does not take it back to training."""
    early = {"patience": 1, "eval_every": 2, "lr": 1e-12, "head_lr": 1e-12, "epochs": 3}
    whole = run(tmp_path / "whole", encoder, **early)
    keeper.fails.append(RuntimeError("of the plugin"))
    with pytest.raises(RuntimeError, match="of the plugin"):
        run(tmp_path / "broken", encoder, **early)
    resumed = training.resume(tmp_path / "broken", tiny.learnable_corpus())
    assert whole.outcome == resumed.outcome == "stopped early"
    for name in ("whole", "broken"):
        assert [line["step"] for line in lines(tmp_path / name) if "loss" in line] == [1, 2, 3, 4]
