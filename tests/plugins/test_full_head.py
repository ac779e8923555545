"""The loss of every label in runs: its gradients, its steps, and that nothing large is ever there."""

from __future__ import annotations

import pytest
import tiny
import torch
from installing import install
from model.test_costs import SOFTMAX
from torch.utils._python_dispatch import TorchDispatchMode

from xmlkit import Incompatible, UserError
from xmlkit.data.ragged import Ragged
from xmlkit.hooks import Run
from xmlkit.model.inputs import ragged_labels
from xmlkit.passing import RaggedLabels, Training
from xmlkit.plugins import activate
from xmlkit.testing.tiny import SETTINGS, fit, losses_of, tiny_trainer
from xmlkit.training.rows import dense_gradient, row_parameters, unite_rows
from xmlkit.training.trainer import Trainer

LABELS = 23
TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
BESIDE = [[], ["combination"], ["cosine"], ["label-smoothing"], ["propensity", "asymmetric"], ["se"]]
OPTIONS = {"combination": {"where": "labels"}}


def a_model(plugins, at_once=None, **settings):
    ours = ["full-head"] if at_once else []
    options = {name: OPTIONS[name] for name in plugins if name in OPTIONS}
    options |= {"full-head": {"labels_at_once": at_once}} if at_once else {}
    names_LH = torch.randn(LABELS, 32, generator=torch.Generator().manual_seed(0))
    settings = {
        "start": "random",
        "dropout": 0.0,
        "num_labels": LABELS,
        "label_text_LH": names_LH,
        **settings,
    }
    return tiny.tiny_model([*ours, *plugins], options, **settings).double().train()


def micro_batches(soft=False):
    """Two of other sizes, with the weights of their documents in the step."""
    found = []
    for texts, seed in ((TEXTS, 1), (TEXTS[:1], 2)):
        documents, given = tiny.batch(texts, LABELS, seed)
        if soft:
            targets_V = torch.linspace(0.1, 1, len(given.labels.values_V)).double()
            labels = RaggedLabels(
                given.labels.values_V, given.labels.offsets, LABELS, given.labels.most, targets_V
            )
            given = Training(labels, given.rng, given.rows_B)
        found.append((documents, given, len(texts) / 5))
    return found


def gradients(model, batches):
    """Of a step, tables of rows included, however they come."""
    losses = []
    for documents, given, share in batches:
        output = model(documents, given)
        losses.append({name: float(loss.detach()) for name, loss in output.losses.items()})
        model.backward(output, share)
    tables = row_parameters(model)
    unite_rows(tables)
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    of_rows = {p: dense_gradient(p) for p in tables}
    if model.in_runs:
        for cost in model.in_runs.second_pass():
            cost.backward(inputs=model.in_runs.tables)
            unite_rows(model.in_runs.tables)
            for p in model.in_runs.tables:
                of_rows[p] = dense_gradient(p) if of_rows[p] is None else of_rows[p] + dense_gradient(p)
    found |= {name: of_rows[p] for name, p in model.named_parameters() if of_rows.get(p) is not None}
    return losses, found


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("at_once", [1, 5, 23, 100])
@pytest.mark.parametrize("plugins", BESIDE, ids=lambda names: "+".join(names) or "alone")
def test_losses_and_gradients_are_those_of_all_labels_at_once(example_plugins, plugins, at_once, soft):
    expected, wanted = gradients(a_model(plugins), micro_batches(soft))
    losses, found = gradients(a_model(plugins, at_once), micro_batches(soft))
    assert [loss["ranker"] for loss in losses] == pytest.approx([loss["ranker"] for loss in expected])
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient)


def test_a_mean_over_labels_too(plugin_folder):
    expected, wanted = gradients(a_model([], reduction="mean"), micro_batches())
    losses, found = gradients(a_model([], 5, reduction="mean"), micro_batches())
    assert losses[0]["ranker"] == pytest.approx(expected[0]["ranker"])
    torch.testing.assert_close(found["head.rows.weight"], wanted["head.rows.weight"])


@pytest.mark.parametrize("settings", [{}, {"micro_batch_size": 5}, {"row_state": "full"}], ids=str)
def test_a_training_is_that_of_all_labels_at_once(tmp_path, settings):
    """Both without `clip`, which knows nothing of rows stepped run by run."""
    found = []
    for name, plugins in (("plain", []), ("ours", ["full-head"])):
        given = {"plugins": plugins, "clustered": False, "clip": None, "dropout": 0.0, "lr": 1e-5, **settings}
        trainer = tiny_trainer(tmp_path / name, given)
        fit(trainer)
        found.append((losses_of(tmp_path / name), trainer.model.weights()))
    (plain, weights), (ours, our_weights) = found
    assert [line["ranker"] for line in ours] == pytest.approx([line["ranker"] for line in plain], rel=1e-3)
    for name in ("head/lightxml/rows.weight", "head/lightxml/biases.weight"):
        torch.testing.assert_close(our_weights[name], weights[name], rtol=1e-2, atol=1e-3)
        assert weights[name].std() > 1e-3


