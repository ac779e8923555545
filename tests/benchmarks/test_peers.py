"""Peers: what is made of their predictions, a peer as a real process, one that can't run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
from commands import hears_signals, write_corpus
from marking import mostly_slow

from benchmarks.peers.environments import CannotBeMade, python_with
from benchmarks.peers.kinds import annif_project
from benchmarks.peers.known import PEERS
from benchmarks.peers.lines import lines_of
from benchmarks.peers.measuring import Peer, measure, scored
from benchmarks.suite.part import ENCODER, LEFT_OUT
from benchmarks.suite.parts import PARTS
from xmlkit.data.cache import cache_in
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError

ROOT = Path(__file__).parents[2]
COMMONEST = '''
"""Says the commonest labels of any text."""
import json
from collections import Counter

REQUIREMENTS = ("numpy",)


def train(given, folder, most):
    """Counts."""
    counts = Counter(row for rows in given.labels for row in rows)
    # ties: the first row
    best = sorted(range(len(given.names)), key=lambda row: (-counts[row], row))
    room = bytearray(200 << 20)
    (folder / "best.json").write_text(json.dumps(best[:most]))
    (folder / "more").mkdir()
    (folder / "more" / "padding").write_bytes(bytes(2_000_000))


def load(folder):
    return json.loads((folder / "best.json").read_text())


def predict(model, texts):
    return [model for _ in texts]
'''
ENDLESS = """
import os, subprocess, time
from pathlib import Path

REQUIREMENTS = ()


def train(given, folder):
    process = subprocess.Popen(["sleep", "600"])
    Path(given.texts[0]).write_text(f"{os.getpid()} {process.pid}")
    process.wait()
