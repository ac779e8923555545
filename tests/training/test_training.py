"""Training as a whole, on a tiny real model: it learns, repeats, resumes and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

import xmlkit
from xmlkit.config import Config, resolve
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.training import train as training
from xmlkit.training import trainer as trainer_module
from xmlkit.training.checked import check
from xmlkit.training.trainer import Trainer

QUICK = {"max_len": 16, "batch_size": 16, "epochs": 2, "validation": 0.2, "log_every": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def log(folder, key="loss"):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def run(folder, encoder, **settings):
    return training.train(tiny.learnable_corpus(), {"encoder": encoder, **QUICK, **settings}, folder)


def test_it_learns_and_the_folder_can_be_moved(tmp_path, encoder):
    trained = run(tmp_path / "a", encoder, epochs=12, lr=3e-3, head_lr=1e-2, pooling="mean")
    assert trained.outcome == "finished"
    assert trained.metrics["P@1"] > 80
    assert log(tmp_path / "a")[-1] < log(tmp_path / "a")[0] / 3
    (tmp_path / "a").rename(tmp_path / "b")
    model = xmlkit.load(tmp_path / "b")
    (found,) = model.predict(["w55 w3 w44"], top_k=2)
    assert found[0].label == found[0].name == "w3" and found[0].score > 0.5 > found[1].score
    corpus = tiny.learnable_corpus()
    assert model.evaluate(corpus.test) == trained.metrics
    assert json.loads((tmp_path / "b" / "metrics.json").read_text()) == trained.metrics
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        *["config.json", "model.json", "labels.jsonl", "encoder", "model.safetensors", "log.jsonl"],
        *["metrics.json", ".lock"],
    }


def test_the_same_seed_gives_the_same_loss_and_another_does_not(tmp_path, encoder):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, encoder, seed=seed)
    assert log(tmp_path / "a") == log(tmp_path / "b") != log(tmp_path / "c")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_steps_loss_and_gradient_do_not_depend_on_its_micro_batches(tmp_path, encoder, monkeypatch):
    """Dropout off, since its draws do depend on them."""
    weights = {}
    for name, settings in {
        "whole": {},
        "docs": {"micro_batch_size": 3},
        "tokens": {"micro_batch_tokens": 40},
    }.items():
        run(tmp_path / name, encoder, dropout=0.0, max_steps=5, precision="float32", **settings)
        weights[name] = load_file(tmp_path / name / "model.safetensors")
    for name in ("docs", "tokens"):
        assert log(tmp_path / name) == pytest.approx(log(tmp_path / "whole"), rel=1e-4)
        for key, tensor in weights["whole"].items():
            torch.testing.assert_close(weights[name][key], tensor, rtol=1e-3, atol=1e-4)


def test_without_tricks_two_steps_are_adamw_by_hand(tmp_path, encoder):
    """torch's own optimiser on a plain model with the loss written out, batch by batch."""
    run(
        tmp_path / "run",
        encoder,
        **{"dropout": 0.0, "max_steps": 2, "schedule": "constant", "warmup": 0, "clip": None},
        **{"weight_decay": 0, "lr": 1e-3, "head_lr": 1e-3, "start": "random", "precision": "float32"},
        **{"row_state": "full", "pooling": "first"},
    )
    saved = load_file(tmp_path / "run" / "model.safetensors")
    settings = {"encoder": encoder, **QUICK, "dropout": 0.0, "start": "random", "pooling": "first"}
    trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / "other")
    model, data = trainer.model, trainer.data
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    lengths = data.reader.lengths[data.train_rows]
    for rows in trainer_module.training_steps(lengths, 16, 0, 0)[:2]:
        rows = data.train_rows[rows]
        states = model.encoder(data.reader.documents(rows))
        x = torch.cat([layer[:, 0] for layer in states.layers], 1)
        z = x @ model.head.rows.weight.T + model.head.biases.weight[:, 0]
        truth = torch.zeros_like(z)
        for i, row in enumerate(rows):
            truth[i, data.labels[row]] = 1.0
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, truth, reduction="sum") / len(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, tensor in model.weights().items():
        torch.testing.assert_close(saved[name], tensor, rtol=1e-3, atol=1e-5)


def test_averaging_is_the_mean_of_the_weights_that_entered(tmp_path, encoder, monkeypatch):
    seen = []
    real = Trainer.step

    def remember(self, rows):
        losses = real(self, rows)
        seen.append(self.model.head.rows.weight.detach().clone())
        return losses

    monkeypatch.setattr(Trainer, "step", remember)
    run(tmp_path / "a", encoder, swa_start=0.5, swa_every=3, validation=0)
    steps_an_epoch = len(seen) / 2
    entered = [seen[i - 1] for i in range(3, len(seen) + 1, 3) if i / steps_an_epoch > 0.5]
    assert len(entered) >= 3
    saved = load_file(tmp_path / "a" / "model.safetensors")["head/lightxml/rows.weight"]
    torch.testing.assert_close(saved, torch.stack(entered).mean(0))
    assert not torch.allclose(saved, seen[-1])


def test_the_best_weights_are_kept_and_it_stops_early(tmp_path, encoder, monkeypatch):
    """With scores of ours: the file holds the weights of the second evaluation, the best."""
    scores = iter([{"P@5": v, "nDCG@5": v, "P@1": v} for v in (3.0, 7.0, 5.0, 4.0, 9.0)])
    seen = []

    def score(*arguments):
        seen.append(trainer.model.head.rows.weight.detach().clone())
        return next(scores)

    trainer = training.prepare(
        tiny.learnable_corpus(), {"encoder": encoder, **QUICK, "eval_every": 2, "patience": 2}, tmp_path / "a"
    )
    monkeypatch.setattr(Trainer, "scores", score)
    assert trainer.fit() == "stopped early"
    assert log(tmp_path / "a", "validation/P@5") == [3.0, 7.0, 5.0, 4.0]
    saved = load_file(tmp_path / "a" / "model.safetensors")["head/lightxml/rows.weight"]
    assert torch.equal(saved, seen[1]) and not torch.equal(saved, seen[3])


def test_with_five_labels_or_fewer_the_order_decides(tmp_path, encoder):
    """P@5 is then the same for every ranking; what was learnt must be kept all the same."""
    few = Corpus.of([f"w{i % 3} w{9 + i % 7}" for i in range(90)], [[f"l{i % 3}"] for i in range(90)])
    settings = {"encoder": encoder, **QUICK, "epochs": 10, "lr": 3e-3, "head_lr": 1e-2, "pooling": "mean"}
    trained = training.train(few, settings, tmp_path / "a")
    assert len(set(log(tmp_path / "a", "validation/P@5"))) == 1
    assert [found[0].label for found in trained.model.predict(["w0 w9", "w1 w9", "w2 w9"])] == [
        "l0",
        "l1",
        "l2",
    ]


def test_events_reach_plugins(tmp_path, encoder, example_plugins):
    run(tmp_path / "a", encoder, plugins=["text-length"], max_steps=3)
    from text_length import heard

    assert heard == [
        ("run_started", 3),
        *[("step_ended", step, ["loss", "ranker"]) for step in (1, 2, 3)],
        ("evaluated", True),
        ("run_ended", "finished"),
    ]


def test_ctrl_c_ends_the_step_and_resume_gives_the_unbroken_weights(tmp_path, encoder, monkeypatch):
    corpus = tiny.learnable_corpus()
    settings = {"encoder": encoder, **QUICK, "swa_start": 0.3, "swa_every": 2, "eval_every": 4}
    training.train(corpus, settings, tmp_path / "whole")
    real, steps = Trainer.step, []

    def interrupted(self, rows):
        losses = real(self, rows)
        steps.append(self.step_number)
        if self.step_number == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        trained = training.train(corpus, settings, tmp_path / "broken")
    assert trained.outcome == "interrupted" and steps[-1] == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert xmlkit.load(tmp_path / "broken").predict(["w1"])
    torch.rand(5)  # the generators' state comes from the file
    assert training.resume(tmp_path / "broken", corpus).outcome == "finished"
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert log(tmp_path / "broken") == log(tmp_path / "whole")
    with pytest.raises(UserError, match="no checkpoint"):
        training.resume(tmp_path / "broken", corpus)


def test_a_checkpoint_in_the_middle_of_an_epoch_is_enough(tmp_path, encoder):
    """As after a kill: nothing but the last regular checkpoint is there."""
    corpus = tiny.learnable_corpus()
    settings = {"encoder": encoder, **QUICK, "checkpoint_every": 5}
    training.train(corpus, settings, tmp_path / "whole")
    with tiny.killed_before_step(8):
        training.train(corpus, settings, tmp_path / "killed")
    other = tiny.learnable_corpus(documents=200)
    with pytest.raises(UserError, match="other documents"):
        training.resume(tmp_path / "killed", other)
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # the crash cut a line off
    training.resume(tmp_path / "killed", corpus)
    whole, killed_weights = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed_weights[name]) for name in whole)
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


