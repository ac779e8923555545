"""Discovery, order, checks and options of plugins that are installed as pip installs them."""

from __future__ import annotations

import hashlib
import sys

import pytest
import tiny
import torch
from commands import xmlkit as command
from installing import install

import xmlkit
from xmlkit.cli.display import chain_table, plugin_list
from xmlkit.config import resolve
from xmlkit.discovery import BASE, installed, load, shipped
from xmlkit.errors import UserError
from xmlkit.hooks import HOOKS_VERSION
from xmlkit.model.parts import chains, chains_of_settings
from xmlkit.plugins import activate, settled
from xmlkit.sharing.push import write
from xmlkit.testing.tiny import fit, tiny_trainer

MAKES_HEAD = """
'''Makes a head.'''
from xmlkit import Head, hookimpl
class Own(Head): pass
@hookimpl
def head(): return Own()
"""
WRAPS_HEAD = """
'''Wraps the head.'''
from xmlkit import Head, hookimpl
class Own(Head): pass
@hookimpl(wrapper=True)
def head():
    return Own((yield))
"""


def refused(plugins, options=None) -> str:
    with pytest.raises(UserError) as error:
        activate(plugins, options or {})
    assert "\n" not in str(error.value)
    return str(error.value)


def chain(part):
    names = []
    while part is not None:
        names.append(part.plugin)
        part = part.inner
    return names


def test_plugins_are_found_with_their_provenance(example_plugins):
    assert {"lightxml", "label-smoothing", "cosine"} <= set(installed())
    assert {"se", "lexical"} <= set(shipped()) and not {BASE, "cosine"} & set(shipped())
    plugin = load("label-smoothing")
    assert (plugin.distribution, plugin.version) == ("xmlkit-label-smoothing", "1.2")
    assert (
        plugin.description == "Label smoothing: a true label's target is 1 - amount, a false one's is amount."
    )
    assert list(plugin.implementations) == ["loss"]
    assert list(load("lightxml").implementations) == ["representation", "shortlist", "head", "loss"]


def test_the_order_of_wrapping_is_the_order_of_names(example_plugins):
    a = tiny.model(plugins=["layer-gain", "text-length"])
    b = tiny.model(plugins=["text-length", "layer-gain"])
    assert chain(a.representation) == ["text-length", "layer-gain", "lightxml"]
    assert chain(b.representation) == ["layer-gain", "text-length", "lightxml"]
    assert a.representation.rank_width == b.representation.rank_width == 3 * 32 + 1
    assert chain(a.head) == ["lightxml"]