"""


@pytest.fixture
def peers_folder(tmp_path, monkeypatch):
    """On the import path, here and of processes that are started."""
    folder = tmp_path / "peers"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)


def three_labels() -> Corpus:
    """As many training documents of each."""
    train = ["one two", "two three", "three four"]
    return Corpus.of(train, [["a"], ["b"], ["c"]], ["one", "two"], [["a"], ["a", "b"]])


def test_figures_by_hand():
    found = scored([[0, 1, 2], [2, 1]], three_labels())
    assert (found["P@1"], found["P@3"], found["P@5"]) == (50, 33.33, 20)
    # The second document has its one hit at rank 2, of two that were to be had: 0.6309 of 1 + 0.6309.
    assert found["nDCG@5"] == 69.34
    # Labels weigh the same: 1 hit of 2 that one rank reaches, then 2 of 3.
    assert (found["PSP@1"], found["PSP@3"], found["PSP@5"]) == (50, 66.67, 66.67)


def test_ten_labels_count_and_none_may_be_said():
    corpus = three_labels()
    assert scored([[], []], corpus)["P@1"] == 0
    assert scored([[0, 1, 2, *[2] * 20], [0, 1]], corpus) == scored([[0, 1, 2], [0, 1]], corpus)
    with pytest.raises(AssertionError, match="each test document"):
        scored([[0]], corpus)


def test_a_peer_is_a_process_and_is_told_its_settings(peers_folder):
    (peers_folder / "commonest.py").write_text(COMMONEST)
    corpus = Corpus.of(
        ["x", "y", "z"], [["a", "b"], ["b"], ["b", "c"]], ["u", "v", "w", "x"], [["b"], ["a"], ["b"], ["c"]]
    )
    found = measure("the commonest", Peer("commonest", {"most": 1}), corpus)
    assert found["peer"] == "the commonest" and found["settings"] == {"most": 1}
    assert found["P@1"] == 50 and found["P@5"] == 10
    assert measure("two", Peer("commonest", {"most": 2}), corpus)["P@3"] == 25  # b, then a
    assert found["megabytes"] == 2.0
    assert 0.19 < found["peak_gib"] < 0.35, "of this process it would be more"
    assert found["versions"]["numpy"].split(".")[0].isdigit() and found["cores"] >= 1
    assert found["seconds"] >= 0 and found["documents_per_second"] > 0
    assert found["lines_written"] == 11


def test_a_peer_that_fails_says_so(peers_folder):
    (peers_folder / "broken.py").write_text(
        "REQUIREMENTS = ()\ndef train(given, folder):\n    raise SystemExit(5)\n"
    )
    with pytest.raises(UserError, match="broken ended with 5"):
        measure("broken", Peer("broken"), three_labels())


@pytest.mark.parametrize("encoder", [None, "no-such-folder"])
def test_a_peer_that_starts_from_an_encoder_is_given_one_before_all_else(encoder):
    with pytest.raises(UserError, match="--encoder: mine starts from a pretrained encoder"):
        measure("mine", Peer("not imported", is_pretrained=True), three_labels(), encoder)


def test_the_suite_names_an_encoder_to_peers_that_start_from_one():
    named = {part.name for part in PARTS if part.group == "peers" and ENCODER in part.words}
    assert {name for name, peer in PEERS.items() if peer.is_pretrained} == named - {"lightxml"}


@pytest.mark.parametrize(
    "number",
    mostly_slow((signal.SIGKILL, signal.SIGINT, signal.SIGTERM), (signal.SIGKILL,)),
)
def test_a_peer_ends_with_whoever_started_it(peers_folder, tmp_path, number):
    """And what it has started, too."""
    (peers_folder / "endless.py").write_text(ENDLESS)
    told = tmp_path / "told"
    (tmp_path / "corpus").mkdir()
    for split in ("train", "test"):
        line = json.dumps({"text": str(told), "labels": ["a"]})
        (tmp_path / "corpus" / f"{split}.jsonl").write_text(line + "\n")
    script = (
        "from benchmarks.peers.known import PEERS; from benchmarks.peers.measuring import Peer\n"
        "from benchmarks.peers.__main__ import main\n"
        "PEERS['endless'] = Peer('endless'); main()"
    )
    words = [sys.executable, "-c", script, "endless", tmp_path / "out.json", tmp_path / "corpus"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=hears_signals)
    while not (told.exists() and " " in told.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=60) != 0
    deadline = time.monotonic() + 60
    while any(map(_runs, map(int, told.read_text().split()))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "out.json").exists()


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{number}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_an_environment_that_cannot_be_made(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with cache_in(tmp_path), pytest.raises(CannotBeMade, match="can't be made: status 1"):
        python_with(["no-such-distribution"], "nothing")
    monkeypatch.undo()
    assert python_with(["numpy>=2"], "here") == sys.executable


@pytest.mark.slow
@pytest.mark.skipif(find_spec("libpecos") is not None, reason="it is here")
def test_the_command_leaves_a_peer_out(tmp_path):
    corpus, out = write_corpus(tmp_path / "corpus"), tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks.peers", "pecos-xr-linear", out, corpus]
    alone = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "XMLKIT_CACHE": str(tmp_path / "cache")}
    for _ in range(2):  # what was begun is not taken for whole
        done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True)
        assert done.returncode == LEFT_OUT, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: its environment can't be made: ERROR:")
        assert "Traceback" not in done.stderr
    assert not out.exists()


def test_omikuji_learns(tmp_path):
    pytest.importorskip("omikuji")
    corpus = tiny.learnable_corpus()
    command = [sys.executable, "-m", "benchmarks.peers", "omikuji-bonsai", tmp_path / "out.json"]
    subprocess.run([*command, write_corpus(tmp_path / "corpus")], cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["P@1"] > 80 and set(found["versions"]) == {"omikuji", "scikit-learn", "numpy"}
    assert str(tmp_path) not in found["command"]
    counted = scored([[0]] * len(corpus.test), corpus)
    assert found["P@1"] > counted["P@1"]


@pytest.mark.slow
def test_a_transformers_classifier_learns(tmp_path):
    corpus = tiny.learnable_corpus()
    peer = Peer(PEERS["transformers"].module, {"steps": 300, "batch": 16, "lr": 5e-3, "head_lr": 5e-3})
    found = measure("classifier", peer, corpus, tiny.save_encoder(tmp_path / "encoder", "distilbert"))
    assert found["P@1"] > 2 * scored([[0]] * len(corpus.test), corpus)["P@1"]


def test_lines_that_a_user_writes():
    written = (
        'def train(given):\n    """Says\n    much."""\n\n    # why\n'
        '    text = """\n    a=1\n    """\n    return text\n'
    )
    assert lines_of(written) == 5
    ours = (
        '"""A peer."""\nfrom __future__ import annotations\nREQUIREMENTS = (\n    "peer==1",\n)\nALONE = ()\n'
    )
    assert lines_of(ours + written) == 5
    assert lines_of(ours + written.replace("return", "import peer; return")) == 5


def test_annif_is_asked_projects_that_it_has():
    for name in ("annif-omikuji", "annif-ensemble"):
        settings = PEERS[name].settings
        for project in (settings["project"], *settings["trained"]):
            assert f"[{project}]" in annif_project.PROJECTS


def test_the_suite_has_all_peers():
    """And LightXML, by our own recipe."""
    assert {part.name for part in PARTS if part.group == "peers"} == {*PEERS, "lightxml"}