def test_a_loss_that_is_not_finite_is_a_one_line_error(tmp_path, encoder):
    expected = r"the loss is not finite at step \d+ \(ranker\), of the documents \d+, .* more: lower lr"
    with pytest.raises(UserError, match=expected):
        run(tmp_path / "a", encoder, lr=1e30, head_lr=1e30, clip=None, epochs=9)


def test_corpora_at_the_edge(tmp_path, encoder):
    """One document and so no validation; empty texts and documents without labels; a label in every one."""
    settings = {"encoder": encoder, **QUICK, "max_steps": 2}
    one = Corpus.of(["w1 w2"], [["a"]], [""], [["b"]])
    trained = training.train(one, settings, tmp_path / "one")
    assert trained.outcome == "finished" and trained.metrics["P@1"] == 0.0
    assert [p.label for p in xmlkit.load(tmp_path / "one").predict([""])[0]] == ["a"]
    odd = Corpus.of(["", "", "w1", "w2"] * 5, [["a b"], [], ["a b", "c"], ["a b"]] * 5)
    assert training.train(odd, settings, tmp_path / "odd").metrics is None
    assert [p.label for p in xmlkit.load(tmp_path / "odd").predict(["w3"])[0]] == ["a b", "c"]


@pytest.mark.parametrize("name", sorted(set(tiny.CONFIGS) - {"bert"}))
def test_every_architecture_trains_saves_and_loads(tmp_path, name):
    encoder = tiny.save_encoder(tmp_path / "encoder", name)
    trained = run(tmp_path / "run", encoder, max_steps=3)
    assert all(np.isfinite(log(tmp_path / "run")))
    assert xmlkit.load(tmp_path / "run").evaluate(tiny.learnable_corpus().test) == trained.metrics


