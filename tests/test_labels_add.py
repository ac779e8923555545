"""Labels that come after training: old ones stay what they were, new ones are found by their names."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from functools import partial
from pathlib import Path

import commands
import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

import xmlkit
from xmlkit import UserError
from xmlkit.cli.display import unknown_labels
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.files import digests
from xmlkit.model.folder import DESCRIPTION, WEIGHTS
from xmlkit.testing.tiny import NUM_LABELS, SETTINGS, named_corpus
from xmlkit.training import train as training
from xmlkit.training.claim import claimed

NEW = {f"new{row}": f"w{20 + row} w{3 * row} w{59 - row}" for row in range(8)}
NAMES = list(NEW.values())
SOME = tiny.texts(40, seed=3)
PLUGINS = {
    "alone": {"plugins": ["label-text"]},
    "warm": {"plugins": ["label-text"], "start": "warm", "pooling": "mean"},
    "random": {"plugins": ["label-text"], "start": "random"},
    "votes": {"plugins": ["label-text", "neighbours"], "validation": 0.2},
    "within": {"plugins": ["combination", "label-text"], "combination": {"where": "labels"}},
    "around": {"plugins": ["label-text", "combination"], "combination": {"where": "labels"}},
}
PAIRS = '''
"""A number for each pair of labels."""
import torch
from xmlkit import Head, hookimpl

class Pairs(Head):
    def __init__(self, inner, num_labels):
        super().__init__(inner)
        self.register_buffer("pairs_LL", torch.zeros(num_labels, num_labels))

@hookimpl(wrapper=True)
def head(build):
    inner = yield
    return Pairs(inner, build.num_labels)
'''


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def run_of(encoder, tmp_path_factory):
    """Runs of these plugins, each trained once."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, **settings) -> Path:
        if not (folder / name).exists():
            given = {**SETTINGS, "encoder": encoder, "clustered": False, **PLUGINS.get(name, {}), **settings}
            xmlkit.train(named_corpus(), given, folder / name)
        return folder / name

    return run


@pytest.fixture(scope="module")
def more(run_of, tmp_path_factory):
    """The plainest of them, with new labels."""
    return xmlkit.add_labels(run_of("alone"), NEW, tmp_path_factory.mktemp("more") / "run")


def content(folder: Path) -> dict[str, str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return digests(folder, names)


def scores(run: Path, texts: list[str]) -> list[dict[str, float]]:
    """Of each text all labels, best first."""
    model = xmlkit.load(run)
    found = model.predict(texts, top_k=len(model.labels))
    return [{best.label: best.score for best in row} for row in found]


@pytest.mark.parametrize("name", PLUGINS)
def test_old_labels_stay_what_they_were(run_of, tmp_path, name):
    """Vectors and biases to the bit; a probability's last digit depends on how many are computed at once."""
    run = run_of(name)
    before = content(run)
    out = xmlkit.add_labels(run, NEW, tmp_path / "out")
    assert content(run) == before
    old, new = (xmlkit.load(folder)._opened.model for folder in (run, out))
    every = slice(0, NUM_LABELS)
    with torch.no_grad():
        for of in ("label_vectors_UE", "label_bias_U"):
            assert torch.equal(getattr(old.head, of)(every), getattr(new.head, of)(every))
    for theirs, ours in zip(scores(run, SOME), scores(out, SOME), strict=True):
        assert set(ours) == {*theirs, *NEW}
        ours = {label: score for label, score in ours.items() if label not in NEW}
        assert list(ours) == list(theirs) and ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", PLUGINS)
def test_a_new_label_is_found_by_its_name(run_of, tmp_path, name):
    """A vector has no larger product with one of length one than with its own direction."""
    out = xmlkit.add_labels(run_of(name), NEW, tmp_path / "out")
    for label, found in zip(NEW, scores(out, NAMES), strict=True):
        assert next(other for other in found if other in NEW) == label


def test_what_new_labels_begin_with(run_of, tmp_path):
    """Also where rows of a new model are random."""
    out = xmlkit.add_labels(run_of("random"), NEW, tmp_path / "out")
    old, new = (load_file(folder / WEIGHTS) for folder in (run_of("random"), out))
    assert old.keys() == new.keys()
    grown = {name for name in old if not torch.equal(old[name], new[name])}
    assert grown == {"head/lightxml/rows.weight", "head/lightxml/biases.weight", "head/label-text/names_LE"}
    assert all(torch.equal(old[name], new[name][:NUM_LABELS]) for name in grown)
    assert not new["head/lightxml/rows.weight"][NUM_LABELS:].any()
    biases = new["head/lightxml/biases.weight"]
    assert (biases[NUM_LABELS:] == biases[:NUM_LABELS].median()).all()
    lengths = new["head/label-text/names_LE"].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(NUM_LABELS + len(NEW)))