def test_rows_in_bfloat16_learn_as_much(tmp_path):
    settings = {"clustered": False, "clip": None, "dropout": 0.0, "epochs": 2, "max_steps": None}
    found = []
    for name, given in (("full", {}), ("rounded", {"row_precision": "bfloat16"})):
        trainer = tiny_trainer(tmp_path / name, {"plugins": ["full-head"], **settings, **given})
        fit(trainer)
        found.append([line["ranker"] for line in losses_of(tmp_path / name)])
    assert trainer.model.head.rows.weight.dtype == torch.bfloat16
    assert found[1] == pytest.approx(found[0], rel=0.05) and found[1] != found[0]


class LargestMade(TorchDispatchMode):
    """How many numbers the largest tensor has that an operation made."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        made = [
            tensor for tensor in (found if isinstance(found, tuple | list) else [found]) if _is_whole(tensor)
        ]
        in_place = [given for given in args if isinstance(given, torch.Tensor)]
        sizes = [tensor.numel() for tensor in made if all(tensor is not given for given in in_place)]
        self.most = max([self.most, *sizes])
        return found


def _is_whole(tensor):
    return isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor._is_view()


@pytest.mark.parametrize(("plugins", "fits"), [(["full-head"], True), ([], False)])
def test_neither_all_scores_nor_a_gradient_of_all_rows_is_ever_made(tmp_path, plugins, fits):
    """With more labels than all else has numbers."""
    trainer = tiny_trainer(tmp_path / "run", {"plugins": plugins, "clustered": False, "max_steps": 2})
    num_labels, documents = 40_000, 16
    options = {"full-head": {"labels_at_once": 100}} if plugins else {}
    model = tiny.tiny_model(plugins, options, num_labels=num_labels)
    trainer = Trainer(
        Run(trainer.run.folder, trainer.config, model, 2), trainer.data, activate([], {}).plugins
    )
    rows = trainer.data.train_rows[:documents]
    trainer.step(wide(trainer.micro_batches(rows), num_labels))  # makes the optimisers' states
    with LargestMade() as made:
        trainer.step(wide(trainer.micro_batches(rows), num_labels))
    assert (made.most < documents * num_labels / 4) is fits


def wide(batches, num_labels):
    """The same with more labels to know."""
    for batch in batches:
        count = len(batch.labels)
        rows = Ragged.of([[i, num_labels - 1 - i] for i in range(count)])
        object.__setattr__(batch, "labels", ragged_labels(rows, num_labels))
    return batches


def test_a_cost_of_whole_documents_is_refused(plugin_folder):
    install(plugin_folder, "softmax", SOFTMAX)
    with pytest.raises(UserError, match="'softmax', loss: it costs whole documents, but 'full-head'"):
        tiny.model(plugins=["full-head", "softmax"])
    with pytest.raises(UserError, match="'softmax', loss: it costs whole documents, but 'full-head'"):
        tiny.model(plugins=["full-head", "neighbours", "softmax"])


def test_of_clusters_the_narrower_label_width_is_left(capsys):
    model = tiny.model(plugins=["full-head"], starts=[0, 9, 15], label_width=16)
    assert model.shortlister.every_label and model.head.width == 16
    flat = tiny.model(plugins=["full-head"])  # biases begin at the odds of all labels, not of candidates
    assert torch.equal(model.head.biases.weight, flat.head.biases.weight)
    assert "full-head: clusters are not read" in capsys.readouterr().err


def test_it_asks_for_no_clusters(tmp_path, capsys):
    """Whatever the number of labels would have decided, unless the settings say otherwise."""
    settings = {"plugins": ["full-head"], "encoder": tiny.save_encoder(tmp_path / "encoder")}
    assert "clustered" not in settings and SETTINGS.get("clustered") is None
    trainer = tiny_trainer(tmp_path / "run", settings)
    assert trainer.config.clustered is False
    assert "full-head: clustered=False, unless --set says otherwise" in capsys.readouterr().err


ROWLESS = """
import torch
from torch import nn
from xmlkit import Head, RowTable, hookimpl
class Own(Head):
    width = 96
    def __init__(self, build):
        super().__init__()
        self.w_LE = nn.Parameter(torch.zeros(build.num_labels, 96))
    def query_BE(self, rank_BD): return rank_BD
    def label_vectors_UE(self, rows_U): return self.w_LE[rows_U]
    def label_bias_U(self, rows_U): return 0.0