def test_settings_that_do_not_fit_the_encoder(tmp_path, encoder):
    with pytest.raises(UserError, match="max_len=41: this encoder reads 40"):
        run(tmp_path / "a", encoder, max_len=41)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            run(tmp_path / "a", encoder, device="cuda")
    run(tmp_path / "a", encoder, max_steps=1)  # the failures left nothing in the way
    with pytest.raises(UserError, match="is there already"):
        run(tmp_path / "a", encoder)


def test_a_run_names_the_plugin_that_is_missing(tmp_path, encoder, example_plugins, capsys):
    options = {"plugins": ["cosine", "label-smoothing"], "label-smoothing": {"amount": 0.2}}
    run(tmp_path / "a", encoder, max_steps=1, **options)
    document = json.loads((tmp_path / "a" / "config.json").read_text())
    assert document["plugins"] == ["cosine", "label-smoothing"]
    assert document["label-smoothing"] == {"amount": 0.2}
    recorded = json.loads((tmp_path / "a" / "model.json").read_text())["plugins"]
    assert [p["name"] for p in recorded] == ["lightxml", "cosine", "label-smoothing"]
    before = xmlkit.load(tmp_path / "a").predict(["w1 w2"])
    assert before == xmlkit.load(tmp_path / "a").predict(["w1 w2"])
    (metadata,) = example_plugins.glob("xmlkit_label_smoothing*/METADATA")
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    xmlkit.load(tmp_path / "a")
    assert "trained with xmlkit-label-smoothing 1.2; installed is 1.3" in " ".join(
        capsys.readouterr().err.split()
    )
    for path in example_plugins.glob("xmlkit_cosine*/*"):
        path.unlink()
    with pytest.raises(UserError, match=r"needs the plugin 'cosine'.*comes with 'xmlkit-cosine' '1\.2'"):
        xmlkit.load(tmp_path / "a")