def test_the_new_run_is_whole(run_of, more, tmp_path):
    run = run_of("alone")
    files = {*content(run)} - {"log.jsonl", "metrics.json", ".lock"}
    assert {*content(more)} - {".lock"} == files
    for name in ("config.json", *(name for name in files if name.startswith("encoder/"))):
        assert (more / name).read_bytes() == (run / name).read_bytes()
    old, new = ((folder / "labels.jsonl").read_text() for folder in (run, more))
    assert new.startswith(old)
    assert [json.loads(line) for line in new.removeprefix(old).splitlines()] == [
        {"id": label, "name": name, "documents": 0} for label, name in NEW.items()
    ]
    document = json.loads((more / DESCRIPTION).read_text())
    assert document.pop("labels") == NUM_LABELS + len(NEW)
    theirs = json.loads((run / DESCRIPTION).read_text())
    assert document.pop("files").keys() == theirs.pop("files").keys()
    assert document == {key: value for key, value in theirs.items() if key != "labels"}
    moved = Path(shutil.copytree(more, tmp_path / "moved"))
    found = xmlkit.load(more).predict(NAMES)
    expected = [[[best.label, best.score.hex()] for best in row] for row in found]
    assert tiny.predicted_in_a_new_process(moved, NAMES) == expected


def test_added_twice_is_added_together(run_of, more, tmp_path):
    some = dict(list(NEW.items())[:3])
    rest = {label: name for label, name in NEW.items() if label not in some}
    once = xmlkit.add_labels(run_of("alone"), some, tmp_path / "once")
    twice = xmlkit.add_labels(once, rest)
    assert twice == tmp_path / "once-more-labels"
    assert (twice / "labels.jsonl").read_bytes() == (more / "labels.jsonl").read_bytes()
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (twice, more))
    for name in theirs:  # a name that is encoded in other company may differ in its last bit
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6, msg=name)


def test_evaluation_knows_the_new_labels(run_of, more, tmp_path):
    lines = [{"text": name, "labels": [label]} for label, name in NEW.items()]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    old, new = (xmlkit.load(folder) for folder in (run_of("alone"), more))
    with pytest.raises(UserError, match="none of the true labels is known"):
        unknown_labels(xmlkit.load_split(tmp_path / "some.jsonl", old.labels), len(old.labels))
    split = xmlkit.load_split(tmp_path / "some.jsonl", new.labels)
    assert unknown_labels(split, len(new.labels)) is None
    assert old.evaluate(split)["R@5"] == 0 < new.evaluate(split)["R@5"]


def test_new_labels_can_be_learnt_later(run_of, more, encoder, tmp_path):
    """Of documents that have them, from the weights that they were given; the run itself has no way on."""
    with pytest.raises(UserError, match="was given labels after its training, which is over"):
        training.resume(more, named_corpus())
    corpus, first = named_corpus(), next(iter(NEW))
    learnt = Corpus.of([*corpus.train.texts, NAMES[0]], [*_lists(corpus), [first]])
    labels = Labels(corpus.labels.ids + list(NEW), [*(corpus.labels.names or []), *NAMES])
    learnt = Corpus("more", labels, learnt.train.numbered_as(labels), None)
    given = {**SETTINGS, "encoder": encoder, "clustered": False, **PLUGINS["alone"]}
    trained = xmlkit.train(learnt, given, tmp_path / "learnt", more)
    assert set(trained.model.labels.ids) >= set(NEW) and trained.outcome == "finished"


