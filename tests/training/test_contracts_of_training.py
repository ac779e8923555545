"""What parts are given beside a batch, and what they keep: names, the encoder, the training, state."""

from __future__ import annotations

import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

import xmlkit
from xmlkit import UserError
from xmlkit.config import resolve
from xmlkit.data.template import Template
from xmlkit.model.inputs import names_of
from xmlkit.model.parts import chains_of_settings
from xmlkit.model.tensor_file import load_tensors
from xmlkit.testing.tiny import SETTINGS, fit, named_corpus, tiny_trainer
from xmlkit.training import train as training

NAMED = """
import torch
from torch import nn
from xmlkit import Head, Representation, hookimpl
seen, names = [], []
class Looks(Representation):
    def forward(self, states):
        seen.append(("representation", states.training))
        return self.inner(states)
class Named(Head):
    def __init__(self, inner, build):
        super().__init__(inner)
        names.append(build.name_documents(4))
        self.encode, self.wide = build.encode, nn.Linear(build.hidden, self.width, bias=False)
    def take_batch(self, training):
        super().take_batch(training)
        seen.append(("head", training))
        states = self.encode(names[-1])
        assert states.training is None
        self.names_LE = self.wide(states.mean_BH)
    def label_vectors_UE(self, rows_U): return self.inner.label_vectors_UE(rows_U) + self.names_LE[rows_U]
@hookimpl(wrapper=True)
def representation(): return Looks((yield))
@hookimpl(wrapper=True)
def head(build): return Named((yield), build)
"""


@pytest.mark.parametrize("starts", [None, [0, 9, 15]], ids=["flat", "clustered"])
def test_names_go_through_the_encoder_with_a_gradient(plugin_folder, starts):
    """What reaches the encoder is plain differentiation of all, names and documents together."""
    install(plugin_folder, "named", NAMED)
    names_LH = torch.zeros(23, 32)
    model = tiny.model(plugins=["named"], starts=starts, start="random", dropout=0.0, names=names_LH).double()
    from named import names, seen

    documents, given = tiny.batch(["w1 w2", "w3", "w4 w5 w6"])
    output = model(documents, given)
    assert [door for door, _ in seen] == ["representation", "head"]
    assert all(handed is given for _, handed in seen)
    model.backward(output)
    found = [p.grad.clone() for p in model.encoder.parameters() if p.grad is not None]
    model.zero_grad()
    named = names[-1]
    assert named.tokens_BT.shape == (23, 3)  # w0 to w22, framed
    vectors = model.vectors(documents)
    model.head.take_batch(given)
    sum(model._losses(vectors, documents, given).values()).backward()
    for gradient, p in zip(found, [p for p in model.encoder.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(gradient, p.grad)
    seen.clear()
    with torch.no_grad():
        model.eval().rank(documents, 3)
    assert ("head", None) in seen and ("representation", None) in seen


def test_a_saved_model_knows_its_names_and_encoder(plugin_folder, tmp_path):
    install(plugin_folder, "named", NAMED)
    fit(tiny_trainer(tmp_path / "run", {"plugins": ["named"], "clustered": False}))
    from named import names

    before = names[-1].tokens_BT
    here = xmlkit.load(tmp_path / "run").predict(tiny.texts(5))
    assert torch.equal(names[-1].tokens_BT, before) and len(here) == 5


def test_names_are_cut_and_rows_of_them_framed():
    names_LH = torch.zeros(23, 32)
    model = tiny.model(names=names_LH)
    documents, _ = tiny.batch(["w1 w2 w3", "", "w9"])
    some = documents.framed(torch.tensor([2, 0]))
    full = model.encoder(documents).mean_BH[[2, 0]]
    torch.testing.assert_close(model.encoder(some).mean_BH, full)
    assert len(some.text.offsets) == 3 and not len(some.text.values_W)
    read = names_of(named_corpus().labels, tiny.tokenizer(), Template.of(tiny.tokenizer()))
    found = [read(longest).tokens_BT.shape[1] for longest in (0, 2, 3, 9)]
    assert found == [2, 2, 3, 4]  # the frame is always there


REMEMBERS = """
import torch
from xmlkit import LossCombiner, hookimpl
class Own(LossCombiner):
    in_checkpoints = ("seen",)
    def __init__(self, inner):
        super().__init__(inner)
        self.register_buffer("seen", torch.zeros(()), persistent=PERSISTENT)
    def when_true(self, z, ids):
        return (1 + self.seen) * self.inner.when_true(z, ids)
    def before_step(self):
        super().before_step()
        self.seen += 0.5
@hookimpl(wrapper=True)
def loss(): return Own((yield))
"""


def test_state_that_only_a_checkpoint_holds(plugin_folder, tmp_path):
    install(plugin_folder, "remembers", REMEMBERS.replace("PERSISTENT", "False"))
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {**SETTINGS, "encoder": encoder, "plugins": ["remembers"], "clustered": False}
    settings |= {"checkpoint_every": 2}
    corpus = named_corpus()
    training.train(corpus, settings, tmp_path / "whole")
    with tiny.killed_before_step(3):
        training.train(corpus, settings, tmp_path / "killed")
    tensors, _ = load_tensors(tmp_path / "killed" / "checkpoint.safetensors")
    assert float(tensors["parts/loss/1/seen"]) == 1.0
    training.resume(tmp_path / "killed", corpus)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == broken.keys() and not any("seen" in name for name in whole)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_what_persists_is_refused_there(plugin_folder):
    install(plugin_folder, "remembers", REMEMBERS.replace("PERSISTENT", "True"))
    with pytest.raises(UserError, match="'remembers', loss: Own names 'seen' in in_checkpoints, which is no"):
        tiny.model(plugins=["remembers"])


def test_it_may_grow_and_must_be_there(plugin_folder, tmp_path):
    source = REMEMBERS.replace("PERSISTENT", "False").replace("torch.zeros(())", "torch.zeros(0)")
    source = source.replace("self.seen += 0.5", "self.seen = torch.cat([self.seen, torch.ones(1)])")
    install(plugin_folder, "remembers", source.replace("(1 + self.seen)", "(1 + self.seen.sum())"))
    settings = {**SETTINGS, "encoder": tiny.save_encoder(tmp_path / "encoder"), "plugins": ["remembers"]}
    with tiny.killed_before_step(3):
        training.train(named_corpus(), {**settings, "checkpoint_every": 2}, tmp_path / "run")
    model = tiny.model(plugins=["remembers"])
    with pytest.raises(UserError, match="'remembers', loss: the checkpoint lacks 'seen'"):
        model.take_between_steps({})
    assert training.resume(tmp_path / "run", named_corpus()).outcome == "finished"


AT_ONCE = """
import torch
from xmlkit import Head, hookimpl
class Own(Head):
    def __init__(self, inner, build):
        super().__init__(inner)
        with torch.no_grad():
            states = build.encode(build.name_documents(8).framed(torch.arange(build.num_labels)))
        self.register_buffer("names_LH", states.mean_BH)
@hookimpl(wrapper=True)
def head(build): return Own((yield), build)
"""


def test_the_encoder_may_be_asked_when_a_part_is_made(plugin_folder):
    """Where parts are made to be looked at alone, too."""
    install(plugin_folder, "at-once", AT_ONCE)
    assert tiny.model(plugins=["at-once"], names=torch.zeros(23, 32)).head.names_LH.shape == (23, 32)
    assert chains_of_settings(resolve({"plugins": ["at-once"]}), True)["head"][1] == "Own (at-once) around it"