def test_runs_that_name_the_former_distribution_open_and_send_nobody_to_it(
    tmp_path, encoder, example_plugins, capsys
):
    """`xmlkit` is what they have, and what somebody else's package on PyPI is called."""
    (metadata,) = example_plugins.glob("xmlkit_cosine*/METADATA")
    metadata.write_text(metadata.read_text().replace("xmlkit-cosine", "xmlkit"))
    run(tmp_path / "a", encoder, max_steps=1, plugins=["cosine"])
    recorded = json.loads((tmp_path / "a" / "model.json").read_text())["plugins"]
    assert [p["distribution"] for p in recorded] == ["xmlkit-xmc", "xmlkit"]
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    capsys.readouterr()
    xmlkit.load(tmp_path / "a")
    assert "trained with xmlkit-xmc 1.2; installed is 1.3" in " ".join(capsys.readouterr().err.split())
    for path in example_plugins.glob("xmlkit_cosine*/*"):
        path.unlink()
    with pytest.raises(UserError, match=r"needs the plugin 'cosine'.*comes with 'xmlkit-xmc' '1\.2'"):
        xmlkit.load(tmp_path / "a")


def test_damaged_runs_are_one_line_errors(tmp_path, encoder):
    run(tmp_path / "whole", encoder, max_steps=1)
    damages = {
        "model.json": b'{"plug',
        "config.json": b"{",
        "labels.jsonl": b'{"id": "w1", ',
        "model.safetensors": b"short",
        "encoder/config.json": None,
        "encoder/tokenizer.json": None,
    }
    for name, content in damages.items():
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(tmp_path / "whole", folder)
        (folder / name).unlink()
        if content:
            (folder / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            xmlkit.load(folder)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_a_run_from_cuda_opens_without(tmp_path, encoder):
    run(tmp_path / "a", encoder, max_steps=1)
    path = tmp_path / "a" / "config.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    tiny.belong_together(tmp_path / "a")
    assert xmlkit.load(tmp_path / "a").predict(["w1"])


def test_scores_and_rankings_do_not_depend_on_the_company(tmp_path, encoder):
    run(tmp_path / "a", encoder, max_steps=8, head_lr=0.1, precision="float32")
    model = xmlkit.load(tmp_path / "a")
    texts = tiny.texts(30, seed=9)
    together = model.predict(texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = model.predict([text])
        assert [p.label for p in alone] == [p.label for p in found]
        assert [p.score for p in alone] == pytest.approx([p.score for p in found], abs=1e-5)


def test_prediction_arguments(tmp_path, encoder):
    run(tmp_path / "a", encoder, max_steps=1)
    model = xmlkit.load(tmp_path / "a")
    assert [len(found) for found in model.predict(["w1", ""], top_k=3)] == [3, 3]
    assert len(model.predict(["w1"], top_k=1000)[0]) == len(model.labels)
    assert model.predict(["w1"], threshold=0.9999) == model.predict(["w1"], threshold=np.float32(1)) == [[]]
    assert model.predict([]) == []
    assert model.predict(text for text in ["w1", "w2"]) == model.predict(["w1", "w2"])
    with pytest.raises(UserError, match=r"texts\[1\]: half of a surrogate pair"):
        model.predict(["w1", "w\ud800"])
    with pytest.raises(UserError, match="list of texts"):
        model.predict("w1")
    for wrong in ("auto", 1.5):
        with pytest.raises(UserError, match=f"threshold={wrong!r}: expected a number"):
            model.predict(["w1"], threshold=wrong)
    for some in ([True], np.ones(len(model.labels))):
        with pytest.raises(UserError, match="allowed: expected an array of"):
            model.predict(["w1"], allowed=some)
    assert model.predict(["w1"], allowed=[True] * len(model.labels)) == model.predict(["w1"])
    with pytest.raises(UserError, match="top_k=0"):
        model.predict(["w1"], top_k=0)
    with pytest.raises(UserError, match="is not a run"):
        xmlkit.load(tmp_path)


def test_settings_as_a_config_object(tmp_path, encoder):
    config = resolve({"encoder": encoder, **QUICK, "max_steps": 1})
    assert training.train(tiny.learnable_corpus(), config, tmp_path / "a").outcome == "finished"


@pytest.mark.slow
def test_compiled_once_for_batches_of_many_lengths(tmp_path, monkeypatch):
    """The losses are those of the plain encoder, and after the first batches nothing is compiled again."""
    encoder = tiny.save_encoder(tmp_path / "encoder", num_hidden_layers=1)
    real = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *a, **k: real(*a, **k, backend="aot_eager"))
    settings = {"encoder": encoder, "max_len": 24, "batch_size": 8, "precision": "float32", "device": "cpu"}
    counted, losses = [], []
    for compiled in (True, False):
        trainer = training.prepare(
            tiny.learnable_corpus(), {**settings, "compile": compiled}, tmp_path / f"run-{compiled}"
        )
        trainer.model.train()
        torch._dynamo.reset()
        lengths = trainer.data.reader.lengths
        steps = [np.flatnonzero(lengths == length)[:8] for length in range(4, 14)]
        found = []
        for rows in steps:
            found.append(float(trainer.step(trainer.micro_batches(rows))["loss"]))
            counted.append(torch._dynamo.utils.counters["frames"]["ok"])
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert 0 < counted[2] == counted[-1]


def test_compile_without_a_compiler_is_an_error_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="compile=true: no C"):
        training.prepare(tiny.learnable_corpus(), {"compile": True}, tmp_path / "run")


