"""Whether an unchanged Annif works with `xmlkit serve` through its `http` backend, alone and in an ensemble.

    python -m benchmarks.annif_http ENVIRONMENT OUT.json

ENVIRONMENT is a folder; where it is not there, a virtual environment with annif is made in it (what annif
pins leaves no room for ours; a Python 3.11 on the path, no torch). A tiny run is trained and served on
loopback; `annif suggest` must print its labels and scores, and `annif eval` of the project must say what
xmlkit.measures.annif computes of the model itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xmlkit
from benchmarks.serving import served
from xmlkit.data.corpus import Corpus
from xmlkit.measures.annif import LIMIT, annif_figures
from xmlkit.measures.cut import Cut
from xmlkit.testing import tiny

ANNIF = "annif==1.4.3"
PROJECTS = """
[remote]
name=remote
language=en
backend=http
vocab=words
endpoint={url}/v1/projects/{id}/suggest

[constant]
name=constant
language=en
backend=dummy
vocab=words
uri={constant}

[both]
name=both
language=en
backend=ensemble
vocab=words
sources=remote:2,constant:1
"""


def made(environment: Path) -> Path:
    """The folder of an environment that has annif."""
    if not environment.is_dir():
        subprocess.run(["python3.11", "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", ANNIF], check=True)
    return environment


def write(folder: Path, corpus: Corpus, url: str, id: str) -> None:
    """What Annif reads: projects, a vocabulary that has all labels, documents."""
    labels, test = corpus.labels.ids, corpus.test
    assert test is not None
    (folder / "projects.cfg").write_text(PROJECTS.format(url=url, id=id, constant=labels[-1]))
    (folder / "words.tsv").write_text("".join(f"<{label}>\tword {label}\n" for label in labels))
    true = (" ".join(f"<{labels[i]}>" for i in test.labels[row]) for row in range(len(test)))
    (folder / "test.tsv").write_text("".join(f"{text}\t{ids}\n" for text, ids in zip(test.texts, true)))


def asked(environment: Path, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """What Annif says: its projects; suggestions and evaluation of `remote` and of the ensemble `both`."""

    def annif(*arguments: str, stdin: str = "") -> str:
        # A command of its own, with nothing of this environment's variables that concern Python.
        command: list[str | Path] = [environment / "bin" / "annif", *arguments]
        where = {"ANNIF_PROJECTS": str(folder / "projects.cfg"), "ANNIF_DATADIR": str(folder / "data")}
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", **where}
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=folder, env=env)
        assert done.returncode == 0 and "HTTP request failed" not in done.stderr, done.stdout + done.stderr
        return done.stdout

    annif("load-vocab", "words", "words.tsv", "--language", "en")
    found: dict[str, Any] = {"listed": annif("list-projects")}
    for project in ("remote", "both"):
        said = [annif("suggest", project, stdin=text).splitlines() for text in texts]
        annif("eval", project, "test.tsv", "--metrics-file", f"{project}.json")
        found[project] = {
            "suggested": [[line.split("\t") for line in lines] for lines in said],
            "evaluated": json.loads((folder / f"{project}.json").read_text()),
        }
    return found


def compared(environment: Path, folder: Path, run: Path, corpus: Corpus, url: str, id: str) -> dict[str, Any]:
    """What Annif says; AssertionError where it is not what the model says."""
    assert corpus.test is not None
    write(folder, corpus, url, id)
    model, texts = xmlkit.load(run), corpus.test.texts[:2]
    found, constant = asked(environment, folder, texts), corpus.labels.ids[-1]
    assert any(line.split()[0] == "remote" and "True" in line for line in found["listed"].splitlines()[2:])
    for number, labels in enumerate(model.predict(texts, LIMIT)):
        alone = {one.label: one.score for one in labels}
        blended = {label: (2 * score + (label == constant)) / 3 for label, score in alone.items()}
        for project, expected in (("remote", alone), ("both", blended)):
            lines = found[project]["suggested"][number]
            scores = {line[0].strip("<>"): float(line[2]) for line in lines}
            assert list(scores) == sorted(expected, key=expected.__getitem__, reverse=True)[:LIMIT], lines
            # Annif prints four digits.
            assert all(abs(score - expected[label]) < 1e-4 for label, score in scores.items()), lines
            assert all(line[1] == f"word {line[0].strip('<>')}" for line in lines), lines
    ranking = model.ranking(corpus.test, LIMIT)
    whole = (ranking.scores_NK, ranking.ids_NK, ranking.truth, len(model.labels))
    figures = annif_figures(*whole, Cut(0.0, LIMIT))
    told = found["remote"]["evaluated"]
    found["largest difference"] = max(abs(told[_key(name)] - value) for name, value in figures.items())
    assert found["largest difference"] < 1e-4, (told, figures)
    return found


def _key(name: str) -> str:
    """How Annif writes a figure's name in a file."""
    return name.replace("(", "").replace(")", "").replace(" ", "_")


def main(environment: str, out: str) -> None:
    """Trains, serves, asks and compares."""
    corpus = tiny.learnable_corpus()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = {"encoder": "none", "plugins": ["lexical"], "epochs": 4, "device": "cpu"}
        xmlkit.train(corpus, settings, folder / "run")
        (folder / "words.tsv").write_text("".join(f"{label}\tword {label}\n" for label in corpus.labels.ids))
        options = ("--vocab", folder / "words.tsv", "--language", "en")
        with served(folder / "log", folder / "run", *options) as (_, url):
            found = compared(made(Path(environment)), folder, folder / "run", corpus, url, "run")
    document = {"command": "python -m benchmarks.annif_http ENVIRONMENT OUT.json", "annif": ANNIF, **found}
    Path(out).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{ANNIF}: largest difference of its evaluation from ours {found['largest difference']:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
