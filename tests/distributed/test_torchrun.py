"""The command under torchrun itself, in processes that it starts, loses and begins anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
import tiny

from xmlkit.model.folder import WEIGHTS
from xmlkit.model.tensor_file import load_tensors

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
A_WHILE = 240.0  # seconds
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs /proc, to find a process of a rank"
)
SETTINGS = [
    "epochs=1000",
    "max_len=16",
    "pooling=mean",
    "dropout=0",
    "batch_size=16",
    "checkpoint_every=1",
    "log_every=1",
    "rank_timeout=20",
]


def words(settings: dict[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, list[str]]:
    """A folder with a corpus, and what all train with."""
    folder = tmp_path_factory.mktemp("torchrun")
    corpus = tiny.learnable_corpus(120)
    for split, name in ((corpus.train, "train"), (corpus.test, "test")):
        assert split is not None
        ids = [[corpus.labels.ids[row] for row in rows] for rows in split.labels]
        lines = [f"{text}\t{' '.join(some)}\n" for text, some in zip(split.texts, ids, strict=True)]
        (folder / "corpus").mkdir(exist_ok=True)
        (folder / "corpus" / f"{name}.tsv").write_text("".join(lines))
    encoder = tiny.save_encoder(folder / "encoder")
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    return folder, ["train", str(folder / "corpus"), "--encoder", encoder, *options]


def started(torchrun: list[str], command: list[str], cwd: Path) -> subprocess.Popen[str]:
    return process_in(cwd, [*TORCHRUN, *torchrun, "-m", "xmlkit", *command])


def process_in(cwd: Path, whole: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(whole, cwd=cwd, env=environment, text=True, start_new_session=True, **streams)


def step_of(run: Path) -> int:
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def at_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + A_WHILE
    while step_of(run) < step:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def process_of(rank: int, run: Path) -> int:
    """The process of a rank that trains this run."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            asked, environment = (
                (folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ")
            )
        except OSError:
            continue
        if (
            os.fsencode(run) in asked
            and b"torch.distributed.run" not in asked
            and f"RANK={rank}".encode() in environment
        ):
            return int(folder.name)
    raise AssertionError(f"no rank {rank}")


@pytest.mark.slow
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_trained_by_two_and_asked_by_one_and_two(given, sharded):
    folder, train = given
    run, texts = folder / f"run-{sharded}", folder / "texts.txt"
    more = words({"max_steps": 12, "shard_encoder": sharded})
    process = started([], [*train, *more, "--out", str(run)], folder)
    out, errors = process.communicate(timeout=A_WHILE)
    assert process.returncode == 0, errors
    assert (
        out.count("test split, 40 documents") == 1
        and errors.count("training on") == 1
        and out.count("P@1") <= 2
    )
    assert errors.count(", the encoder in 2 parts;") == (sharded == "true")
    texts.write_text("w0 w1 w20\nw5 w31 w3\n")
    asked = ["predict", str(run), str(texts), "--format", "jsonl"]
    process = started([], asked, folder)
    out, errors = process.communicate(timeout=A_WHILE)
    assert process.returncode == 0, errors
    alone = forked.run(["xmlkit", *asked], b"", folder, dict(os.environ))
    for line, expected in zip(out.splitlines(), alone.stdout.decode().splitlines(), strict=True):
        found, expected = json.loads(line), json.loads(expected)
        assert found.keys() == expected.keys() and found["text"] == expected["text"]
        for own, other in zip(found["labels"], expected["labels"], strict=True):
            assert own["label"] == other["label"] and own["score"] == pytest.approx(other["score"], abs=1e-3)


@pytest.mark.slow
@needs_proc
def test_a_rank_that_is_killed_is_named_and_torchrun_goes_on(given):
    folder, train = given
    run = folder / "killed"
    command = [*train, "--set", "max_steps=600", "--out", str(run)]
    process = started(["--max-restarts", "1"], command, folder)
    at_step(run, 5, process)
    os.kill(process_of(1, run), signal.SIGKILL)
    at_step(run, step_of(run) + 20, process)
    os.kill(process_of(1, run), signal.SIGKILL)
    _, errors = process.communicate(timeout=A_WHILE)
    assert process.returncode == 1
    assert errors.count("going on after step") == 1
    assert (
        "rank 1 does not answer (its connection is closed), says rank 0; go on with train --resume" in errors
    )
    goes_on = forked.run(["xmlkit", "train", "--resume", str(run)], b"", folder, dict(os.environ))
    assert goes_on.returncode == 0 and b"going on after step" in goes_on.stderr
    assert load_tensors(run / WEIGHTS)[0] and step_of(run) == 600