def _lists(corpus: Corpus) -> list[list[str]]:
    rows = range(len(corpus.train))
    return [[corpus.labels.ids[row] for row in corpus.train.labels[document]] for document in rows]


LINES = {
    "w1\tsome name\n": ":1: RUN has the label w1 already; leave it out",
    "a\tA\nb\n": ":2: label b has no name, by which it would be scored; give it one",
    "a\tA\n<b>\t \n": ":2: label b has no name, by which it would be scored; give it one",
    "a\tA\nb\tb\n": ":2: label b has no name, by which it would be scored; give it one",
    "a\tA\n\tB\n": ":2: an empty label id; a line is: <id> TAB name",
    "a\tA\nb\tB\n<a>\tC\n": ":3: label a is listed twice; keep one line of it",
    "": ": no labels; give an id and a name for each",
    "\n\n": ": no labels; give an id and a name for each",
}


@pytest.mark.parametrize("lines", LINES)
def test_a_file_that_will_not_do(run_of, tmp_path, lines):
    run, file = run_of("alone"), tmp_path / "new.tsv"
    file.write_text(lines)
    with pytest.raises(UserError) as told:
        xmlkit.add_labels(run, file, tmp_path / "out")
    assert str(told.value) == str(file) + LINES[lines].replace("RUN", str(run))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_or_cannot_be_read(run_of, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.tsv: cannot be read \(No such file or directory\)"):
        xmlkit.add_labels(run_of("alone"), tmp_path / "nowhere.tsv", tmp_path / "out")
    (tmp_path / "new.tsv").write_bytes(b"a\tA\nb\t\xff\n")
    with pytest.raises(UserError, match=r"new\.tsv:2: not valid UTF-8"):
        xmlkit.add_labels(run_of("alone"), tmp_path / "new.tsv", tmp_path / "out")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"w1": "some name"}, r"labels\['w1'\]: .* has the label w1 already"),
        ({"a": " "}, r"labels\['a'\]: label a has no name"),
        ({"a": 3}, r"labels\['a'\]: 3; ids and names are strings"),
        ({"": "A"}, r"labels\[''\]: 'A'; ids and names are strings that are not empty"),
        ({"a": "\ud800"}, r"labels\['a'\]: .* ids and names are strings"),
        ({}, "labels: no labels"),
    ],
)
def test_a_mapping_that_will_not_do(run_of, tmp_path, labels, expected):
    with pytest.raises(UserError, match=f"^{expected}"):
        xmlkit.add_labels(run_of("alone"), labels, tmp_path / "out")


def test_runs_that_can_be_given_no_labels(run_of, encoder, tmp_path):
    given = {**SETTINGS, "encoder": encoder, **PLUGINS["alone"]}
    corpus = named_corpus()
    unnamed = Corpus(corpus.name, Labels(corpus.labels.ids, None), corpus.train, None)
    xmlkit.train(unnamed, {**given, "clustered": False}, tmp_path / "unnamed")
    refused = {
        run_of("clustered", **PLUGINS["alone"], clustered=True): "lie in clusters, .* --set clustered=false$",
        run_of("plain"): "scores no label by its name, .* --plugin label-text",
        tmp_path / "unnamed": "its labels have no names, .* labels.tsv$",
        tmp_path / "nowhere": "nowhere is not a run: it holds no model.json$",
        Path(encoder): "is not a run",
    }
    for run, expected in refused.items():
        with pytest.raises(UserError, match=expected) as told:
            xmlkit.add_labels(run, NEW, tmp_path / "out")
        assert "\n" not in str(told.value) and str(run) in str(told.value)
        assert not (tmp_path / "out").exists()


