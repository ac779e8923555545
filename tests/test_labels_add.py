"""Labels that come after training: old ones stay what they were, new ones are found by their names."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import commands
import pytest
import tiny
import torch
from installing import install
from marking import mostly_slow
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
CLUSTERED = {
    "clustered": {"plugins": ["label-text"]},
    "clustered, warm": {"plugins": ["label-text"], "start": "warm", "pooling": "mean", "label_width": 32},
    "clustered, narrow": {"plugins": ["label-text"], "cluster_width": 8, "cluster_power": 1.0},
    "levels": {"plugins": ["multi-resolution", "label-text"], "multi-resolution": {"levels": 1, "branch": 2}},
    "cooccurring": {"plugins": ["combination", "label-text"]},
    "beside tokens": {"plugins": ["combination", "label-text"], "combination": {"cooccurrence": False}},
    "votes in clusters": {"plugins": ["label-text", "neighbours"], "validation": 0.2},
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
            known = {"clustered": name in CLUSTERED, **(PLUGINS | CLUSTERED).get(name, {})}
            given = {**SETTINGS, "encoder": encoder, **known, **settings}
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
    old, new = (xmlkit.load(folder).opened.model for folder in (run, out))
    every = slice(0, NUM_LABELS)
    with torch.no_grad():
        for of in ("label_vectors_UE", "label_bias_U"):
            assert torch.equal(getattr(old.head, of)(every), getattr(new.head, of)(every))
    for theirs, ours in zip(scores(run, SOME), scores(out, SOME), strict=True):
        assert set(ours) == {*theirs, *NEW}
        ours = {label: score for label, score in ours.items() if label not in NEW}
        assert list(ours) == list(theirs) and ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", mostly_slow(CLUSTERED, ("clustered", "levels", "cooccurring")))
def test_old_labels_of_clusters_stay_what_they_were(run_of, tmp_path, name):
    """The same clusters are shortlisted, of which all the old labels score what they did."""
    run = run_of(name)
    before = content(run)
    out = xmlkit.add_labels(run, NEW, tmp_path / "out")
    assert content(run) == before
    old, new = (xmlkit.load(folder).opened for folder in (run, out))
    every = torch.arange(NUM_LABELS)
    assert torch.equal(old.clusters.of(every), new.clusters.of(every))
    counted = torch.bincount(new.clusters.cluster_L)
    assert counted.sum() == NUM_LABELS + len(NEW) and new.clusters.largest == counted.max() > 3
    found = 0
    for theirs, ours in zip(scores(run, SOME), scores(out, SOME), strict=True):
        found += len(ours) - len(theirs)
        assert ours.keys() - NEW.keys() == theirs.keys() and len(ours) >= len(theirs)
        ours = {label: score for label, score in ours.items() if label not in NEW}
        assert list(ours) == list(theirs) and ours == pytest.approx(theirs, abs=1e-6)
    assert found > 0


@pytest.mark.parametrize("name", [name for name in PLUGINS | CLUSTERED if name != "cooccurring"])
def test_a_new_label_is_found_by_its_name(run_of, tmp_path, name):
    """A vector has no larger product with one of length one than with its own direction.

    A document is more than its text where labels that occur together are added to it.
    """
    out = xmlkit.add_labels(run_of(name), NEW, tmp_path / "out")
    for label, found in zip(NEW, scores(out, NAMES), strict=True):
        assert next(other for other in found if other in NEW) == label


@pytest.mark.parametrize("name", CLUSTERED)
def test_a_new_label_lies_where_the_run_looks_its_name_up(run_of, tmp_path, name):
    """The likeliest of the clusters that are shortlisted for it, of any number of new labels."""
    many = {f"many{row}": text for row, text in enumerate(tiny.texts(300, seed=9)) if text}
    new = xmlkit.load(xmlkit.add_labels(run_of(name), many, tmp_path / "out")).opened
    model = xmlkit.load(run_of(name)).opened.model
    for label, text in list(many.items())[::10]:
        vectors = model.vectors(tiny.batch([text])[0])
        with torch.no_grad():
            (short_S,) = model.shortlister(vectors, tiny.batch([text])[0], None).clusters_BS.tolist()
            (z_K,) = model.shortlister.cluster_logits_BK(vectors.recall_BD)
        assert new.clusters.of(torch.tensor(new.labels.rows[label])) == max(
            short_S, key=z_K.tolist().__getitem__
        )


def test_clusters_that_have_grown_can_be_trained_on(run_of, encoder, tmp_path):
    """From the weights that labels were added to: shortlists hold all true labels, be clusters uneven."""
    out = xmlkit.add_labels(run_of("clustered"), NEW, tmp_path / "out")
    learnt = _with_documents(NEW)
    given = {**SETTINGS, "encoder": encoder, "clustered": True, **CLUSTERED["clustered"]}
    trained = xmlkit.train(learnt, given, tmp_path / "learnt", out)
    old, new = (xmlkit.load(folder).opened for folder in (out, trained.folder))
    assert new.labels.ids == old.labels.ids
    assert torch.equal(new.clusters.cluster_L, old.clusters.cluster_L)
    row = old.labels.rows["new3"]
    assert not torch.equal(*(found.model.weights()["head/lightxml/rows.weight"][row] for found in (old, new)))


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


@pytest.mark.parametrize("name", ["alone", "clustered"])
def test_the_new_run_is_whole(run_of, tmp_path, name):
    run = run_of(name)
    more = xmlkit.add_labels(run, NEW, tmp_path / "more")
    files = {*content(run)} - {"log.jsonl", "metrics.json", ".lock"}
    assert {*content(more)} - {".lock"} == files
    for file in ("config.json", *(file for file in files if file.startswith("encoder/"))):
        assert (more / file).read_bytes() == (run / file).read_bytes()
    old, new = ((folder / "labels.jsonl").read_text() for folder in (run, more))
    assert new.startswith(old)
    lines = [json.loads(line) for line in new.removeprefix(old).splitlines()]
    assert all(line.pop("cluster") in range(4) for line in lines if name == "clustered")
    assert lines == [{"id": label, "name": text, "documents": 0} for label, text in NEW.items()]
    document = json.loads((more / DESCRIPTION).read_text())
    assert document.pop("labels") == NUM_LABELS + len(NEW)
    theirs = json.loads((run / DESCRIPTION).read_text())
    assert document.pop("files").keys() == theirs.pop("files").keys()
    assert document == {key: value for key, value in theirs.items() if key != "labels"}
    moved = Path(shutil.copytree(more, tmp_path / "moved"))
    found = xmlkit.load(more).predict(NAMES)
    expected = [[[best.label, best.score.hex()] for best in row] for row in found]
    assert tiny.predicted_in_a_new_process(moved, NAMES) == expected


@pytest.mark.parametrize("name", ["alone", "clustered"])
def test_added_twice_is_added_together(run_of, tmp_path, name):
    more = xmlkit.add_labels(run_of(name), NEW, tmp_path / "more")
    some = dict(list(NEW.items())[:3])
    rest = {label: name for label, name in NEW.items() if label not in some}
    once = xmlkit.add_labels(run_of(name), some, tmp_path / "once")
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
    learnt = _with_documents([next(iter(NEW))])
    given = {**SETTINGS, "encoder": encoder, "clustered": False, **PLUGINS["alone"]}
    trained = xmlkit.train(learnt, given, tmp_path / "learnt", more)
    assert set(trained.model.labels.ids) >= set(NEW) and trained.outcome == "finished"


def _with_documents(some: Iterable[str]) -> Corpus:
    """The corpus with the new labels, of which these are on a document each."""
    corpus = named_corpus()
    learnt = Corpus.of(
        [*corpus.train.texts, *map(NEW.__getitem__, some)], [*_lists(corpus), *([label] for label in some)]
    )
    labels = Labels(corpus.labels.ids + list(NEW), [*(corpus.labels.names or []), *NAMES])
    return Corpus("more", labels, learnt.train.numbered_as(labels), None)


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
    blend = tmp_path / "blend"
    blend.mkdir()
    (blend / "ensemble.json").write_text("{}")
    refused = {
        run_of("plain"): "scores no label by its name, .* --plugin label-text",
        run_of("plain clusters", clustered=True): "scores no label by its name, .* --plugin label-text",
        run_of(
            "every", plugins=["full-head", "label-text"], clustered=True
        ): "in clusters, .* clustered=false$",
        tmp_path / "unnamed": "its labels have no names, .* labels.tsv$",
        blend: "blend is an ensemble, where a single run is asked for$",
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
    (run / "encoder" / "stray").write_text("x")
    document = json.loads((run / DESCRIPTION).read_text())
    files = {**document["files"], "log.jsonl": ""}
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
