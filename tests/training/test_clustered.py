"""Training on the clustered path: it learns, resumes to the bit, reports its shortlists."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import tiny
import torch
from marking import mostly_slow
from safetensors.torch import load_file

import xmlkit
from xmlkit.config import resolve
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.model.folder import read_labels
from xmlkit.presets import preset_settings, presets
from xmlkit.training import assemble, checked
from xmlkit.training import train as training
from xmlkit.training.shortlists import ShortlistWatch
from xmlkit.training.trainer import Trainer

QUICK = {"max_len": 16, "batch_size": 16, "epochs": 2, "validation": 0.2, "log_every": 1, "device": "cpu"}
CLUSTERED = {**QUICK, "clustered": True, "cluster_size": 3, "shortlist": 2, "label_width": 16}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def log(folder, key="loss"):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def run(folder, encoder, **settings):
    return training.train(tiny.learnable_corpus(), {"encoder": encoder, **CLUSTERED, **settings}, folder)


def weights(folder):
    return load_file(folder / "model.safetensors")


def equal(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_the_names_come_back(tmp_path, encoder):
    trained = run(tmp_path / "a", encoder, epochs=12, lr=3e-3, head_lr=4e-2, pooling="mean")
    assert trained.metrics["P@1"] > 80
    assert log(tmp_path / "a", "shortlist/recall")[-1] > 80
    lines = [json.loads(line) for line in (tmp_path / "a" / "labels.jsonl").read_text().splitlines()]
    assert [line["cluster"] for line in lines] == sorted(line["cluster"] for line in lines)
    assert sorted(line["id"] for line in lines) == tiny.learnable_corpus().labels.ids
    corpus = tiny.learnable_corpus()
    counts = {
        label: int((corpus.train.labels.values == row).sum()) for label, row in corpus.labels.rows.items()
    }
    assert {line["id"]: line["documents"] for line in lines} == counts
    (tmp_path / "a").rename(tmp_path / "b")
    model = xmlkit.load(tmp_path / "b")
    assert model.predict(["w55 w3 w44"], top_k=1)[0][0].label == "w3"
    # The same documents, whatever rows a corpus gives its labels.
    assert model.evaluate(corpus.test) == trained.metrics
    turned = corpus.reordered(np.arange(len(corpus.labels))[::-1])
    assert turned.labels.ids != corpus.labels.ids
    assert model.evaluate(turned.test) == trained.metrics


def test_labels_that_a_model_does_not_know_count_as_missed(tmp_path, encoder):
    run(tmp_path / "a", encoder, max_steps=1)
    model = xmlkit.load(tmp_path / "a")
    (found,) = model.predict(["w1 w2"], top_k=5)
    for names in (["known"], ["new", "known"]):  # a label of the test split alone may be one that it knows
        rows = [[found[0].label if name == "known" else name for name in names], ["newer"]]
        for trained_on in (["a label of another corpus"], rows[0]):
            other = Corpus.of(["w1"], [trained_on], ["w1 w2", "w3"], rows)
            assert model.evaluate(other.test)["R@5"] == pytest.approx(50 / len(names))


def test_ctrl_c_in_an_epoch_and_resume_give_the_unbroken_weights(tmp_path, encoder, monkeypatch):
    """Rows with their own moments, the averaged weights, the last shortlists, dropout kept off."""
    corpus = tiny.learnable_corpus()
    settings = {"encoder": encoder, **CLUSTERED, "swa_start": 0.3, "swa_every": 2, "eval_every": 4}
    settings["dropout_off_after_eval"] = True
    training.train(corpus, settings, tmp_path / "whole")
    real = Trainer.step

    def interrupted(self, rows):
        losses = real(self, rows)
        if self.step_number == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        trained = training.train(corpus, settings, tmp_path / "broken")
    assert trained.outcome == "interrupted"
    torch.rand(5)
    assert training.resume(tmp_path / "broken", corpus).outcome == "finished"
    assert equal(tmp_path / "whole", tmp_path / "broken")
    for name in ("loss", "shortlist/churn", "averaged_shortlist/churn", "averaged_shortlist/recall"):
        assert log(tmp_path / "broken", name) == log(tmp_path / "whole", name) != []


def test_clusters_come_on_by_themselves_above_a_number_of_labels(tmp_path, encoder, monkeypatch):
    for most, expected in ((9, True), (10, False)):
        monkeypatch.setattr(checked, "MANY_LABELS", most)
        run(tmp_path / str(most), encoder, max_steps=1, clustered=None)
        assert json.loads((tmp_path / str(most) / "config.json").read_text())["clustered"] is expected
        assert (read_labels(tmp_path / str(most))[2] is not None) is expected


def test_what_it_says_of_clusters_and_of_settings_that_do_nothing(tmp_path, encoder, capsys):
    run(tmp_path / "a", encoder, max_steps=1, cluster_size=2, shortlist=1, swa_start=99)
    err = " ".join(capsys.readouterr().err.split())
    assert "10 labels in 8 clusters, of which 1 are shortlisted" in err
    assert "shortlist=1: as few as 1 labels are scored; raise shortlist or cluster_size" in err
    assert "swa_start=99: no weights will enter the average in 1 steps" in err
    run(tmp_path / "b", encoder, swa_start=0, swa_every=1, patience=2, validation=0)
    err = " ".join(capsys.readouterr().err.split())
    assert "10 labels in 4 clusters, of which 2 are shortlisted" in err
    assert "patience=2: no document is held out, so that nothing will stop it early" in err
    assert "no weights" not in err and "as few as" in err  # 2 clusters of at least 2, for P@5


def test_validation_documents_play_no_part_in_the_clusters(tmp_path, encoder, monkeypatch):
    seen = []
    real = assemble.clusters_of_corpus
    monkeypatch.setattr(
        assemble, "clusters_of_corpus", lambda texts, *rest: seen.append(texts) or real(texts, *rest)
    )
    settings = {"encoder": encoder, **CLUSTERED, "start": "prior"}
    trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / "a")
    texts = tiny.learnable_corpus().train.texts
    assert seen == [[texts[row] for row in trainer.data.train_rows]]
    assert len(trainer.data.validation_rows) > 30


@pytest.mark.parametrize(
    ("num_labels", "settings"),
    [
        (201, {"cluster_size": 100}),
        (9, {"cluster_size": 1}),  # clusters of one
        (9, {"cluster_size": 5, "shortlist": 50}),  # fewer clusters than the shortlist holds
        (1, {}),
    ],
)
def test_corpora_and_clusters_at_the_edge(tmp_path, encoder, num_labels, settings):
    """One document has sixty labels, or all there are; some have none."""
    names = [f"l{i}" for i in range(num_labels)]
    rows = [names[:60], *([names[i % num_labels]] for i in range(max(num_labels, 40))), []]
    texts = [f"w{i % 60} w{i // 60}" for i in range(len(rows))]
    corpus = Corpus.of(texts, rows, texts[:9], rows[:9])
    trained = training.train(corpus, {"encoder": encoder, **CLUSTERED, **settings}, tmp_path / "a")
    assert trained.outcome == "finished" and np.isfinite(log(tmp_path / "a")).all()
    _, _, clusters = read_labels(tmp_path / "a")
    assert int(clusters.starts[-1]) == num_labels
    assert xmlkit.load(tmp_path / "a").evaluate(corpus.test) == trained.metrics


def test_a_plugin_with_a_shortlist_without_clusters_is_measured_by_its_candidates(
    tmp_path, encoder, example_plugins
):
    """At prediction `batch-labels` has every label as a candidate."""
    run(tmp_path / "a", encoder, plugins=["batch-labels"], max_steps=2)
    assert log(tmp_path / "a", "shortlist/recall") == [100.0]
    assert not log(tmp_path / "a", "shortlist/churn")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_plugins_around_the_clustered_path(tmp_path, encoder, example_plugins, precision):
    plugins = ["layer-gain", "text-length", "cosine", "label-smoothing"]
    trained = run(tmp_path / "a", encoder, plugins=plugins, precision=precision, epochs=6)
    losses = np.array(log(tmp_path / "a"))
    assert np.isfinite(losses).all() and losses[-9:].mean() < losses[:9].mean()
    assert xmlkit.load(tmp_path / "a").evaluate(tiny.learnable_corpus().test) == trained.metrics


def test_recall_and_churn_by_hand(tmp_path, encoder, monkeypatch):
    trainer = training.prepare(
        tiny.learnable_corpus(),
        {"encoder": encoder, **CLUSTERED, "shortlist": 1, "start": "prior"},
        tmp_path / "a",
    )
    watch, model = trainer.watch, trainer.model
    assert isinstance(watch, ShortlistWatch) and len(watch.rows) == len(trainer.data.validation_rows)
    clusters = model.shortlister.clusters
    bias = model.shortlister.biases.weight
    with torch.no_grad():
        bias[0], bias[1] = 5.0, 4.0  # weights are zero, so all documents get cluster 0
        first = watch.look("x", model, 1000)
        bias[0] = 3.0
        second = watch.look("x", model, 1000)
    found = clusters.of(torch.from_numpy(watch.truth.values))
    assert first == {"x/recall": pytest.approx(100 * float((found == 0).float().mean()))}
    assert second == {
        "x/recall": pytest.approx(100 * float((found == 1).float().mean())),
        "x/churn": 100.0,
    }
    assert watch.look("x", model, 1000)["x/churn"] == 0.0


def test_dropout_stays_off_after_an_evaluation_inside_an_epoch(tmp_path, encoder, monkeypatch):
    seen = []
    real = Trainer.step

    def remember(self, rows):
        seen.append(self.model.training)
        return real(self, rows)

    monkeypatch.setattr(Trainer, "step", remember)
    corpus = Corpus.of([f"w{i % 60} w{i // 60}" for i in range(100)], [["a"]] * 100)
    settings = {"encoder": encoder, **QUICK, "batch_size": 10, "validation": 0.2, "eval_every": 3}
    training.train(corpus, {**settings, "dropout_off_after_eval": True}, tmp_path / "a")
    # Eight steps an epoch; evaluations after steps 3, 6, 9, 12, 15.
    assert seen == [True] * 3 + [False] * 5 + [True] + [False] * 7
    seen.clear()
    training.train(corpus, settings, tmp_path / "b")
    assert all(seen)


def test_a_stored_start_is_the_start_of_a_fresh_run(tmp_path, encoder, example_plugins):
    """Shared by runs with and without plugins: what they share begins, and stays, equal to the bit."""
    corpus = tiny.learnable_corpus()
    settings = {"encoder": encoder, **CLUSTERED, "seed": 4, "max_steps": 2}
    start = training.store_start(corpus, settings, tmp_path / "start")
    training.train(corpus, settings, tmp_path / "fresh")
    training.train(corpus, {**settings, "cluster_size": 3}, tmp_path / "from", init_from=start)
    assert equal(tmp_path / "fresh", tmp_path / "from")
    assert json.loads((tmp_path / "from" / "model.json").read_text())["init_from"] == str(start)
    with_plugin = training.prepare(
        corpus, {**settings, "plugins": ["layer-gain", "cosine"]}, tmp_path / "plugin", start
    )
    ours, theirs = with_plugin.model.weights(), weights(start)
    assert ours.keys() - theirs.keys() == {"representation/layer-gain/gain_N"}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_starts_from_a_trained_one_with_its_encoder_clusters_and_widths(
    tmp_path, encoder, example_plugins
):
    run(tmp_path / "base", encoder, max_steps=3, pooling="mean", seed=3)
    settings = {
        **QUICK,
        "max_steps": 1,
        "plugins": ["label-smoothing"],
        "seed": 8,
        "lr": 1e-12,
        "head_lr": 1e-12,
    }
    corpus = tiny.learnable_corpus()
    training.train(corpus, settings, tmp_path / "next", init_from=tmp_path / "base")
    for name, tensor in weights(tmp_path / "base").items():
        torch.testing.assert_close(weights(tmp_path / "next")[name], tensor, rtol=0, atol=1e-9)
    ids = [read_labels(tmp_path / name)[0].ids for name in ("base", "next")]
    assert ids[0] == ids[1]


def test_documents_held_out_by_a_run_stay_so_in_those_that_start_from_it(tmp_path, encoder):
    run(tmp_path / "base", encoder, max_steps=1, seed=3, validation=0.3)
    corpus = tiny.learnable_corpus()
    held_out = []
    for name, start in (("fresh", None), ("next", tmp_path / "base")):
        settings = {"encoder": encoder, **CLUSTERED, "seed": 8}
        if start:
            del settings["validation"]
        data = training.prepare(corpus, settings, tmp_path / name, start).data
        held_out.append(set(data.validation_rows.tolist()))
    assert len(held_out[1]) > len(held_out[0]) > 0
    assert held_out[0] < held_out[1]  # whatever the seed: a hash of the text decides


def test_starts_that_do_not_fit_are_one_line_errors(tmp_path, encoder, example_plugins):
    corpus = tiny.learnable_corpus()
    run(tmp_path / "base", encoder, max_steps=1, plugins=["layer-gain"])
    where = tmp_path / "base"
    other = Corpus.of(["w1", "w2"], [["a"], ["b"]])
    cases = [
        (corpus, {**QUICK, "label_width": 8}, "label_width=8: --init-from .* has 16; leave label_width out"),
        (corpus, {**QUICK, "clustered": False}, "clustered=False"),
        (corpus, {**QUICK, "encoder": "scratch"}, "encoder=scratch"),
        (corpus, {**QUICK, "validation": 0.4}, "validation=0.4: .* has 0.2"),
        (corpus, QUICK, r"has 'representation/layer-gain/gain_N', which this model lacks"),
        (other, {**QUICK, "plugins": ["layer-gain"]}, "which are not the same"),
    ]
    for number, (data, settings, expected) in enumerate(cases):
        with pytest.raises(UserError, match=expected) as error:
            training.train(data, settings, tmp_path / str(number), init_from=where)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is not a run"):
        training.train(corpus, QUICK, tmp_path / "x", init_from=tmp_path)


@pytest.mark.parametrize("name", mostly_slow(sorted(presets()), ("eurlex4k", "amazon670k")))
def test_presets_train_from_end_to_end(tmp_path, name):
    """Each member, with what makes it large made small: the corpus, the encoder, clusters, epochs."""
    for member, own in enumerate(presets()[name].members):
        given = preset_settings(name, member)
        config = resolve(given)
        assert (config.recipe, config.reduction, config.schedule) == ("lightxml", "mean", "constant")
        assert all(getattr(config, key) == value for key, value in own.items())
        folder = tiny.save_encoder(tmp_path / f"encoder{member}", config.encoder.partition("-")[0])
        small = {"encoder": folder, "max_len": 16, "cluster_size": 2, "shortlist": 3, "max_steps": 3}
        small |= {"eval_every": 2, "swa_start": 0, "swa_every": 1}
        run = tmp_path / str(member)
        trained = training.train(tiny.learnable_corpus(), {**given, **small}, run)
        assert trained.outcome == "finished" and np.isfinite(list(trained.metrics.values())).all()
        clusters = read_labels(run)[2]
        assert clusters.num_clusters == 8 if config.clustered else clusters is None
        assert log(run, "averaged_shortlist/churn") if config.clustered else not log(run, "shortlist/recall")
