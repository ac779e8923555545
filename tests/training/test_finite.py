"""What is not finite is told, with its step and documents, before it is scored, saved or called finished."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from xmlkit import Corpus
from xmlkit.config import resolve
from xmlkit.model.finite import not_finite
from xmlkit.training import train as training
from xmlkit.training.finite import FiniteWatch, NotFinite
from xmlkit.training.trainer import Trainer

SETTINGS = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0.2,
    "device": "cpu",
    "precision": "float32",
    "clustered": False,
    "start": "random",
    "label_width": 8,
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_the_first_of_some_tensors(dtype, odd):
    good = {
        "empty": torch.zeros(0),
        "counts": torch.arange(3),
        "top": torch.finfo(dtype).max * torch.ones(2).to(dtype),
    }
    bad = torch.zeros(3, 5, dtype=dtype)
    bad[1, 3] = odd
    assert not_finite(good) is None and not_finite({}) is None
    assert not_finite({**good, "bad": bad, "worse": bad}) == "bad"


@pytest.mark.parametrize("validation", [0.2, 0])
def test_weights_that_the_last_step_broke_are_not_kept(tmp_path, encoder, validation):
    """The loss of the only step is finite: it was taken before."""
    settings = {
        **SETTINGS,
        "encoder": encoder,
        "lr": 1e38,
        "warmup": 0,
        "max_steps": 1,
        "validation": validation,
    }
    expected = (
        r"the weights 'encoder/.*' are not finite after step 1, of the documents \d+, \d+, \d+ and \d+ more"
    )
    with pytest.raises(NotFinite, match=expected) as told:
        training.train(tiny.learnable_corpus(), settings, tmp_path / "run")
    assert "\n" not in str(told.value) and "run is as it was saved before" in str(told.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_state_before_stays_and_can_be_gone_on_from(tmp_path, encoder, monkeypatch):
    """To the weights of a run in which nothing broke; the documents are those of the step."""
    corpus = tiny.learnable_corpus()
    settings = {**SETTINGS, "encoder": encoder, "max_steps": 12, "eval_every": 4, "log_every": 3}
    training.train(corpus, settings, tmp_path / "whole")
    seen, real = [], Trainer.step

    def step(self, batches):
        losses = real(self, batches)
        if self.step_number == 7:
            seen.extend(
                documents for batch in batches for documents in batch.documents.text.values_W.tolist()
            )
            losses["ranker"] = losses["ranker"] * math.nan
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        with pytest.raises(
            NotFinite, match=r"at step 7 \(ranker\), of the documents .* as it was saved"
        ) as told:
            training.train(corpus, settings, tmp_path / "broken")
    first = int(str(told.value).split("documents ")[1].split(",")[0])
    store = tiny.tokenizer()(corpus.train.texts[first - 1], add_special_tokens=False)["input_ids"]
    assert set(store) <= set(seen)
    training.resume(tmp_path / "broken", corpus)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_of_several_steps_the_first_is_named_and_names_are_no_documents(tmp_path):
    watch = FiniteWatch(resolve({}), tmp_path, num_documents=4)
    one, bad = torch.tensor(1.0), torch.tensor(math.inf)
    watch.note(1, np.array([0, 1]), {"loss": one, "generator": one, "ranker": one})
    watch.note(2, np.array([2, 9, 3]), {"loss": bad, "generator": bad, "ranker": one})
    watch.note(3, np.array([1]), {"loss": bad, "generator": bad, "ranker": bad})
    with pytest.raises(NotFinite) as told:
        watch.check({})
    assert told.value.fact == "the loss is not finite at step 2 (generator)"
    assert str(told.value).startswith(f"{told.value.fact}, of the documents 3, 4: lower lr (")


def test_a_start_that_is_not_finite_is_no_model(tmp_path, encoder, monkeypatch):
    """As with epochs=0, where nothing comes between start and save."""
    real = training.make_ready

    def broken(model, *given):
        torch.nn.init.constant_(next(model.parameters()), math.nan)
        return real(model, *given)

    monkeypatch.setattr(training, "make_ready", broken)
    corpus = Corpus.of(["w1 w2", "w3"] * 8, [["a"], ["b"]] * 8)
    with pytest.raises(NotFinite, match="are not finite after step 0: lower lr"):
        training.train(corpus, {**SETTINGS, "encoder": encoder, "epochs": 0}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
