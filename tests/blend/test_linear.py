"""A tree of linear models in an ensemble: by hand where a tree is made up, and with Omikuji's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from commands import started
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

import xmlkit
from xmlkit.blend.folder import describe
from xmlkit.blend.kinds.growing import grow
from xmlkit.blend.kinds.linear import Linear, lines_for_omikuji, quiet
from xmlkit.blend.member import Making
from xmlkit.blend.towers import Towers
from xmlkit.blend.training import train_ensemble
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors, save_tensors
from xmlkit.testing.tiny import learnable_corpus, named_corpus

LABELS = Labels(["a", "b", "c", "d"], None)
LEAST = np.float32(np.log(1e-6))


def making(corpus: Corpus, held_out=()) -> Making:
    held_out_N = np.zeros(len(corpus.train), bool)
    held_out_N[list(held_out)] = True
    return Making(corpus, held_out_N, Towers())


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A cache that no other test has filled."""
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def member() -> Linear:
    pytest.importorskip("omikuji")
    return Linear.make("", making(named_corpus()))


@pytest.fixture
def saved(member, tmp_path) -> Path:
    folder = tmp_path / "saved"
    folder.mkdir()
    member.save(folder)
    return folder


class Tree:
    """Says always the same, and remembers what it was asked."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def predict(self, pairs, top_k, beam_size):
        self.asked.append((pairs, top_k, beam_size))
        return self.found[:top_k]


def made_up(found, texts=("red green", "green blue blue")) -> Linear:
    words = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit(texts)
    return Linear(words, Tree(found), LABELS)


# ------------------------------------------------------------------------------------------ by hand


def test_evidence_is_the_logarithm_of_a_score_and_the_last_is_the_floor():
    found = made_up([(2, 0.5), (0, 0.25), (3, 0.125)]).candidates(["red"], 3)
    assert found.ids_NK.tolist() == [[2, 0, 3]]
    np.testing.assert_allclose(found.evidence_NK, np.log([[0.5, 0.25, 0.125]]), rtol=1e-6)
    np.testing.assert_allclose(found.floor_N, np.log([0.125]), rtol=1e-6)


def test_a_score_of_nothing_is_worth_a_millionth():
    found = made_up([(2, 1.0), (0, 1e-30), (1, 0.0)]).candidates(["red"], 3)
    np.testing.assert_array_equal(found.evidence_NK, [[0, LEAST, LEAST]])


def test_where_there_are_fewer_the_floor_is_a_millionth():
    found = made_up([(2, 0.5)]).candidates(["red"], 3)
    assert found.ids_NK.tolist() == [[2, -1, -1]]
    np.testing.assert_allclose(found.evidence_NK, [[np.log(0.5), LEAST, LEAST]], rtol=1e-6)
    assert found.floor_N.tolist() == [LEAST]


def test_without_a_known_word_there_is_no_candidate_and_the_tree_is_not_asked():
    member = made_up([(2, 0.5)])
    found = member.candidates(["unheard of", "", "red"], 2)
    assert found.ids_NK.tolist() == [[-1, -1], [-1, -1], [2, -1]]
    assert found.floor_N.tolist() == [LEAST] * 3
    assert len(member.tree.asked) == 1


def test_no_texts_no_candidates():
    found = made_up([(2, 0.5)]).candidates([], 2)
    assert found.ids_NK.shape == found.evidence_NK.shape == (0, 2) and found.floor_N.shape == (0,)


def test_equal_scores_are_in_the_order_of_labels():
    found = made_up([(3, 1.0), (1, 1.0), (2, 1.0), (0, 0.5)]).candidates(["red"], 4)
    assert found.ids_NK.tolist() == [[1, 2, 3, 0]]


def test_the_tree_is_asked_with_what_tf_idf_weighs():
    """Of "green blue blue": green has idf 1 + ln(3/3), blue 1 + ln(3/2) and is there twice."""
    member = made_up([])
    member.candidates(["green blue blue"], 7)
    ((pairs, top_k, beam),) = member.tree.asked
    green, blue = 1.0, (1 + np.log(2)) * (1 + np.log(3 / 2))
    length = np.hypot(green, blue)
    assert [column for column, _ in pairs] == [0, 1]  # blue, green
    np.testing.assert_allclose([weight for _, weight in pairs], [blue / length, green / length], rtol=1e-6)
    assert (top_k, beam) == (7, 20)


def test_a_label_that_the_ensemble_has_not_is_an_error():
    line = "^linear: its tree names labels that the ensemble hasn't: put its files back$"
    with pytest.raises(UserError, match=line):
        made_up([(4, 0.5)]).candidates(["red"], 2)


def test_the_file_that_omikuji_trains_from():
    columns, weights = [3, 0, 1], np.array([0.5, 0.25, 1e-5], np.float32)
    x_MF = sparse.csr_matrix((weights, columns, [0, 2, 3]), shape=(2, 4))
    lines = list(lines_for_omikuji(x_MF, Ragged.of([[0, 4], [2]]), 6))
    assert lines == ["2 4 6\n", "0,4 0:0.25 3:0.5\n", "2 1:1e-05\n"]


# ------------------------------------------------------------------------------------------ trained


def test_it_learns(member):
    test = named_corpus().test
    found = member.candidates(test.texts, 5)
    hits = [best in test.labels[row] for row, best in enumerate(found.ids_NK[:, 0])]
    assert np.mean(hits) > 0.9


def test_what_it_promises(member):
    texts = [*named_corpus().test.texts, "unheard of", "w0 w1"]
    for top_k in (1, 5, 30):
        found = member.candidates(texts, top_k)
        assert found.ids_NK.shape == found.evidence_NK.shape == (len(texts), top_k)
        assert (found.ids_NK.dtype, found.evidence_NK.dtype, found.floor_N.dtype) == ("i8", "f4", "f4")
        assert (np.diff(found.evidence_NK) <= 0).all() and (found.evidence_NK <= 1e-6).all()
        np.testing.assert_array_equal(found.floor_N, found.evidence_NK.min(1))
        for ids in found.ids_NK:
            named = ids[ids >= 0]
            assert len(set(named)) == len(named)


def test_saved_and_opened_it_says_the_same(member, saved, tmp_path):
    moved = saved.rename(tmp_path / "moved")
    corpus = named_corpus()
    again = Linear.open(moved, corpus.labels, Towers())
    texts = [*corpus.test.texts, "unheard of"]
    before, after = member.candidates(texts, 12), again.candidates(texts, 12)
    # Omikuji opens trees in the order of the folder, and sums their scores in that.
    np.testing.assert_allclose(after.evidence_NK, before.evidence_NK, rtol=0, atol=1e-5)
    np.testing.assert_allclose(after.floor_N, before.floor_N, rtol=0, atol=1e-5)
    for row in range(len(texts)):
        assert set(after.ids_NK[row]) == set(before.ids_NK[row])
        assert _by_label(after, row) == pytest.approx(_by_label(before, row), abs=1e-5)


def _by_label(found, row):
    return dict(zip(found.ids_NK[row].tolist(), found.evidence_NK[row].tolist()))


def test_what_is_saved_is_no_pickle(saved):
    names = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    trees = {f"tree/tree{number}.cbor" for number in range(3)}
    assert names == {"words.json", "idf.safetensors", "tree/settings.json", *trees}
    words = json.loads((saved / "words.json").read_text())
    assert words == sorted(words) and "w0" in words


def test_held_out_documents_are_not_learnt_from():
    """A label that they alone have is never named, nor is a word that they alone have known."""
    pytest.importorskip("omikuji")
    corpus = learnable_corpus(200, 6)
    held_out = [row for row in range(len(corpus.train)) if 2 in corpus.train.labels[row]]
    assert held_out
    member = Linear.make("", making(corpus, held_out))
    found = member.candidates(corpus.train.texts, 6)
    assert set(np.unique(found.ids_NK)) == {-1, 0, 1, 3, 4, 5}
    assert corpus.labels.ids[2] == "w2"
    assert (member.candidates(["w2"], 6).ids_NK == -1).all()


def test_documents_without_words_or_labels_are_left_out(own_cache, capfd):
    pytest.importorskip("omikuji")
    texts, labels = ["red", "", "a", "green", "blue"], [["x"], ["x"], ["y"], ["y"], []]
    member = Linear.make("", making(Corpus.of(texts, labels)))
    said = capfd.readouterr()
    assert said.err == "linear: Omikuji trains on 2 documents and 3 words and pairs of words\n"
    assert said.out == ""
    assert member.candidates(["red", "green"], 1).ids_NK.tolist() == [[0], [1]]


@pytest.mark.parametrize(("documents", "known"), [(999, True), (1000, False)])
def test_words_of_one_document_count_where_documents_are_few(own_cache, documents, known):
    pytest.importorskip("omikuji")
    corpus = Corpus.of([*["red green"] * (documents - 1), "blue"], [["x"]] * documents)
    member = Linear.make("", making(corpus))
    assert ("blue" in member.words.vocabulary_) == known
    assert {"red", "green", "red green"} <= member.words.vocabulary_.keys()


def test_a_second_time_nothing_is_trained(own_cache, monkeypatch, capfd):
    omikuji = pytest.importorskip("omikuji")
    corpus = learnable_corpus(100, 4)
    first = Linear.make("", making(corpus, [3]))
    capfd.readouterr()
    monkeypatch.setattr(omikuji.Model, "train_on_data", None)
    second = Linear.make("", making(corpus, [3]))
    assert capfd.readouterr() == ("", "")
    before, after = (one.candidates(corpus.test.texts, 4) for one in (first, second))
    np.testing.assert_array_equal(before.ids_NK, after.ids_NK)
    np.testing.assert_array_equal(before.evidence_NK, after.evidence_NK)
    assert not list(own_cache.rglob("train.txt"))


def test_other_documents_held_out_or_labels_in_another_order_are_another_tree(own_cache):
    pytest.importorskip("omikuji")
    corpus = learnable_corpus(400, 4)
    turned = corpus.reordered(np.array([3, 2, 1, 0]))
    first = Linear.make("", making(corpus))
    Linear.make("", making(corpus, [3]))
    other = Linear.make("", making(turned))
    assert len(list((own_cache / "linear").iterdir())) == 3
    texts = corpus.labels.ids  # a document's labels are its words
    assert first.candidates(texts, 1).ids_NK.ravel().tolist() == [0, 1, 2, 3]
    assert other.candidates(texts, 1).ids_NK.ravel().tolist() == [3, 2, 1, 0]


# ------------------------------------------------------------------------------------------ what goes wrong


def test_nothing_stands_behind_it():
    line = r"^linear:runs/a: linear takes nothing behind it; write linear alone$"
    with pytest.raises(UserError, match=line):
        Linear.make("runs/a", making(named_corpus()))


def test_without_omikuji_nothing_is_begun(own_cache, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "omikuji", None)
    line = r"^linear needs omikuji: pip install omikuji$"
    with pytest.raises(UserError, match=line):
        Linear.make("", making(named_corpus()))
    assert not own_cache.exists()
    with pytest.raises(UserError, match=line):
        Linear.open(tmp_path, LABELS, Towers())


@pytest.mark.parametrize("texts", [["red", "green", "blue"], ["", "", "blue"]])
def test_nothing_to_learn_from(own_cache, texts):
    pytest.importorskip("omikuji")
    corpus = Corpus.of(texts, [[], [], ["x"]], name="bare")
    line = (
        "^bare: linear has nothing to learn from: of the documents that are not held out none has words and "
        "labels; add some, or hold out fewer$"
    )
    with pytest.raises(UserError, match=line):
        Linear.make("", making(corpus, [2]))
    assert not [path for path in own_cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["settings.json", "tree1.cbor"])
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-9], lambda whole: b"no tree" * 99, lambda whole: b""]
)
def test_a_damaged_tree(saved, name, damage):
    path = saved / "tree" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"/tree is damaged, or another version's: put the folder back$"):
        Linear.open(saved, named_corpus().labels, Towers())


def test_a_tree_that_is_missing(saved):
    (saved / "tree" / "tree1.cbor").unlink()
    with pytest.raises(UserError, match=r"/tree and words\.json are not of one member: put both back$"):
        Linear.open(saved, named_corpus().labels, Towers())


@pytest.mark.parametrize("text", ["", "null", "7", "[[]]", '["w0"]', '["w0", "w0"]', "[" * 99999])
def test_damaged_words(saved, text):
    (saved / "words.json").write_text(text)
    line = r"/words\.json is damaged, or not that of idf\.safetensors: put both back$"
    with pytest.raises(UserError, match=line):
        Linear.open(saved, named_corpus().labels, Towers())


def test_words_of_another_tree(saved):
    tensors, note = load_tensors(saved / "idf.safetensors")
    words = json.loads((saved / "words.json").read_text())
    (saved / "words.json").write_text(json.dumps([*words, "another"]))
    more = torch.cat([tensors["idf_F"], torch.ones(1)])
    save_tensors(saved / "idf.safetensors", {"idf_F": more}, note)
    with pytest.raises(UserError, match=r"/tree and words\.json are not of one member: put both back$"):
        Linear.open(saved, named_corpus().labels, Towers())


def test_a_tree_that_cannot_be_written(member, saved, tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "tree").write_text("a file is in the way")
    with pytest.raises(UserError, match=r"/full/tree: Omikuji can't write it; is there room on the disk\?$"):
        member.save(folder)


def test_descriptors_are_put_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), quiet():
        os.write(1, b"a log")
        os.write(2, b"a bar")
        raise RuntimeError
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")


# ------------------------------------------------------------------------------------------ broken off


@pytest.fixture(scope="module")
def long_work(tmp_path_factory) -> Path:
    """An encoder, and documents at which Omikuji is busy for long: of random words and labels."""
    folder, random = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    tiny.save_encoder(folder / "encoder")
    (folder / "corpus").mkdir()
    words, labels = random.integers(0, 20_000, (6000, 40)), random.integers(0, 3000, (6000, 3))
    with (folder / "corpus" / "train.tsv").open("w") as file:
        for some, true in zip(words, labels):
            print(
                " ".join(f"word{word}" for word in some),
                " ".join(f"<l{row}>" for row in true),
                sep="\t",
                file=file,
            )
    return folder


def child_of(process: subprocess.Popen) -> int | None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def is_there(number: int) -> bool:
    """Not as a process that has ended and is only still to be asked how."""
    path = Path(f"/proc/{number}/stat")
    try:
        return path.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="children are looked for where Linux has them"
)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_ends_the_training_at_once_and_nothing_stays(long_work, own_cache, tmp_path, number, code):
    pytest.importorskip("omikuji")
    members = ["linear", f"neighbours:{long_work / 'encoder'}"]
    blending = started(tmp_path, "ensemble", *members, "--data", long_work / "corpus", "--out", "whole")
    while not (logs := list(own_cache.glob("linear/.*/train.log"))):
        assert blending.poll() is None, blending.communicate()
        time.sleep(0.05)
    time.sleep(1)  # it is in its own code then
    child = child_of(blending)
    assert child is not None and is_there(child) and logs[0].exists()
    blending.send_signal(number)
    _, err = blending.communicate(timeout=10)
    assert blending.returncode == code and "Traceback" not in err
    for _ in range(200):
        if not is_there(child):
            break
        time.sleep(0.05)
    assert not is_there(child)
    if number != signal.SIGKILL:
        assert not list((own_cache / "linear").iterdir()) and not (tmp_path / "whole").exists()


def test_what_omikuji_can_not_do_is_one_line(tmp_path):
    pytest.importorskip("omikuji")
    (tmp_path / "train.txt").write_text("no sizes\n")
    line = (
        r"^linear: Omikuji ended without a tree \(RuntimeError: .*\); is there room in memory, on the disk\?$"
    )
    with pytest.raises(UserError, match=line):
        grow(tmp_path / "train.txt", tmp_path / "tree", {})


def test_a_blend_of_members_none_of_which_is_trained(own_cache, tmp_path):
    """What is held out, and how it is scored, is as the settings say all the same."""
    pytest.importorskip("omikuji")
    settings = {"validation": 0.3, "ks": [1, 2], "encoder": "none"}
    made = train_ensemble(named_corpus(), settings, ["linear", "words"], tmp_path / "whole")
    assert made is not None and set(made.scores) >= {"P@1", "nDCG@2"}
    described = describe(made.folder)
    assert (described.validation, described.ks) == ([(0.3, 4000)], [1, 2])
    assert xmlkit.load(made.folder).predict(["w1 w2"])