def test_settings_as_a_config_are_those_of_the_same_document(tmp_path, encoder):
    """Nothing that was left out counts as set: recipe and encoder decide it."""
    given = {"encoder": encoder, "recipe": "lightxml", "max_steps": 2, "max_len": 16}
    settings = Config(**given, plugins=("se",), options={"se": {"reduction": 3}})
    for name, config in (
        ("config", settings),
        ("document", {**given, "plugins": ["se"], "se": {"reduction": 3}}),
    ):
        training.train(tiny.learnable_corpus(), config, tmp_path / name)
    config, document = (tmp_path / name / "config.json" for name in ("config", "document"))
    assert config.read_text() == document.read_text()
    assert json.loads(config.read_text())["batch_size"] == 16


def test_a_run_that_came_to_nothing_leaves_its_name_free(tmp_path, encoder, monkeypatch):
    """An edit and the same command again must work; what was trained before a crash must stay."""
    settings = {"encoder": encoder, **QUICK, "max_steps": 3, "checkpoint_every": 2}
    for step in (0, 2):
        with tiny.killed_before_step(step):
            training.train(tiny.learnable_corpus(), settings, tmp_path / "run")
        assert (tmp_path / "run").exists() == (step > 0)
    assert training.resume(tmp_path / "run", tiny.learnable_corpus()).outcome == "finished"


def test_going_on_elsewhere_is_told(tmp_path, encoder, capsys):
    corpus, threads = tiny.learnable_corpus(), torch.get_num_threads()
    settings = {"encoder": encoder, **QUICK, "max_steps": 3}
    for name, now in (("same", threads), ("other", threads + 1)):
        with tiny.killed_before_step(2):
            training.train(corpus, settings, tmp_path / name)
        capsys.readouterr()
        torch.set_num_threads(now)
        try:
            training.resume(tmp_path / name, corpus)
        finally:
            torch.set_num_threads(threads)
        said = f"threads {now} instead of {threads}: it will end close to an unbroken run"
        assert (said in capsys.readouterr().err) == (name == "other")


def test_a_folder_called_scratch_is_no_encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scratch", "none"):
        (tmp_path / name).mkdir()
    assert check(tiny.learnable_corpus(), {"encoder": "scratch"}, None).config.encoder == "scratch"
    bag = {"encoder": "none", "plugins": ["lexical"]}
    assert check(tiny.learnable_corpus(), bag, None).config.encoder == "none"


def test_settings_that_are_none():
    with pytest.raises(UserError, match=r"^config='run.toml': expected settings by name"):
        check(tiny.learnable_corpus(), "run.toml", None)
