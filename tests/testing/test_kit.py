"""The conformance kit: what comes with xmlkit and what the guide shows passes; what is broken is told why."""

from __future__ import annotations

import pytest
from installing import GUIDE, install
from marking import mostly_slow

from xmlkit.discovery import load, shipped
from xmlkit.testing import ContractError, check_plugin, tiny_model, tiny_run
from xmlkit.testing.checks import CHECKS, Case
from xmlkit.testing.kit import _check, at_hook_points, compositions

SHIPPED = shipped()
ONE_A_DOOR = ("se", "astec-negatives", "loss-fix", "full-head", "track")  # and one that stands at none


def test_a_plugin_is_tried_beside_those_that_a_model_is_made_of():
    """And so without the libraries of what only looks on."""
    assert set(SHIPPED).difference(at_hook_points()) == {"track"}


@pytest.mark.parametrize("name", mostly_slow(SHIPPED, ONE_A_DOOR))
def test_the_plugins_that_come_with_xmlkit_hold(checks, name):
    """Alone, and where it may take long each pair once: beside those that come after it."""
    check_plugin(name, beside=SHIPPED[SHIPPED.index(name) + 1 :] if checks == "all" else [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("se", {"per_element": True, "element_width": 8}),
        ("loss-fix", {"mode": "gradnorm"}),
        ("astec-negatives", {"unit": "clusters", "count": 2}),
        ("combination", {"where": "labels"}),
        ("lexical", {"orders": [1, 3], "weighting": "idf"}),
        ("neighbours", {"nearest": 3, "most": 20}),
    ],
)
def test_options_are_checked_too(checks, name, options):
    check_plugin(name, options, beside=[])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GUIDE))
def test_the_examples_of_the_guide_hold(checks, example_plugins, name):
    check_plugin(
        name, beside=["combination", "loss-fix", "neighbours"] if checks == "all" else ["combination"]
    )


def test_a_plugin_that_makes_a_part_is_named_first(plugin_folder):
    """No other order is legal, so none is tried: neither around a wrapper nor behind one."""
    install(plugin_folder, "attention-pooling", GUIDE["attention-pooling"])
    found = list(compositions(load("attention-pooling"), ["se", "loss-fix"]))
    alone = [(("attention-pooling",), True), (("attention-pooling",), False)]
    wraps_it = [(("attention-pooling", "se"), True), (("attention-pooling", "se"), False)]
    leaves_it = [(("loss-fix", "attention-pooling"), True), (("attention-pooling", "loss-fix"), False)]
    assert found == [*alone, *wraps_it, *leaves_it]
    before = [(("attention-pooling", "se"), True), (("attention-pooling", "se"), False)]
    assert list(compositions(load("se"), ["attention-pooling"]))[2:] == before


NOWHERE = """
'''Makes the vectors and wraps the shortlist, which multi-resolution does the other way round.'''
from xmlkit import Representation, Shortlister, Vectors, hookimpl

class Mean(Representation):
    def forward(self, states):
        return Vectors(states.mean_BH, states.mean_BH)
class Own(Shortlister):
    pass

@hookimpl
def representation(build):
    return Mean(None, build.hidden, build.hidden)
@hookimpl(wrapper=True)
def shortlist():
    return Own((yield))
"""


def test_what_goes_in_no_order_is_no_ones_fault(plugin_folder, tmp_path):
    install(plugin_folder, "nowhere", NOWHERE)
    pair = list(compositions(load("nowhere"), ["multi-resolution"]))[2:]
    assert len(pair) == 2
    for plugins, clustered in pair:
        _check(Case("nowhere", plugins, {}, clustered, tmp_path, set()))


