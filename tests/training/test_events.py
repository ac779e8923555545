"""What events may do to a run, and what they can't."""

from __future__ import annotations

import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

from xmlkit import UserError
from xmlkit.testing.tiny import losses_of
from xmlkit.training import train as training

CORPUS = tiny.learnable_corpus()
SETTINGS = {"max_len": 16, "batch_size": 16, "epochs": 1, "eval_every": 6, "log_every": 1, "device": "cpu"}
MEDDLES = """
import torch
from xmlkit import hookimpl
@hookimpl
def run_started(run): torch.rand(3)
@hookimpl
def step_ended(run, report):
    torch.rand(5)
    report.clear()
@hookimpl
def evaluated(run, metrics):
    torch.manual_seed(99)
    metrics["P@5"] = 100.0 * run.num_steps
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def trained(folder, encoder, **settings):
    found = training.train(CORPUS, {**SETTINGS, "encoder": encoder, **settings}, folder)
    return found, losses_of(folder), load_file(folder / "model.safetensors")


def test_what_an_event_draws_or_writes_changes_nothing(tmp_path, encoder, plugin_folder):
    install(plugin_folder, "meddles", MEDDLES)
    _, losses, weights = trained(tmp_path / "a", encoder)
    _, their_losses, their_weights = trained(tmp_path / "b", encoder, plugins=["meddles"])
    assert losses == their_losses
    assert all(torch.equal(weights[name], their_weights[name]) for name in weights)


def test_a_run_goes_on_to_the_same_weights_beside_an_event_that_draws(tmp_path, encoder, plugin_folder):
    install(plugin_folder, "meddles", MEDDLES)
    settings = {"plugins": ["meddles"], "checkpoint_every": 4}
    _, _, whole = trained(tmp_path / "whole", encoder, **settings)
    with tiny.killed_before_step(5):
        trained(tmp_path / "killed", encoder, **settings)
    training.resume(tmp_path / "killed", CORPUS)
    resumed = load_file(tmp_path / "killed" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("event", ["step_ended(run, step)", "logged(run, step)"])
def test_an_event_ends_the_training(tmp_path, encoder, plugin_folder, event):
    """After that step, which is scored as the last one is."""
    source = f"""
from xmlkit import hookimpl
@hookimpl
def {event}: run.stops = step == 4
"""
    install(plugin_folder, "stops", source)
    found, losses, _ = trained(tmp_path / "a", encoder, plugins=["stops"])
    assert found.outcome == "stopped early" and losses[-1]["step"] == 4 and "validation/P@5" in losses[-1]


def test_an_event_changes_the_rates_also_of_a_resumed_run(tmp_path, encoder, plugin_folder):
    source = """
from xmlkit import hookimpl
@hookimpl
def step_ended(run, step):
    if step == 3: run.rate_factor = 0.5
"""
    install(plugin_folder, "slows", source)
    settings = {"schedule": "constant", "warmup": 0.0, "plugins": ["slows"], "checkpoint_every": 5}
    _, whole, _ = trained(tmp_path / "whole", encoder, **settings)
    with tiny.killed_before_step(7):
        trained(tmp_path / "killed", encoder, **settings)
    training.resume(tmp_path / "killed", CORPUS)
    rates = {line["step"]: line["lr"] for line in whole if "lr" in line}
    assert rates[3] == 1e-4 and rates[4] == pytest.approx(5e-5)
    assert losses_of(tmp_path / "killed") == whole


def test_rates_that_an_evaluation_changes_are_those_of_the_next_step(tmp_path, encoder, plugin_folder):
    source = """
from xmlkit import hookimpl
seen = []
@hookimpl
def step_ended(run): seen.append([group["lr"] for group in run.optimizers[0].param_groups][0])
@hookimpl
def evaluated(run): run.rate_factor = 0.1
"""
    install(plugin_folder, "judges", source)
    settings = {"schedule": "constant", "warmup": 0.0, "plugins": ["judges"], "eval_every": 2, "max_steps": 4}
    trained(tmp_path / "a", encoder, **settings)
    first, second, third, fourth = __import__("judges").seen
    assert first == second and third == fourth == pytest.approx(first / 10)


@pytest.mark.parametrize("factor", ["-1", "'0.5'", "float('nan')", "float('inf')"])
def test_a_factor_that_is_none_is_told_by_its_plugin(tmp_path, encoder, plugin_folder, factor):
    source = f"from xmlkit import hookimpl\n@hookimpl\ndef step_ended(run): run.rate_factor = {factor}\n"
    install(plugin_folder, "odd", source)
    with pytest.raises(
        UserError, match=r"plugin 'odd', step_ended: it has set run.rate_factor to .*at least 0"
    ):
        trained(tmp_path / "a", encoder, plugins=["odd"])


@pytest.mark.parametrize("order", [["sees", "spoils"], ["spoils", "sees"]])
def test_what_one_plugin_writes_another_does_not_see(tmp_path, encoder, plugin_folder, order):
    spoils = """