def test_every_door_is_wrapped_from_outside_the_core(example_plugins):
    plugins = ["layer-gain", "text-length", "batch-labels", "cosine", "label-smoothing"]
    model = tiny.model(plugins=plugins, start="random").train()
    documents, training = tiny.batch(["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"], seed=1)
    model.backward(model(documents, training))
    grads = [p.grad.to_dense() for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert model.representation.inner.gain_N.grad.abs().sum() > 0
    touched = model.head.inner.rows.weight.grad.to_dense().abs().sum(1) > 0
    in_batch = torch.zeros(23, dtype=torch.bool).scatter(0, training.labels.values_V, True)
    assert torch.equal(touched, in_batch)  # no row of a label outside the batch's candidates moves
    _, ids = model.eval().rank(documents, 5)
    with torch.no_grad():
        vectors = model.vectors(documents)
        z = model.head.scores_BU(vectors.rank_BD, slice(0, 23))
    assert torch.equal(ids, z.topk(5, 1).indices)
    assert z.sub(model.head.label_bias_U(slice(0, 23))).abs().max() <= 16 + 1e-4  # a cosine times 4 x 4


def test_a_plugin_sees_the_whole_text_whatever_the_window(example_plugins):
    model = tiny.model(plugins=["text-length"]).eval()
    documents, _ = tiny.batch(["w1 " * 50, "w2"], max_len=8)
    assert documents.tokens_BT.shape[1] == 8
    length_B = model.vectors(documents).rank_BD[:, -1]
    torch.testing.assert_close(length_B, torch.tensor([50.0, 1.0]).log1p())


def test_names_that_are_not_installed(example_plugins):
    message = refused(["cosin"])
    assert "did you mean 'cosine'?" in message and "in-batch, label-smoothing" in message
    assert "lightxml" in refused(["lightxml"])
    assert "twice" in refused(["cosine", "cosine"])


def test_two_makers_of_one_part_and_a_maker_around_wrappers(plugin_folder):
    install(plugin_folder, "one", MAKES_HEAD)
    install(plugin_folder, "two", MAKES_HEAD)
    install(plugin_folder, "wrap", WRAPS_HEAD)
    message = refused(["one", "two"])
    assert "'one'" in message and "'two'" in message and "head" in message
    assert "name 'one' first" in refused(["wrap", "one"])
    activate(["one", "wrap"], {})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from xmlkit import hookimpl\n@hookimpl\ndef heads(): pass", "did you mean 'head'"),
        ("from xmlkit import hookimpl\n@hookimpl(tryfirst=True)\ndef head(): pass", "drop tryfirst"),
        (
            "from xmlkit import hookimpl\n@hookimpl(wrapper=True, trylast=True)\ndef head(): yield",
            "drop tryfirst",
        ),
        ("from xmlkit import hookimpl\n@hookimpl\ndef head(rank): pass", "did you mean 'rank_width'?"),
        ("from xmlkit import hookimpl\n@hookimpl\ndef head(x): pass", "(it has: build, rank_width)"),
        (
            "from xmlkit import hookimpl\n@hookimpl\ndef head():\n    yield",
            "head: @hookimpl(wrapper=True) over its yield is missing",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl(wrapper=True)\ndef head(): pass",
            "head: `inner = yield` in it is missing",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl\ndef run_started(): pass\ndef head(build): pass",
            "head: a function with a hook's name that is none",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl\ndef head(*, build): pass",
            "head: arguments are handed to it in their order: leave out the *",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl(wrapper=True)\ndef evaluated(): yield",
            "evaluated: an event has nothing to wrap",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl\ndef evaluated(): pass\n"
            "@hookimpl(specname='evaluated')\ndef too(): pass",
            "implements 'evaluated' twice",
        ),
        ("x = 1", "implements no hook"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def head(:", "SyntaxError"),
        (
            "from xmlkit import Head\nclass Own(Head):\n    def query_BE(self): pass",
            "Own.query_BE(self) can't be called as query_BE(self, rank_BD",
        ),
        (
            "from xmlkit import hookimpl\nclass Options: pass\n@hookimpl\ndef run_started(): pass",
            "its Options is no pydantic model",
        ),
        ("hooks_version = 3", "written for version 3 of the hooks, and this xmlkit has version 2"),
        ("hooks_version = '1'", "written for version '1' of the hooks"),
        (
            "from xmlkit import Shortlister\nclass Own(Shortlister):\n    loss_name = 'mine'",
            "TypeError: Own.loss_name is loss_names, a tuple, since version 2 of the hooks",
        ),
    ],
)
def test_plugins_that_cannot_work_are_refused(plugin_folder, source, expected):
    install(plugin_folder, "broken", source)
    message = refused(["broken"])
    assert "'broken'" in message and expected in message


def test_a_failure_on_import_has_the_plugins_own_traceback(plugin_folder):
    install(plugin_folder, "broken", "def fail():\n    raise RuntimeError('no luck')\n\nfail()")
    with pytest.raises(UserError) as error:
        load("broken")
    assert str(error.value) == "plugin 'broken' (broken) fails on import: RuntimeError: no luck"
    lines = error.value.detail.splitlines()
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == "RuntimeError: no luck"
    assert 'broken.py", line 4' in lines[1] and "importlib" not in error.value.detail


def test_a_broken_plugin_that_nobody_asked_for_is_not_noticed(plugin_folder):
    install(plugin_folder, "broken", "1 / 0")
    install(plugin_folder, "wrap", WRAPS_HEAD)
    assert {"broken", "wrap"} <= set(installed())
    activate(["wrap"], {})


def test_two_distributions_with_plugins_of_one_name(plugin_folder):
    install(plugin_folder, "wrap", WRAPS_HEAD)
    info = plugin_folder / "other-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text("[xmlkit]\nwrap = other\n")
    message = refused(["wrap"])
    assert message.startswith("2 plugins are called 'wrap', of ") and "pip uninstall" in message
    assert "xmlkit-wrap 1.2" in message and "other 3.0" in message


def test_a_plugin_says_for_which_hooks_it_was_written(plugin_folder):
    install(plugin_folder, "wrap", f"{WRAPS_HEAD}\nhooks_version = {HOOKS_VERSION}\n")
    activate(["wrap"], {})
    install(plugin_folder, "newer", f"{WRAPS_HEAD}\nhooks_version = {HOOKS_VERSION + 1}\n")
    assert "install another version of xmlkit-newer (here: 1.2) or of xmlkit-xmc" in refused(["newer"])


def test_the_chain_of_a_model_is_told_from_inside_out(example_plugins):
    settings = resolve({"plugins": ["attention-pooling", "layer-gain", "text-length", "in-batch"]})
    flat, clustered = (chains_of_settings(settings, path) for path in (False, True))
    assert flat["representation"] == [
        "AttentionPooling (attention-pooling)",
        "LayerGain (layer-gain) around it",
        "WithLength (text-length) around it",
    ]
    assert flat["shortlist"] == ["EveryLabel (lightxml)"]
    assert clustered["shortlist"] == ["TopClusters (lightxml)", "InBatch (in-batch) around it"]
    assert (flat["head"], clustered["head"]) == (["RowHead (lightxml)"], ["RowHead (lightxml)"])
    model = tiny.model(9, plugins=settings.plugins, starts=[0, 4])
    assert {door: part for door, part in chains(model.parts).items()} == clustered


def test_a_hook_that_returns_something_else(plugin_folder):
    install(plugin_folder, "odd", "from xmlkit import hookimpl\n@hookimpl\ndef head(): return 3")
    with pytest.raises(UserError, match="plugin 'odd', head: expected a Head, got int"):
        tiny.model(plugins=["odd"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (MAKES_HEAD, "head: Own wraps nothing and lacks width, query_BE, label_vectors_UE, label_bias_U"),
        (WRAPS_HEAD.replace("return Own((yield))", "yield"), "got NoneType (is a `return` missing?)"),
        (
            "from xmlkit import LossCombiner, hookimpl\nclass Own(LossCombiner): pass\n"
            "@hookimpl(wrapper=True)\ndef head(): return Own((yield))",
            "head: expected a Head, got Own, which is for loss",
        ),
        (
            "from pydantic import BaseModel\nfrom xmlkit import hookimpl\nclass Settings(BaseModel): pass\n"
            "@hookimpl(wrapper=True)\ndef head(build):\n    yield\n    build.options(Settings)",
            "build.options(Settings): no plugin in use has these options",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl(wrapper=True)\ndef head(build):\n"
            "    if build.num_labels > 3: return None\n    return (yield)",
            "odd.py:2: head: a wrapper has one `inner = yield` on every way through it",
        ),
        (
            "from xmlkit import hookimpl\n@hookimpl(wrapper=True)\ndef head():\n    yield\n    yield",
            "odd.py:2: head: a wrapper has one `inner = yield` on every way through it",
        ),
        (
            WRAPS_HEAD.replace("pass", "learning_rate = 'fast'"),
            "head: Own.learning_rate is 'fast': give it a number from 0 up",
        ),
        (
            WRAPS_HEAD.replace("pass", "weight_decay = -1"),
            "head: Own.weight_decay is -1: give it a number from 0 up",
        ),
        (
            "import torch\n"
            + WRAPS_HEAD.replace(
                "pass",
                "\n    counted = ('shown_L', 'spare_L')\n    def __init__(self, inner):\n"
                "        super().__init__(inner)\n        self.register_buffer('shown_l', torch.zeros(3))",
            ),
            "head: Own has no buffer 'shown_L', which it names as counted or sized: did you mean 'shown_l'?",
        ),
    ],
)
def test_a_hook_that_returns_what_can_not_work(plugin_folder, source, expected):
    install(plugin_folder, "odd", source)
    with pytest.raises(UserError) as error:
        tiny.model(plugins=["odd"])
    assert expected in str(error.value) and "\n" not in str(error.value)


DROPS_HEAD = """
'''Makes a head where it should wrap one.'''
from xmlkit import hookimpl
from xmlkit.testing import tiny_model
@hookimpl(wrapper=True)
def head():
    yield
    return tiny_model().head
"""


def test_a_wrapper_that_drops_what_an_earlier_plugin_made(plugin_folder):
    """The base's part may give way; another plugin's would be gone without a word."""
    install(plugin_folder, "drops", DROPS_HEAD)
    install(plugin_folder, "wrap", WRAPS_HEAD)
    tiny.model(plugins=["drops"])
    tiny.model(plugins=["drops", "wrap"])
    with pytest.raises(UserError, match="plugin 'drops', head: RowHead drops what 'wrap' made: hand `inner`"):
        tiny.model(plugins=["wrap", "drops"])


def test_plugins_that_are_one_module_or_share_their_options(plugin_folder):
    own_options = "from pydantic import BaseModel\nclass Options(BaseModel): pass\n"
    install(plugin_folder, "one", WRAPS_HEAD + own_options)
    install(plugin_folder, "two", WRAPS_HEAD + "from one import Options\n")
    assert refused(["one", "two"]).startswith("plugins 'one' and 'two' have one class Options")
    activate(["two"], {})
    info = plugin_folder / "again-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: again\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text("[xmlkit]\nagain = one\n")
    assert refused(["one", "again"]) == "plugins 'one' and 'again' are one module: use one of them"


def test_what_stands_at_a_door_so_far(plugin_folder):
    """`build.parts` has it for the plugins and doors that come later."""
    source = """
from xmlkit import hookimpl
seen = []
@hookimpl(wrapper=True)
def head(build):
    before = sorted(build.parts)
    inner = yield
    seen.append((before, build.parts["head"] is inner, type(build.parts["representation"]).__name__))
    return inner
"""
    install(plugin_folder, "looks", source)
    tiny.model(plugins=["looks"])
    from looks import seen

    assert seen == [(["representation", "shortlist"], True, "FirstTokens")]


DECLINES = """
from xmlkit import Shortlister, hookimpl
class Own(Shortlister):
    every_label, loss_names = True, ()
    def forward(self, vectors, documents, training): return None
@hookimpl
def shortlist(build):
    return Own() if build.clusters is None else None
"""


def test_a_maker_may_leave_it_to_the_base(plugin_folder):
    """Wrappers stand around what the base makes, and its weights have the base's names."""
    install(plugin_folder, "declines", DECLINES)
    clustered = tiny.model(plugins=["declines", "astec-negatives"], starts=[0, 9, 15])
    plain = tiny.model(plugins=["astec-negatives"], starts=[0, 9, 15])
    assert chains(clustered.parts) == chains(plain.parts)
    assert clustered.weights().keys() == plain.weights().keys()
    assert chains(tiny.model(plugins=["declines"]).parts)["shortlist"] == ["Own (declines)"]


def test_a_maker_that_forgets_to_return_is_refused(plugin_folder):
    install(plugin_folder, "none", "from xmlkit import hookimpl\n@hookimpl\ndef head(): print()")
    assert "plugin 'none', head: it returns nothing" in refused(["none"])
    made = MAKES_HEAD.partition("@hookimpl")[0] + "head = hookimpl(lambda build: Own())\n"
    install(plugin_folder, "short", made)
    activate(["short"], {})


ABOVE_ONE = """
from dataclasses import replace
from xmlkit import Shortlister, hookimpl
class Own(Shortlister):
    def forward(self, vectors, documents, training):
        short = self.inner(vectors, documents, training)
        return replace(short, prior_BC=short.prior_BC + 5)
@hookimpl(wrapper=True)
def shortlist(): return Own((yield))
"""


def test_scores_above_one_are_refused_by_name(plugin_folder, tmp_path):
    install(plugin_folder, "above", ABOVE_ONE)
    settings = {"plugins": ["above", "astec-negatives"], "clustered": True, "max_steps": 1}
    fit(tiny_trainer(tmp_path / "run", settings))
    with pytest.raises(UserError, match="plugin 'above', shortlist: Own has a prior above 1"):
        xmlkit.load(tmp_path / "run").predict(["w1 w2"])


ASKS = """
from xmlkit import hookimpl
hooks_version = 2
settings = {"layers": 3, "shortlist": 1}
@hookimpl
def run_started(run): pass
"""


def test_settings_that_a_plugin_asks_for(plugin_folder):
    """Defaults, which what is given goes over; two that ask for two things are told apart."""
    install(plugin_folder, "asks", ASKS)
    install(plugin_folder, "other", ASKS.replace("3", "4"))
    install(plugin_folder, "odd", ASKS.replace("layers", "layrs"))
    config, _ = settled({"plugins": ["asks"], "shortlist": 2, "recipe": "lightxml"})
    assert (config.layers, config.shortlist, config.eps) == (3, 2, 1e-6)
    assert resolve({"plugins": ["asks"]}).layers != 3
    with pytest.raises(UserError, match="'asks' and 'other' ask for layers=3 and layers=4: choose"):
        settled({"plugins": ["asks", "other"]})
    assert settled({"plugins": ["asks", "other"], "layers": 5})[0].layers == 5
    with pytest.raises(UserError, match="'odd' asks for 'layrs', no setting: did you mean 'layers'"):
        settled({"plugins": ["odd"]})
    install(plugin_folder, "no-table", f"{WRAPS_HEAD}\nhooks_version, settings = 2, 3\n")
    with pytest.raises(UserError, match="'no-table': its `settings` are no dict"):
        settled({"plugins": ["no-table"]})


@pytest.mark.parametrize("source", ["settings = None", "settings = {'mine': 3}", "def settings(): pass"])
def test_settings_of_a_plugin_that_knows_no_such_thing_are_its_own(plugin_folder, source):
    install(plugin_folder, "older", f"{WRAPS_HEAD}\n{source}\n")
    assert settled({"plugins": ["older"]})[0] == resolve({"plugins": ["older"]})


def test_what_a_recipe_or_a_corpus_has_is_not_given(plugin_folder, capsys):
    """However the settings come: as a document, as they were resolved before, or to be looked at."""
    install(plugin_folder, "asks", ASKS.replace('"shortlist": 1', '"eps": 1e-7, "clustered": False'))
    document = {"plugins": ["asks"], "recipe": "lightxml", "lr": 1e-3}
    checked = resolve(document, "demo")
    assert checked.as_given() == {**document, "plugins": ["asks"]}
    for given in (document, checked.as_given()):
        config, _ = settled(given, "demo")
        assert (config.layers, config.eps, config.clustered, config.lr) == (3, 1e-7, False, 1e-3)
    columns = [column.header for column in chain_table(resolve(document)).columns]
    assert columns == ["hook point", "every label scored"]
    assert "It asks for clustered=false." in plugin_list()[0]


def test_a_plugin_may_not_be_called_like_a_setting(plugin_folder):
    install(plugin_folder, "schedule", WRAPS_HEAD)
    assert "name of a setting" in refused(["schedule"])
    install(plugin_folder, "base", WRAPS_HEAD)
    assert "name of the model without plugins" in refused(["base"])


def test_a_vector_of_another_width_than_announced(plugin_folder):
    source = """
from xmlkit import Representation, hookimpl
class Own(Representation):
    def __init__(self, inner): super().__init__(inner, rank_width=7)
@hookimpl(wrapper=True)
def representation(): return Own((yield))
"""
    install(plugin_folder, "odd", source)
    documents, training = tiny.batch(["w1", "w2"])
    with pytest.raises(
        UserError, match=r"'odd', representation: Own.forward: rank_BD is \(2, 96\), expected \(2, 7\)"
    ):
        tiny.model(plugins=["odd"])(documents, training)


def test_options(example_plugins):
    smoothing = ["label-smoothing"]
    assert activate(smoothing, {}).options["label-smoothing"].amount == 0.1
    assert activate(smoothing, {"label-smoothing": {"amount": 0.3}}).options["label-smoothing"].amount == 0.3
    message = refused(smoothing, {"label-smoothing": {"amonut": 0.3}})
    assert "did you mean 'amount'" in message
    message = refused(smoothing, {"label-smoothing": {"amount": 0.7}})
    assert "label-smoothing.amount=0.7" in message and "less than 0.5" in message
    assert "has no options" in refused(["layer-gain"], {"layer-gain": {"scale": 1}})


@pytest.fixture
def added(tmp_path, monkeypatch):
    """A file that is a plugin here; nothing of it is left afterwards."""
    monkeypatch.setattr("xmlkit.discovery._added", {})
    monkeypatch.setitem(sys.modules, "xmlkit_in_a_file", None)
    file = tmp_path / "in_a_file.py"
    file.write_text(WRAPS_HEAD)
    xmlkit.add_plugin("in-a-file", file)
    return file


def test_a_file_is_a_plugin_for_this_process(added):
    plugin = load("in-a-file")
    digest = hashlib.sha256(WRAPS_HEAD.encode()).hexdigest()[:12]
    assert (plugin.distribution, plugin.version) == ("in_a_file.py", f"sha256:{digest}")
    assert plugin.description == "Wraps the head." and "in-a-file" in installed()
    assert chain(tiny.model(plugins=["in-a-file"]).head) == ["in-a-file", BASE]
    with pytest.raises(UserError, match=r"no plugin 'in-a-fil' is installed: did you mean 'in-a-file'"):
        load("in-a-fil")
    added.write_text(MAKES_HEAD)  # as a cell that is run again does, be it within a second
    assert load("in-a-file") is plugin
    xmlkit.add_plugin("in-a-file", added)
    assert load("in-a-file").description == "Makes a head." and load("in-a-file").version != plugin.version


def test_files_that_are_no_plugins(added, tmp_path):
    added.write_text("def fail():\n    raise RuntimeError('no luck')\n\nfail()")
    for name, file, expected in (
        ("se", added, "a plugin 'se' is installed: choose another name"),
        ("mine", tmp_path / "nowhere.py", "nowhere.py: no such file; name one that holds a plugin"),
        ("mine", added, "plugin 'mine' (in_a_file.py) fails on import: RuntimeError: no luck"),
    ):
        with pytest.raises(UserError) as error:
            xmlkit.add_plugin(name, file)
        assert expected in str(error.value) and "\n" not in str(error.value)
    assert error.value.detail.splitlines()[1].strip().startswith(f'File "{added}", line 4')
    added.write_text("hooks_version = 99")
    with pytest.raises(UserError, match="version 99 of the hooks"):
        xmlkit.add_plugin("in-a-file", added)
    assert load("in-a-file").description == "Wraps the head."  # as it was


def test_a_run_with_a_file_is_opened_where_it_was_added_and_not_given_away(added, tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "max_steps": 1, "device": "cpu"}
    settings |= {"plugins": ["in-a-file"], "start": "random", "validation": 0.3}
    corpus = tiny.learnable_corpus()
    run = xmlkit.train(corpus, settings, tmp_path / "run").folder
    assert len(xmlkit.load(run).predict(["w1"])[0]) > 0
    whole = xmlkit.ensemble([str(run), "linear"], corpus, tmp_path / "whole", summed=True).folder
    for folder in (run, whole):
        with pytest.raises(UserError, match="plugin 'in-a-file' is a file that nobody else has"):
            write(folder, "some/model", tmp_path / "given")
        _, err = command("predict", folder, stdin="w1\n", code=1)
        assert "needs the plugin 'in-a-file', which is not installed" in err and err.count("\n") == 1
        assert "put its files back" not in err
    added.write_text(WRAPS_HEAD + "\n# another line\n")
    xmlkit.add_plugin("in-a-file", added)
    with pytest.raises(UserError, match="run was trained with another file as the plugin 'in-a-file'"):
        xmlkit.load(run)