def test_what_has_no_row_a_label_is_named(run_of, plugin_folder, tmp_path):
    install(plugin_folder, "pairs-of-labels", PAIRS)
    run = run_of("square", plugins=["label-text", "pairs-of-labels"])
    with pytest.raises(
        UserError, match=r"'head/pairs-of-labels/pairs_LL' is \(12, 12\), expected \(12, 20\)"
    ):
        xmlkit.add_labels(run, NEW, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_in_use(run_of, tmp_path):
    run = run_of("alone")
    with pytest.raises(UserError, match="is there already; name another folder or remove it"):
        xmlkit.add_labels(run, NEW, run)
    with (
        claimed(tmp_path / "out"),
        pytest.raises(UserError, match=r"out: process \d+ on .* is at work in it"),
    ):
        xmlkit.add_labels(run, NEW, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["config.json", "labels.jsonl", DESCRIPTION, WEIGHTS, "encoder/tokenizer.json"]
)
def test_a_run_that_is_damaged(run_of, tmp_path, name):
    run = Path(shutil.copytree(run_of("alone"), tmp_path / "run"))
    whole = (run / name).read_bytes()
    for damaged in (whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], whole[: len(whole) // 2], b""):
        (run / name).write_bytes(damaged)
        with pytest.raises(UserError) as told:
            xmlkit.add_labels(run, NEW, tmp_path / "out")
        assert name.rsplit("/")[-1] in str(told.value) and "\n" not in str(told.value)
        assert not (tmp_path / "out").exists()


def test_only_files_of_the_run_are_copied(run_of, tmp_path):
    """Whatever else a stranger's description names."""
    run = Path(shutil.copytree(run_of("alone"), tmp_path / "theirs" / "run"))
    (run.parent / "outside").write_text("x")
    (run / "encoder" / "stray").write_text("x")
    document = json.loads((run / DESCRIPTION).read_text())
    files = {**document["files"], "../outside": "", "encoder/../../outside": "", "log.jsonl": ""}
    (run / DESCRIPTION).write_text(json.dumps({**document, "files": files}))
    tiny.belong_together(run)
    (run / "encoder" / "later").write_text("x")
    out = xmlkit.add_labels(run, NEW, tmp_path / "ours" / "run")
    assert os.listdir(tmp_path / "ours") == ["run"]
    assert set(json.loads((out / DESCRIPTION).read_text())["files"]) == {*document["files"], "encoder/stray"}
    assert not (out / "encoder" / "later").exists()
    assert len(xmlkit.load(out).labels) == NUM_LABELS + len(NEW)


def test_the_command(run_of, tmp_path):
    """From a file to a run that is asked and scored; a mistake is one line."""
    run = Path(shutil.copytree(run_of("alone"), tmp_path / "run"))
    with gzip.open(tmp_path / "new.tsv.gz", "wt") as file:
        file.write("".join(f"<{label}>\t{name}\n" for label, name in NEW.items()))

    xmlkit = partial(commands.xmlkit, cwd=tmp_path)
    out, err = xmlkit("labels", "add", "run", "new.tsv.gz")
    assert out == "" and "8 labels added to the 12 of run, which stays as it is\n" in err
    assert err.endswith('run: run-more-labels; next: echo "some text" | xmlkit predict run-more-labels\n')
    assert content(run) == content(run_of("alone"))
    out, _ = xmlkit("predict", "run-more-labels", "--top-k", "20", "--format", "tsv", stdin=NAMES[5] + "\n")
    rows = [line.split("\t")[1:3] for line in out.splitlines()]
    assert next(row for row in rows if row[0] in NEW) == ["new5", NAMES[5]]
    _, err = xmlkit("labels", "add", "run", "new.tsv.gz", code=1)
    assert err == "error: --out run-more-labels: is there already; name another folder or remove it\n"
    _, err = xmlkit("labels", "add", "run-more-labels", "new.tsv.gz", "--out", "again", code=1)
    assert err == "error: new.tsv.gz:1: run-more-labels has the label new0 already; leave it out\n"