REPRESENTATION = """
'''One that breaks a contract.'''
import torch, random, math
from pydantic import BaseModel, Field
from xmlkit import Representation, Vectors, hookimpl

class Own(Representation):
    def __init__(self, inner, build):
        super().__init__(inner)
        width = self.rank_width
        {init}
    def forward(self, states):
        def changed(x):
            {change}
        return self.inner(states).map(changed, changed)

@hookimpl(wrapper=True)
def representation(build):
    inner = yield
    return Own(inner, build)
"""
SHORTLIST = """
'''Adds a label to each document.'''
import torch
from dataclasses import replace
from xmlkit import Shortlister, hookimpl

class Own(Shortlister):
    def forward(self, vectors, documents, training):
        short = self.inner(vectors, documents, training)
        ids = {ids}
        def add(x, value):
            return torch.cat([x, torch.full_like(x[:, :1], value)], 1)
        truth = None if short.truth_BC is None else add(short.truth_BC, {truth})
        return replace(short, ids_BC=torch.cat([short.ids_BC, ids], 1), mask_BC=add(short.mask_BC, {mask}),
                       prior_BC=add(short.prior_BC, 1.0), truth_BC=truth, votes_BC={votes})

@hookimpl(wrapper=True)
def shortlist(build):
    inner = yield
    return inner if inner.every_label else Own(inner)
"""


COLD = """
'''A head that keeps the start to itself.'''
from xmlkit import Head, hookimpl

class Own(Head):
    def take_start(self, start):
        pass

@hookimpl(wrapper=True)
def head():
    return Own((yield))
"""
MOODY = """
'''Votes against labels once it is trained.'''
import torch
from xmlkit import Shortlist, Shortlister, hookimpl

class Own(Shortlister):
    adds_votes = True
    def __init__(self, inner):
        super().__init__(inner)
        self.register_buffer("vote", torch.ones(1))
    def forward(self, vectors, documents, training):
        if training is not None:
            return self.inner(vectors, documents, training)
        ids = torch.zeros(len(vectors.rank_BD), 1, dtype=torch.long, device=vectors.rank_BD.device)
        votes = self.vote.expand(len(ids), 1)
        if self.every_label:
            return Shortlist(vectors.rank_BD, ids, ids == 0, torch.ones_like(votes), votes_BC=votes)
        short = self.inner(vectors, documents, None)
        return short.extended(ids, ids == 0, None, torch.ones_like(votes), votes)

@hookimpl(wrapper=True)
def shortlist():
    return Own((yield))

@hookimpl
def trained(run, read):
    run.model.shortlister.vote.fill_(-1.0)
"""


def representation(init="pass", change="return x"):
    return REPRESENTATION.format(init=init, change=change)


def shortlist(ids="short.ids_BC[:, :1]", truth="False", mask="False", votes="None"):
    return SHORTLIST.format(ids=ids, truth=truth, mask=mask, votes=votes)


