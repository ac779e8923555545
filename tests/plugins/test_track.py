"""What is tracked is what the log has: read back by the libraries themselves."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import tiny
import xmlkit_plugins.trackers as room
from commands import QUICK, write_corpus, xmlkit
from installing import install
from safetensors.torch import load_file
from torch import equal

from xmlkit import UserError
from xmlkit.plugins import activate
from xmlkit.testing.tiny import losses_of
from xmlkit.training import train as training

CORPUS = tiny.learnable_corpus()
SETTINGS = {"max_len": 16, "batch_size": 16, "epochs": 1, "eval_every": 3, "log_every": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def trained(folder, encoder, to="tensorboard", **settings):
    settings = {**SETTINGS, "encoder": encoder, "plugins": ["track"], "track": {"to": to}, **settings}
    return training.train(CORPUS, settings, folder)


def figures_of(told) -> dict[tuple[str, int], float]:
    return {(name, step): value for name, step, value in told}


def logged(run: Path) -> dict[tuple[str, int], float]:
    """The figures of a run's log by name and step, the last of each."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {
        (name, line["step"]): value
        for line in lines
        for name, value in line.items()
        if name not in ("step", "outcome") and value is not None
    }


def in_event_files(run: Path) -> list[tuple[str, int, float]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return [(tag, one.step, one.value) for tag in found.Tags()["scalars"] for one in found.Scalars(tag)]


def nearly(figures: dict[tuple[str, int], float]):
    """As float32 has them."""
    return pytest.approx(figures, rel=1e-6)


LEARNS = """
from xmlkit import hookimpl
@hookimpl
def trained(run, read): pass
"""


def test_event_files_have_each_figure_of_the_log_once(tmp_path, encoder, plugin_folder):
    install(plugin_folder, "learns", LEARNS)  # so that documents are scored once more, as `trained/...`
    trained(tmp_path / "run", encoder, plugins=["learns", "track"])
    found, log = in_event_files(tmp_path / "run"), logged(tmp_path / "run")
    assert figures_of(found) == nearly(log)
    assert len(found) == len(log)
    assert {("loss", 1), ("lr", 2), ("validation/P@5", 3), ("documents_per_second", 10)} <= log.keys()
    assert ("trained/validation/P@1", 10) in log


def test_the_settings_are_there_and_nothing_of_the_documents(tmp_path, encoder):
    trained(tmp_path / "run", encoder, seed=7, plugins=["lexical", "track"], lexical={"buckets": 64})
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    content = file.read_bytes()
    text = content[content.index(b"```") + 4 : content.rindex(b"```")].decode()
    settings = json.loads(text)
    assert settings["corpus"] == CORPUS.name and settings["seed"] == 7
    assert settings["lexical.buckets"] == 64 and settings["track.to"] == ["tensorboard"]
    assert not any(label.encode() + b" " in content for label in CORPUS.labels.ids)


def test_what_is_tracked_changes_no_number(tmp_path, encoder):
    trained(tmp_path / "with", encoder)
    training.train(CORPUS, {**SETTINGS, "encoder": encoder}, tmp_path / "without")
    assert losses_of(tmp_path / "with") == losses_of(tmp_path / "without")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert ours.keys() == theirs.keys() and all(equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("step", [1, 7])
def test_a_run_that_goes_on_is_one_run(tmp_path, encoder, step):
    with tiny.killed_before_step(step):
        trained(tmp_path / "run", encoder, checkpoint_every=5, eval_every=3)
    assert in_event_files(tmp_path / "run")  # of what is done again, too
    training.resume(tmp_path / "run", CORPUS)
    found, log = in_event_files(tmp_path / "run"), logged(tmp_path / "run")
    assert figures_of(found) == nearly(log) and len(found) == len(log)


LEDGER = '''
"""A tracker that notes what it is asked, and fails where a file says so."""
from pathlib import Path
from xmlkit_plugins.trackers import Tracker
notes, fails = [], set()
def note(*what):
    notes.append(what)
    if what[0] in fails: raise OSError("the server is away\\nand more")
class OfRun(Tracker):
    id = "of this run"
    def take(self, step, figures): note("take", step, dict(figures)); print("a library speaks")
    def close(self, outcome): note("close", outcome)
def begin(run):
    note("begin", run.id, run.steps_done, run.project, run.name)
    return OfRun()
'''


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """One more tracker in the room, found by being there; its library is a module of the same name."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "ledger.py").write_text(LEDGER)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "ledger.py").write_text("")
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path / "more")])
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    yield room.import_module("xmlkit_plugins.trackers.ledger")
    for name in ("ledger", "xmlkit_plugins.trackers.ledger"):
        sys.modules.pop(name, None)


def test_a_tracker_is_told_all_in_order_and_is_closed(tmp_path, encoder, ledger, capsys):
    trained(tmp_path / "mine", encoder, to=["ledger"], track={"to": "ledger", "project": "ours"})
    first, *figures, last = ledger.notes
    assert first == ("begin", None, 0, "ours", "mine") and last == ("close", "finished")
    told = {(name, step): value for _, step, some in figures for name, value in some.items()}
    assert told == logged(tmp_path / "mine")  # the very numbers
    assert "a library speaks" not in capsys.readouterr().out  # which is the command's own
    assert json.loads((tmp_path / "mine" / "tracked.json").read_text()) == {"ledger": "of this run"}


CTRL_C = """
import os, signal
from xmlkit import hookimpl
@hookimpl
def step_ended(run, step):
    if step == 4: os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_closes_and_a_resumed_run_has_its_name(tmp_path, encoder, ledger, plugin_folder):
    install(plugin_folder, "ctrl-c", CTRL_C)
    found = trained(tmp_path / "run", encoder, to="ledger", plugins=["ctrl-c", "track"])
    assert found.outcome == "interrupted" and ledger.notes[-1] == ("close", "interrupted")
    ledger.notes.clear()
    training.resume(tmp_path / "run", CORPUS)
    assert ledger.notes[0] == ("begin", "of this run", 4, "xmlkit", "run")
    assert ledger.notes[-1] == ("close", "finished")
    assert min(step for kind, step, *_ in ledger.notes[1:-1]) == 6


CTRL_C_TWICE = """
import os, signal
from xmlkit import hookimpl
left = [signal.SIGINT, signal.SIGINT]
@hookimpl
def step_ended(run, step):
    while step == 4 and left: os.kill(os.getpid(), left.pop())
"""


def test_a_second_ctrl_c_closes_too_and_the_run_goes_on(tmp_path, encoder, ledger, plugin_folder):
    install(plugin_folder, "ctrl-c-twice", CTRL_C_TWICE)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", encoder, to="ledger", plugins=["ctrl-c-twice", "track"])
    assert ledger.notes[-1] == ("close", "failed")
    ledger.notes.clear()
    training.resume(tmp_path / "run", CORPUS)
    assert ledger.notes[0] == ("begin", "of this run", 3, "xmlkit", "run")
    assert ledger.notes[-1] == ("close", "finished")


def test_an_error_is_told_although_what_it_closes_fails_too(tmp_path, encoder, ledger):
    ledger.fails.add("close")
    with tiny.killed_before_step(4):
        trained(tmp_path / "run", encoder, to="ledger")
    assert ledger.notes[-1] == ("close", "failed")


def test_what_was_begun_before_a_library_is_missed_is_closed(tmp_path, encoder, ledger, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match="tensorboard needs tensorboard"):
        trained(tmp_path / "run", encoder, to="ledger,tensorboard")
    assert [kind for kind, *_ in ledger.notes] == ["begin", "close"]


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_event_files_are_closed(tmp_path, encoder, monkeypatch, is_broken_off):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    closed, real = [], tensorboard.SummaryWriter.close
    monkeypatch.setattr(tensorboard.SummaryWriter, "close", lambda self: (closed.append(1), real(self)))
    with tiny.killed_before_step(4) if is_broken_off else nullcontext():
        trained(tmp_path / "run", encoder)
    assert closed == [1]


@pytest.mark.parametrize("what", ["begin", "take", "close"])
def test_a_tracker_that_fails_is_told_of_once_and_the_others_go_on(tmp_path, encoder, ledger, capsys, what):
    ledger.fails.add(what)
    found = trained(tmp_path / "run", encoder, to="ledger,tensorboard")
    assert found.outcome == "finished"
    said = "track: ledger fails, and the training goes on without it: the server is away\n"
    err = capsys.readouterr().err
    assert err.count("ledger fails") == err.count(said) == 1 and ledger.notes[-1][0] == what  # and no more
    assert figures_of(in_event_files(tmp_path / "run")) == nearly(logged(tmp_path / "run"))


def test_a_library_that_is_missing_is_told_before_any_step(tmp_path, encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError) as error:
        trained(tmp_path / "run", encoder)
    assert str(error.value) == ("track: tensorboard needs tensorboard: pip install 'xmlkit-xmc[tensorboard]'")
    assert not (tmp_path / "run").exists()  # nothing came of it


def test_what_is_damaged_is_told(tmp_path, encoder):
    with tiny.killed_before_step(3):
        trained(tmp_path / "run", encoder)
    file = tmp_path / "run" / "tracked.json"
    for content in (b"{", b"[1]", b'{"tensorboard": 3}', b"\xff"):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"tracked\.json is damaged: put it back, or remove it"):
            training.resume(tmp_path / "run", CORPUS)
    file.unlink()
    assert training.resume(tmp_path / "run", CORPUS).outcome == "finished"


@pytest.mark.parametrize("to", ["tensorbord", ["tensorboard", "nowhere"], [], "", 3])
def test_what_is_no_tracker_is_told(to):
    with pytest.raises(UserError) as error:
        activate(["track"], {"track": {"to": to}})
    assert str(error.value).startswith("track.to=") and "\n" not in str(error.value)


def test_the_command(tmp_path):
    write_corpus(tmp_path / "corpus")
    few = ["--encoder", "none", "--set", "max_steps=2", *QUICK[2:]]
    _, err = xmlkit("train", "corpus", *few, "--track", "tensorbord", cwd=tmp_path, code=1)
    assert err.startswith("error: track.to=") and "there are mlflow, tensorboard, trackio, wandb" in err
    bag = ["--plugin", "lexical", "--set", "lexical.buckets=64"]
    xmlkit("train", "corpus", *few, *bag, "--track", "tensorboard", "--out", "run", cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["plugins"] == ["lexical", "track"]
    assert {name for name, _, _ in in_event_files(tmp_path / "run")} >= {"loss", "validation/nDCG@5"}
    _, err = xmlkit("train", "--resume", "run", "--track", "tensorboard", cwd=tmp_path, code=1)
    assert "takes its settings from the run" in err


def test_mlflow_has_the_figures_also_of_a_run_that_went_on(tmp_path, encoder, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    with tiny.killed_before_step(7):
        trained(tmp_path / "run", encoder, to="mlflow", checkpoint_every=5)
    client = mlflow.MlflowClient()
    here = [client.get_experiment_by_name("xmlkit").experiment_id]
    assert [one.info.status for one in client.search_runs(here)] == ["FAILED"]
    training.resume(tmp_path / "run", CORPUS)
    (found,) = client.search_runs(here)
    assert found.info.run_name == "run" and found.info.status == "FINISHED"
    assert found.data.params["corpus"] == CORPUS.name and found.data.params["batch_size"] == "16"
    told = {
        (name.replace("_at_", "@"), one.step): one.value
        for name in found.data.metrics
        for one in client.get_metric_history(found.info.run_id, name)
    }
    assert told == nearly(logged(tmp_path / "run"))


def test_mlflow_whose_server_is_away(tmp_path, encoder, monkeypatch, capsys):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert trained(tmp_path / "run", encoder, to="mlflow").outcome == "finished"
    assert capsys.readouterr().err.count("track: mlflow fails, and the training goes on without it") == 1


def test_wandb_keeps_the_figures_and_nothing_of_the_machine(tmp_path, encoder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "run", encoder, to="wandb")
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    content, log = file.read_bytes(), logged(tmp_path / "run")
    assert all(name.encode() in content for name, _ in log)
    assert all(repr(value).encode() in content for (name, _), value in log.items() if name == "loss")
    machine = re.escape(os.uname().nodename.encode())
    assert not re.search(rb"\b" + machine + rb"\b", content)  # a short name may stand within a random id
    assert b"numpy" not in content


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_wandb_is_told_how_it_ended(tmp_path, encoder, monkeypatch, is_broken_off):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    codes, real = [], wandb.Run.finish
    monkeypatch.setattr(
        wandb.Run, "finish", lambda run, exit_code: (codes.append(exit_code), real(run, exit_code))
    )
    with tiny.killed_before_step(4) if is_broken_off else nullcontext():
        trained(tmp_path / "run", encoder, to="wandb")
    assert codes == [int(is_broken_off)]


def test_trackio_has_the_figures_also_of_a_run_that_went_on(tmp_path, encoder, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    pytest.importorskip("trackio", reason="trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    with tiny.killed_before_step(7):
        trained(tmp_path / "run", encoder, to="trackio", checkpoint_every=5)
    training.resume(tmp_path / "run", CORPUS)
    name = json.loads((tmp_path / "run" / "tracked.json").read_text())["trackio"]
    assert SQLiteStorage.get_runs("xmlkit") == [name]
    lines = SQLiteStorage.get_logs("xmlkit", name)
    told = {(key, line["step"]): value for line in lines for key, value in line.items()}
    log = logged(tmp_path / "run")
    assert {key: told[key] for key in log} == nearly(log)
