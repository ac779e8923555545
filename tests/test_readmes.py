"""Every command of README and handbook is run, on a tiny corpus and with tiny encoders in the hub's cache."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from commands import write_corpus
from installing import ROOT
from test_hub import keep

from xmlkit.hub import SMALL

OF_HUB = (SMALL, "sentence-transformers/all-mpnet-base-v2")
OF_PRESETS = {"bert-base-uncased": "bert", "roberta-base": "roberta", "xlnet-base-cased": "xlnet"}
TRAINS = ("train", "compare", "init-weights")
FEW = "--set max_steps=2 --set max_len=16 --set batch_size=16 --set validation=0.2"
ELSEWHERE = ("my-idea", "cd ", "pip ", "pytest")  # tests/test_stranger.py installs it; .ci/run does the rest


def commands_of(document: str) -> list[str]:
    """Those in blocks, and in text those that are whole, in their order."""
    found, fence = [], None
    for line in (ROOT / document).read_text().replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fence = line if fence is None else None
        elif fence == "```":
            found.append(line.partition(" # ")[0].strip())
        elif fence is None:
            inline = re.findall(r"`(xmlkit [^`]+)`", line)
            found += [command for command in inline if not re.search(r"\b(RUN|DATA|NAME)\b", command)]
    found = [line.replace("pip install -e . && ", "") for line in found if line]
    return [line for line in found if not any(word in line for word in ELSEWHERE)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """What the commands speak of."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    tiny.save_encoder(tmp_path / "SMALL")
    for name in OF_HUB:
        keep(tmp_path / "home" / "hub", name, tmp_path / "SMALL")
    for name, kind in OF_PRESETS.items():
        tiny.save_encoder(tmp_path / kind, kind)
        keep(tmp_path / "home" / "hub", name, tmp_path / kind)
    write_corpus(tmp_path / "FOLDER")
    (tmp_path / "NEW.tsv").write_text("new\tword w3 anew\n")
    (tmp_path / "texts").write_text("w3 w4\n")
    (tmp_path / "PAPERS").mkdir()
    rows = [f"w{row} w{row + 1},w{row % 7} w9,l{row % 4};l5,{2000 + row // 4}" for row in range(40)]
    (tmp_path / "PAPERS" / "train.csv").write_text("\n".join(["title,abstract,subjects,year", *rows]) + "\n")
    records = [f"w{row} w{row % 7},label {row % 4}; l5" for row in range(40)]
    (tmp_path / "records.csv").write_text("\n".join(["Title,Subjects", *records]) + "\n")
    (tmp_path / "TEXTS").write_text("w3 w4 w9\nw5 anew\n")
    return tmp_path


def run(place: Path, command: str) -> None:
    words = shlex.split(command)
    if "--out" in words:  # another section has one of that name
        shutil.rmtree(place / words[words.index("--out") + 1], ignore_errors=True)
    takes_few = any(f"xmlkit {name}" in command for name in TRAINS)
    line = shlex.join(words) if "|" not in words else command
    done = subprocess.run(
        f"{line} {FEW}" if takes_few else line,
        shell=True,
        cwd=place,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_the_readmes_commands(place):
    commands = commands_of("README.md")
    assert len(commands) > 12 and "xmlkit train --plugin se,loss-fix" in commands
    for command in commands:
        run(place, command)


@pytest.mark.slow
def test_the_handbooks_commands(place):
    commands = commands_of("xmlkit/README.md")
    assert len(commands) > 15 and "xmlkit labels add runs/mine NEW.tsv" in commands
    for name in ("one", "two"):
        run(place, f"xmlkit train FOLDER --encoder SMALL --out runs/{name} --set seed={len(name)}")
    for command in commands:
        run(place, command)