WITH_OPTION = representation() + "class Options(BaseModel):\n    size: {option}\n"
WEIGHT = "self.w = torch.nn.Parameter(torch.{start}(width))"
OWN_LOSS = """
'''A loss that divides by the number of labels.'''
from xmlkit import LossCombiner, hookimpl

class Own(LossCombiner):
    @property
    def loss_names(self):
        return (*self.inner.loss_names, "mean")
    def own_losses(self, scores_BX, training):
        ids_BX, mask_BX = training.labels.padded
        known = self.inner.own_losses(scores_BX, training)
        return {**known, "mean": (scores_BX(ids_BX) * mask_BX).sum() / mask_BX.sum()}

@hookimpl(wrapper=True)
def loss():
    return Own((yield))
"""
REMEMBERS = """
'''A loss that counts its calls.'''
from xmlkit import LossCombiner, hookimpl

class Own(LossCombiner):
    calls = 0
    def forward(self, losses):
        self.calls += 1
        return {name: loss * self.calls for name, loss in self.inner(losses).items()}

@hookimpl(wrapper=True)
def loss():
    return Own((yield))
"""
SHORTLIST_WITH_PRIORS = """
'''A shortlist that multiplies scores by more than 1.'''
from dataclasses import replace
from xmlkit import Shortlister, hookimpl

class Own(Shortlister):
    def forward(self, vectors, documents, training):
        short = self.inner(vectors, documents, training)
        return replace(short, prior_BC=2 * short.prior_BC + 1)

@hookimpl(wrapper=True)
def shortlist(build):
    inner = yield
    return Own(inner) if build.clusters else inner
"""
COMPILED_OTHERWISE = representation(change="return x * (2 if torch.compiler.is_compiling() else 1)")
BROKEN = [
    ("options", representation().replace("'''One that breaks a contract.'''", ""), "no docstring"),
    ("options", WITH_OPTION.format(option="int = Field(description='x')"), "'size' has no default"),
    ("options", WITH_OPTION.format(option="int = 3"), "'size' has no description"),
    ("options", WITH_OPTION.format(option="float = Field(math.inf, description='x')"), "valid number"),
    (
        "options",
        WITH_OPTION.format(option="int = Field(3, description='x', exclude=True)"),
        "'size' is excluded",
    ),
    ("shapes", representation(change="return x[:, 1:]"), r"recall_BD is \(12, 95\), expected \(12, 96\)"),
    ("shapes", representation(change="return x.long()"), "torch.int64, expected float"),
    ("shapes", representation(init="self.recall_width = 7"), r"expected \(12, 7\)"),
    ("shapes", shortlist(ids="short.ids_BC[:, :1] + 1000"), "no label"),
    ("shapes", shortlist(mask="True"), "candidates twice"),
    ("shapes", shortlist(votes="-add(short.prior_BC, 1.0)"), "votes_BC, .* are negative"),
    ("shapes", shortlist(votes="short.prior_BC"), r"votes_BC is \(12, 10\), expected \(12, 11\)"),
    ("shapes", shortlist(ids="(short.ids_BC.amax(1, keepdim=True) + 1) % 12"), "padding holds"),
    ("shapes", shortlist(ids="(short.ids_BC.amax(1, keepdim=True) + 1) % 12", mask="True"), "twice|truth_BC"),
    ("finite", representation(WEIGHT.format(start="zeros"), "return x * (1 + self.w.sqrt())"), "not finite"),
    (
        "finite",
        representation(change="return x * (torch.nan if torch.is_autocast_enabled('cpu') else 1)"),
        "not finite",
    ),
    ("gradients", representation(WEIGHT.format(start="ones")), "none reached representation/w"),
    (
        "gradients",
        representation(WEIGHT.format(start="ones"), "return x * self.w.detach()"),
        "none reached representation/w",
    ),
    ("seed", representation(change="return x * random.random()"), r"loss at step \d was"),
    ("randomness", representation(change="return torch.nn.functional.dropout(x)"), "differ"),
    (
        "padding",
        representation(change="return x * states.documents.mask_BT.shape[1]"),
        "a document's scores change",
    ),
    ("company", representation(change="return x - 3 * x.mean(0)"), "otherwise on its own"),
    (
        "saving",
        representation("self.w = 1.0 if build.train_labels is None else 2.0", "return x * self.w"),
        "in the opened model",
    ),
    (
        "saving",
        representation(
            "self.register_buffer('w', torch.ones(1 if build.train_labels is None else width))",
            "return x * self.w",
        ),
        r"is \(96,\), expected \(1,\)",
    ),
    (
        "averaging",
        representation("import threading; self.w = threading.Lock()"),
        "cannot pickle",
    ),
    ("devices", representation("self.w = torch.ones(width)", "return x * self.w"), "device"),
    (
        "devices",
        representation(change="return x if torch.is_grad_enabled() else x * (1 + 0 * x.sum().item())"),
        "meta",
    ),
    ("devices", representation(change="return x * (1 + 0 * x.sum().item())"), "meta"),
    ("devices", representation(change="return x * (1 + 0 * len(x.sum(1).nonzero()))"), "meta|nonzero"),
    ("devices", representation(change="return x * torch.tensor(2.0, device=x.device)"), "tensor would wait"),
    ("devices", representation(change="return x[:, list(range(x.shape[1]))]"), "an index on the host"),
    ("candidates", MOODY, "negative"),
    ("unlabelled", OWN_LOSS, "the loss 'mean' is nan with 12 of 12"),
    ("resuming", REMEMBERS, "is another one where the run was broken off"),
    ("shapes", SHORTLIST_WITH_PRIORS, "prior_BC, which scores are multiplied by, is above 1 at prediction"),
    ("warm", COLD, "call inner.take_start"),
    ("compiling", COMPILED_OTHERWISE, "differs"),
]