@pytest.mark.slow
@needs_proc
def test_ctrl_c_saves_once(given):
    folder, train = given
    run = folder / "stopped"
    process = started([], [*train, "--set", "max_steps=2000", "--out", str(run)], folder)
    at_step(run, 5, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=A_WHILE)
    assert errors.count("ending this step and saving") == 1, errors
    assert errors.count(f"interrupted; go on with: xmlkit train --resume {run}") == 1, errors
    assert (run / "checkpoint.safetensors").exists()


@pytest.fixture
def two_hosts():
    """Two network namespaces with a cable between them: their names, interfaces and addresses."""
    if not shutil.which("ip") or os.geteuid():
        pytest.skip("needs `ip` and the rights to make network namespaces")
    hosts = [(f"xmlkit-{os.getpid()}-{i}", f"x{os.getpid()}{i}"[-12:], f"10.213.7.{i + 1}") for i in range(2)]
    (first, cable, _), (second, other, _) = hosts
    made = [["netns", "add", first], ["netns", "add", second]]
    made += [["link", "add", cable, "netns", first, "type", "veth", "peer", "name", other, "netns", second]]
    for name, interface, address in hosts:
        made += [["-n", name, "addr", "add", f"{address}/24", "dev", interface]]
        made += [["-n", name, "link", "set", device, "up"] for device in ("lo", interface)]
    try:
        for command in made:
            if subprocess.run(["ip", *command], capture_output=True).returncode:
                pytest.skip("no network namespaces here")
        yield hosts
    finally:
        for name, _, _ in hosts:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.slow
def test_a_machine_that_vanishes_is_told(given, two_hosts):
    folder, train = given
    run, (_, _, endpoint) = folder / "vanished", two_hosts[0]
    there = []
    for place, (name, interface, address) in enumerate(two_hosts):
        meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{endpoint}:29477", "--rdzv-id", "one"]
        meet += ["--rdzv-conf", f"is_host={1 - place}", "--local-addr", address]
        host = ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={interface}"]
        torchrun = [*TORCHRUN[:3], "--nnodes", "2", "--nproc-per-node", "1", *meet, "-m", "xmlkit"]
        command = [*train, "--set", "max_steps=5000", "--set", "rank_timeout=8", "--out", str(run)]
        there.append(process_in(folder, [*host, *torchrun, *command]))
    stays, goes = there
    at_step(run, 5, stays)
    name, interface, _ = two_hosts[1]
    subprocess.run(["ip", "-n", name, "link", "set", interface, "down"], check=True)
    os.killpg(goes.pid, signal.SIGKILL)
    _, errors = stays.communicate(timeout=A_WHILE)
    goes.communicate(timeout=A_WHILE)  # until its orphan, too, has ended
    assert stays.returncode == 1
    assert "error: rank 1 does not answer (" in errors and "says rank 0; go on with train --resume" in errors
    assert (run / "checkpoint.safetensors").exists()


def launched(*command: str, **more: str) -> tuple[int, str]:
    """Exit status and error stream of a command as torchrun starts one of two processes."""
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0", **more}
    done = forked.run(["xmlkit", *command], b"", None, environment)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("compare",), "compare is for one process, unlike train, evaluate, predict: leave out torchrun"),
        (("train", "--budget", "5m"), "--budget is for one process: leave out torchrun"),
        (("train", "--ensemble", "auto"), "--ensemble is for one process: leave out torchrun"),
        (
            ("predict", "RUN"),
            "standard input can't be split over processes: name a FILE, or leave out torchrun",
        ),
        (
            ("evaluate", "."),
            ". is no single run, which alone can be split over processes: leave out torchrun",
        ),
    ],
)
def test_what_cannot_be_split_says_so(command, said):
    assert launched(*command) == (1, f"error: {said}\n")


def test_another_rank_tells_only_what_the_first_has_not():
    status, errors = launched("compare", RANK="1")
    assert status == 1 and errors.startswith("error: rank 1: compare is for one process")


ENDING = """
import atexit, sys
from xmlkit.cli.ranked import ended_at_once

class Last:
    def __del__(self):
        print("taken apart")

last = Last()
atexit.register(print, "left")
with ended_at_once():
    print("said")
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("processes", "said"), [("1", ["said", "left", "taken apart"]), ("2", ["said", "left"])]
)
def test_several_end_before_python_takes_itself_apart(processes, said):
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": processes, "RANK": "0"}
    done = subprocess.run([sys.executable, "-c", ENDING], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (3, said), done.stderr