from xmlkit import hookimpl
@hookimpl
def step_ended(report): [loss.zero_() for loss in report.values()]
@hookimpl
def logged(figures): figures.clear()
@hookimpl
def evaluated(metrics): metrics.clear()
"""
    sees = """
from xmlkit import hookimpl
seen = set()
@hookimpl
def step_ended(report): seen.add(("loss", float(report["loss"]) > 0))
@hookimpl
def logged(figures): seen.add(("logged", bool(figures)))
@hookimpl
def evaluated(metrics): seen.add(("P@5", "P@5" in metrics))
"""
    install(plugin_folder, "spoils", spoils)
    install(plugin_folder, "sees", sees)
    _, losses, _ = trained(tmp_path / "a", encoder, plugins=order)
    assert __import__("sees").seen == {("loss", True), ("logged", True), ("P@5", True)}
    assert all(line["loss"] > 0 for line in losses if "loss" in line)


HEARS = """
from xmlkit import hookimpl
heard = []
@hookimpl
def run_ended(outcome):
    heard.append(outcome)
    if FAILS: raise ValueError("not to be told")
"""
ENDS = """
import os, signal
from xmlkit import UserError, hookimpl
@hookimpl
def {event}: {does}
"""
ERROR = "raise UserError('the first')"
CTRL_C_TWICE = "[os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]"


@pytest.mark.parametrize(
    ("event", "does", "error"),
    [
        ("step_ended(run, step)", ERROR, UserError),
        ("run_started(run)", ERROR, UserError),  # what others have opened there is open
        ("trained(run, read)", ERROR, UserError),
        ("step_ended(run, step)", CTRL_C_TWICE, KeyboardInterrupt),
    ],
)
def test_all_hear_of_an_error_which_stays_the_one_to_tell(
    tmp_path, encoder, plugin_folder, event, does, error
):
    for name, fails in (("hears", False), ("fails", True)):
        install(plugin_folder, name, HEARS.replace("FAILS", str(fails)))
    install(plugin_folder, "ends", ENDS.format(event=event, does=does))
    with pytest.raises(error) as told:
        trained(tmp_path / "a", encoder, plugins=["hears", "ends", "fails"])
    assert told.value.__cause__ is told.value.__context__ is None
    assert error is KeyboardInterrupt or str(told.value) == "the first"
    assert __import__("hears").heard == __import__("fails").heard == ["failed"]


def test_an_error_of_the_last_event_is_told_and_comes_once(tmp_path, encoder, plugin_folder):
    install(plugin_folder, "fails", HEARS.replace("FAILS", "True"))
    with pytest.raises(ValueError, match="not to be told"):
        trained(tmp_path / "a", encoder, plugins=["fails"])
    assert __import__("fails").heard == ["finished"]


KEEPS_TEXT = """
import torch
from xmlkit import Representation, hookimpl
seen = []
class Own(Representation):
    pass
@hookimpl(wrapper=True)
def representation(build):
    inner = yield
    known = build.train_labels, build.train_text
    seen.append([len(found.offsets) if found is not None else None for found in known])
    return Own(inner)
"""


def test_a_run_that_goes_on_knows_what_it_knew(tmp_path, encoder, plugin_folder):
    install(plugin_folder, "keeps", KEEPS_TEXT)
    with tiny.killed_before_step(3):
        trained(tmp_path / "a", encoder, plugins=["keeps"])
    training.resume(tmp_path / "a", CORPUS)
    from keeps import seen

    assert seen[0] == seen[1] == [161, 161] and seen[-1] == [None, None]  # to train, to go on, to predict


DETACHED = """
from xmlkit import LossCombiner, hookimpl
class Own(LossCombiner):
    def {method}
@hookimpl(wrapper=True)
def loss(): return Own((yield))
"""


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "forward(self, losses): return {name: loss.detach() for name, loss in losses.items()}",
            "the loss 'ranker' depends on nothing that learns: does a plugin detach it?",
        ),
        (
            "report(self): return 3",
            "plugin 'odd', loss: Own.report: it is of type int, expected figures by name",
        ),
        (
            "rate_factors(self, model): return {model: 'half'}",
            "plugin 'odd', loss: Own.rate_factors: the factor of Model is 'half', expected a number from 0 "
            "up",
        ),
    ],
)
def test_what_can_not_be_trained_is_told(tmp_path, encoder, plugin_folder, method, expected):
    install(plugin_folder, "odd", DETACHED.replace("{method}", method))
    with pytest.raises(UserError) as error:
        trained(tmp_path / "a", encoder, plugins=["odd"])
    assert str(error.value) == expected