@pytest.mark.parametrize(
    ("check", "source", "reason"),
    [pytest.param(*one, marks=pytest.mark.slow) if one[0] == "compiling" else one for one in BROKEN],
)
def test_a_broken_plugin_fails_at_the_right_check(plugin_folder, check, source, reason):
    install(plugin_folder, "broken", source)
    with pytest.raises(ContractError, match=reason) as error:
        check_plugin("broken")
    assert error.value.check == check
    contract, found = str(error.value).split("\n", 1)
    assert contract.startswith(f"{check}: ") and contract.endswith(".") and len(contract) > 40
    assert found.startswith("--plugin broken, with")


def test_every_check_has_a_plugin_that_fails_it():
    assert {check for check, *_ in BROKEN} == set(CHECKS)


PARTED = """
'''Parts the two vectors; where every label is scored, nothing reads the one to recall with.'''
from torch import nn
from xmlkit import Head, Representation, Vectors, hookimpl

class Parted(Representation):
    def __init__(self, inner):
        super().__init__(inner)
        self.recall = nn.Linear(inner.recall_width, inner.recall_width)
    def forward(self, states):
        vectors = super().forward(states)
        return Vectors(self.recall(vectors.recall_BD), vectors.rank_BD)

class Wider(Parted):
    def __init__(self, inner):
        super().__init__(inner)
        self.rank_width = inner.rank_width + 1
    def forward(self, states):
        vectors = super().forward(states)
        return Vectors(vectors.recall_BD, nn.functional.pad(vectors.rank_BD, (0, 1), value=1.0))

class Text(Head):
    def __init__(self, inner, build):
        super().__init__(inner)
        names_LH = build.label_text_LH
        self.register_buffer("names_LH", names_LH if names_LH is not None
                             else nn.Embedding(build.num_labels, build.hidden).weight.detach() * 0)
        self.fit = nn.Linear(build.hidden, inner.width)
    def label_vectors_UE(self, rows_U):
        return super().label_vectors_UE(rows_U) + self.scaled(rows_U)
    def scaled(self, rows_U):
        return self.fit(self.names_LH[rows_U])

@hookimpl(wrapper=True)
def representation():
    return Wider((yield))

@hookimpl(wrapper=True)
def head(build):
    return Text((yield), build)
"""


@pytest.mark.slow
def test_what_is_unusual_and_right_holds(checks, plugin_folder):
    """Calls of what is overridden, parted vectors, label text: no contract forbids them."""
    install(plugin_folder, "unusual", PARTED)
    check_plugin("unusual", beside=["se"])


def test_a_plugin_may_say_that_it_is_not_to_be_compiled(plugin_folder):
    install(plugin_folder, "broken", f"{COMPILED_OTHERWISE}\ncompiles = False\n")
    check_plugin("broken", beside=[])


def test_a_tiny_run_is_the_same_again_and_leaves_nothing_behind(tmp_path, monkeypatch, cache_folder):
    monkeypatch.chdir(tmp_path)
    before = sorted(cache_folder.rglob("*"))
    one, other = tiny_run(), tiny_run()
    assert one == other and len(one.losses) == 5 and len(one.predictions) == 20
    assert one != tiny_run(clustered=False) and one != tiny_run(["se"])
    assert not list(tmp_path.iterdir()) and sorted(cache_folder.rglob("*")) == before


TABLE = """
'''A table whose size is an option.'''
from pydantic import BaseModel, Field
from xmlkit import Representation, hookimpl

class Options(BaseModel, extra="forbid"):
    rows: int = Field(default=10**15, description="more than any memory holds")

tiny_options = {"rows": 5}

class Own(Representation):
    def __init__(self, inner, rows):
        super().__init__(inner)
        self.register_buffer("table", __import__("torch").zeros(rows))

    def forward(self, states):
        return self.inner(states)

@hookimpl(wrapper=True)
def representation(build):
    return Own((yield), build.options(Options).rows)
"""


@pytest.mark.slow
def test_tiny_models_take_the_options_that_are_for_them(checks, plugin_folder):
    """And a caller's own before those."""
    install(plugin_folder, "table", TABLE)
    assert len(tiny_model(["table"]).representation.table) == 5
    assert len(tiny_model(["table"], {"table": {"rows": 7}}).representation.table) == 7
    check_plugin("table", beside=None if checks == "all" else [])