class Same(Own):
    def __init__(self, build):
        super().__init__(build)
        del self.w_LE
        self.w_LE = RowTable(build.num_labels, 96)
        nn.init.zeros_(self.w_LE.weight)
    def query_BE(self, rank_BD): return torch.ones_like(rank_BD)
    def label_vectors_UE(self, rows_U): return self.w_LE(rows_U)
@hookimpl
def head(build): return KIND(build)
"""
MARGINS = """
from torch import nn
from xmlkit import LossCombiner, RowTable, hookimpl
class Own(LossCombiner):
    def __init__(self, inner, build):
        super().__init__(inner)
        self.margins = RowTable(build.num_labels, 1)
        nn.init.ones_(self.margins.weight)
    def when_true(self, z, ids): return self.inner.when_true(z - self.margins(ids).squeeze(1), ids)
    def when_false(self, z, ids): return self.inner.when_false(z + self.margins(ids).squeeze(1), ids)
@hookimpl(wrapper=True)
def loss(build): return Own((yield), build)
"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (ROWLESS.replace("KIND", "Own"), "head/own/w_LE"),  # no table of rows at all
        (ROWLESS.replace("KIND", "Same"), "head/own/w_LE.weight"),  # what is scored knows no document
        (MARGINS, "loss/own/margins.weight"),  # a table of the loss, whose rows too are stepped once
    ],
    ids=["no-table", "no-query", "margins"],
)
def test_whatever_labels_are_made_of_learns_as_with_all_at_once(plugin_folder, tmp_path, source, name):
    install(plugin_folder, "own", source)
    found = []
    for ours in ([], ["full-head"]):
        given = {"plugins": [*ours, "own"], "clustered": False, "clip": None, "dropout": 0.0, "lr": 1e-5}
        trainer = tiny_trainer(tmp_path / f"run-{len(ours)}", given)
        fit(trainer)
        found.append(trainer.model.weights()[name])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert found[0].std() > 1e-3


STEEP = """
import torch
from xmlkit import LossCombiner, hookimpl
class Own(LossCombiner):
    def when_true(self, z, ids): return torch.exp(-z)
    def when_false(self, z, ids): return torch.exp(z)
@hookimpl(wrapper=True)
def loss(): return Own((yield))
"""


def test_what_a_label_would_cost_if_it_were_true_is_not_asked(plugin_folder):
    """It may be infinite, and no share of that is 0."""
    install(plugin_folder, "steep", STEEP)
    losses = []
    for at_once in (None, 5):
        model = a_model(["steep"], at_once, start="prior").float()
        model.head.biases.weight.data[1:] = -200.0
        documents, given = tiny.batch(TEXTS, LABELS)
        given = Training(ragged_labels(Ragged.of([[0]] * 4), LABELS), given.rng, given.rows_B)
        output = model(documents, given)
        model.backward(output)
        losses.append(float(output.losses["ranker"].detach()))
    assert losses[1] == pytest.approx(losses[0])


THROUGH = """
import torch
from torch import nn
from xmlkit import Head, hookimpl
class Own(Head):
    def __init__(self, inner, build):
        super().__init__(inner)
        self.names, self.encode = build.name_documents(8), build.encode
        self.fit = nn.Linear(build.hidden, inner.width).double()
    def take_batch(self, training):
        super().take_batch(training)
        self.names_LH = self.encode(self.names).mean_BHDETACHED
    def label_vectors_UE(self, rows_U):
        return self.inner.label_vectors_UE(rows_U) + self.fit(self.names_LH[rows_U])
@hookimpl(wrapper=True)
def head(build): return Own((yield), build)
"""


def test_what_is_learnt_through_label_vectors_is_refused(plugin_folder):
    """Its gradient would be lost without a word."""
    install(plugin_folder, "through", THROUGH.replace("DETACHED", ""))
    install(plugin_folder, "read-alone", THROUGH.replace("DETACHED", ".detach()"))
    documents, given = tiny.batch(TEXTS, LABELS)
    with pytest.raises(Incompatible, match="'through', head: labels are learnt through what is not the head"):
        a_model(["through"], 5)(documents, given)
    a_model(["read-alone"], 5)(documents, given)


def test_without_clusters_there_is_no_start_to_miss(tmp_path, capsys):
    tiny_trainer(tmp_path / "run", {"plugins": ["full-head"], "start": "warm"})
    said = capsys.readouterr().err
    assert "start: " in said and "takes no start" not in said
