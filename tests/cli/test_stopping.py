"""Commands that are broken off, and how they are gone on with."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import subprocess
import time

import pytest
from commands import QUICK, XMLKIT, hears_signals, started, wait_for_lines, xmlkit


@pytest.mark.slow  # an ensemble's Ctrl-C, and in this process a run's, are heard in the fast part
def test_ctrl_c_and_resume(place, tmp_path):
    run = tmp_path / "run"
    log = run / "log.jsonl"
    long = [*QUICK, "--set", "epochs=200"]
    training = started(place, "train", "corpus", "--encoder", "encoder", "--out", run, *long)
    wait_for_lines(log, 3, training)
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130 and "Traceback" not in err
    assert f"interrupted; go on with: xmlkit train --resume {run}" in err
    xmlkit("predict", run, stdin="w1\n")
    steps = len(log.read_text().splitlines())
    resumed = started(place, "train", "corpus", "--resume", run)
    wait_for_lines(log, steps + 3, resumed)
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate(timeout=60)
    assert "going on after step" in err and resumed.returncode == 130
    losses = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert losses == list(range(1, len(losses) + 1))  # no step twice, none left out


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_training_that_is_told_to_end_can_be_gone_on_with(place, tmp_path, number, code):
    """By a batch system, a container, or a connection that was lost."""
    log = tmp_path / "run" / "log.jsonl"
    long = [
        "train",
        "corpus",
        "--encoder",
        "encoder",
        *QUICK,
        "--set",
        "epochs=200",
        "--out",
        tmp_path / "run",
    ]
    training = started(place, *long)
    wait_for_lines(log, 3, training)
    training.send_signal(number)
    _, err = training.communicate(timeout=100)
    assert training.returncode == code and "Traceback" not in err
    assert "ending this step and saving\n" in err
    assert f"interrupted; go on with: xmlkit train --resume {tmp_path / 'run'}" in err
    lines = log.read_text().count("\n")
    resumed = started(place, "train", "--resume", tmp_path / "run")
    wait_for_lines(log, lines + 2, resumed)
    resumed.send_signal(number)
    resumed.communicate(timeout=100)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert resumed.returncode == code and steps == list(range(1, len(steps) + 1))


@pytest.mark.slow
def test_a_terminal_that_is_gone_is_no_hindrance(place, tmp_path):
    """What is said then is an error; and a shell passes the signal on that the kernel sends, too."""
    log = tmp_path / "run" / "log.jsonl"
    ours, theirs = pty.openpty()
    long = [*QUICK, "--set", "epochs=2000", "--set", "eval_every=100000", "--out", log.parent]
    training = subprocess.Popen(
        list(map(str, [XMLKIT, "train", "corpus", "--encoder", "encoder", *long])),
        cwd=place,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=hears_signals,
    )
    os.close(theirs)
    while not log.exists() or log.read_text().count("\n") < 3:
        assert training.poll() is None
        if select.select([ours], [], [], 0.05)[0]:
            os.read(ours, 4096)
    os.close(ours)
    for _ in range(2):
        training.send_signal(signal.SIGHUP)
    assert training.wait(timeout=100) == 129
    assert (log.parent / "model.safetensors").exists()
    resumed = started(place, "train", "--resume", log.parent)
    wait_for_lines(log, log.read_text().count("\n") + 2, resumed)
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate(timeout=100)
    assert "going on after step" in err
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.slow
def test_a_signal_that_nohup_ignores_is_ignored(place, tmp_path):
    log = tmp_path / "run" / "log.jsonl"
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    command = ["train", "corpus", "--encoder", "encoder", *QUICK, "--set", "epochs=20", "--out", log.parent]
    training = started(place, *command, **ignoring)
    wait_for_lines(log, 3, training)
    training.send_signal(signal.SIGHUP)
    assert training.poll() is None
    _, err = training.communicate(timeout=100)
    assert training.returncode == 0 and "ending this step" not in err


@pytest.mark.slow
def test_a_signal_before_the_first_step_leaves_no_folder(place, tmp_path):
    run = tmp_path / "run"
    training = started(place, "train", "--encoder", "encoder", "--set", "max_len=16", "--out", run)
    while not (run / ".owner").exists():
        assert training.poll() is None, training.communicate()
        time.sleep(0.001)
    training.terminate()
    _, err = training.communicate(timeout=100)
    assert training.returncode == 143 and "Traceback" not in err
    assert not run.exists() or os.listdir(run) == [
        ".lock"
    ]  # while it is taken: the name is free all the same


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kilobytes", "where"),
    [(1, "tokens"), (100, "checkpoint.safetensors")],
)
def test_a_full_disk_is_one_line_and_there_is_a_way_on(place, tmp_path, kilobytes, where):
    """A real one: a file may grow to so many bytes and no further."""
    limit = (kilobytes * 1024, resource.RLIM_INFINITY)
    command = [
        "train",
        "corpus",
        "--encoder",
        "encoder",
        *QUICK,
        "--set",
        "epochs=2",
        "--out",
        tmp_path / "run",
    ]
    environment = dict(os.environ, COLUMNS="200", XMLKIT_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(
        [XMLKIT, *map(str, command)],
        cwd=place,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr and last.startswith("error: ")
    assert where in last and "File too large; once there is room, go on" in last
    assert not (tmp_path / "run").exists() and not list((tmp_path / "cache").rglob(".*"))
    xmlkit(*command, cwd=place)


@pytest.mark.slow
def test_compare_goes_on_after_ctrl_c(place, tmp_path, monkeypatch):
    """In the middle of a run: what is printed and kept in the end is as without it, and with two at once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = ["compare", "corpus", "--plugin-sets", "base;layer-gain[lr=3e-3]", "--seeds", "1", *QUICK]
    command += ["--encoder", "encoder", "--set", "epochs=40", "--set", "device=cpu"]
    broken = started(place, *command, "--out", tmp_path / "broken", path=place / "site")
    wait_for_lines(tmp_path / "broken" / "base" / "seed-0" / "log.jsonl", 4, broken)
    broken.send_signal(signal.SIGINT)
    _, err = broken.communicate(timeout=100)
    assert broken.returncode == 130 and "interrupted; the same command goes on" in err
    assert "Traceback" not in err and not (tmp_path / "broken" / "validation.json").exists()
    again, err = xmlkit(*command, "--out", tmp_path / "broken", cwd=place, path=place / "site")
    assert "going on after step" in err
    options = ["--out", tmp_path / "whole", "--jobs", "2"]
    whole, err = xmlkit(*command, *options, cwd=place, path=place / "site")
    assert "Differences from base, with 95%" in err and "Up to 2 runs were trained at once" in err
    documents = [
        json.loads((tmp_path / name / "validation.json").read_text()) for name in ("broken", "whole")
    ]
    for document in documents:
        for row in document["rows"]:
            del row["seconds"], row["extra_seconds"]
    assert [document.pop("at_once") for document in documents] == [1, 2] and documents[0] == documents[1]
    for found in (again, whole):
        assert "layer-gain[lr=3e-3]" in found and "verdict on P@5" in found and "P@5" in found
    _, err = xmlkit(*command, *options, "--base", "layer-gain[lr=3e-3]", cwd=place, path=place / "site")
    assert "Differences from layer-gain[lr=3e-3], with 95%" in err and "run 1 of" not in err


def test_ctrl_c_while_commands_are_read_in_is_quiet(tmp_path):
    """As if it came in the middle of an import."""
    interrupts = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "typer.py").write_text(interrupts)
    begun = started(tmp_path, "predict", "run", path=tmp_path)
    assert begun.communicate(timeout=60) == ("", "") and begun.returncode == 130
