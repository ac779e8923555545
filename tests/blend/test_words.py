"""Names that stand in texts: by a slow reference, by hand, saved and opened, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.blend import training
from xmlkit.blend.kinds import words as module
from xmlkit.blend.kinds.words import LEAST, Words, price_of_words, words_of
from xmlkit.blend.member import Making, kind
from xmlkit.blend.recipes import AUTO
from xmlkit.blend.towers import Towers
from xmlkit.data.corpus import Corpus, Labels, Split
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.testing.tiny import learnable_corpus

NAMES = ["wind power", "wind", "Power (physics)", "mills", "windmills"]
TEXTS = [
    "Wind power for mills",
    "The power of wind",
    "Windmills",
    "old mill",
    "nothing",
    "wind, wind and WINDS",
]
LABELS = [["a"], ["a", "b"], ["e"], ["d"], ["b"], ["b"]]


def corpus_of(texts=TEXTS, labels=LABELS, names=NAMES, alternatives=None):
    ids = [chr(97 + row) for row in range(len(names))]
    rows = Ragged.of([[ids.index(label) for label in own] for own in labels])
    return Corpus("some", Labels(ids, list(names), alternatives), Split(list(texts), rows, ids), None)


def made(corpus, held_out=()):
    held_out_N = np.isin(np.arange(len(corpus.train)), held_out)
    return Words.make("", Making(corpus, held_out_N, Towers()))


def named(member, text, top_k=10):
    """Label row to its chance."""
    found = member.candidates([text], top_k)
    kept = found.ids_NK[0] >= 0
    return dict(zip(found.ids_NK[0][kept].tolist(), np.exp(found.evidence_NK[0][kept].astype(float))))


def test_by_hand():
    """Found: wind power in 0 and 1, each with label a; wind in 0, 1 and 5; power in 0 and 1; mills in 0 (and
    not in 3: "mill" is another word); windmills, known as "windmi", in 2. Right are a twice, b twice, e;
    that power was found says nothing, as no document has its label."""
    member = made(corpus_of())
    prior = 6 / 9
    assert named(member, "the wind") == pytest.approx({1: (2 + 2 * prior) / 5})
    assert named(member, "power of the winds, mills") == pytest.approx(
        {2: (0 + 2 * prior) / 2, 3: 2 * prior / 3}
    )
    assert named(member, "wind power") == pytest.approx(
        {0: (2 + 2 * prior) / 4, 1: (2 + 2 * prior) / 5, 2: 2 * prior / 2}
    )
    assert named(member, "WINDMILL") == pytest.approx({4: (1 + 2 * prior) / 3})
    assert named(member, "") == named(member, "physics") == {}
    found = member.candidates(["wind power"], 2)
    assert found.floor_N[0] == pytest.approx(np.log((7 - 5) / (6 * 5 - 9)), abs=1e-6)
    assert found.ids_NK.tolist() == [[0, 1]]  # of equal ones the first


def by_force(corpus, text):
    """Of each label all names, of each name all documents."""
    labels, seen = corpus.labels, {int(label) for label in corpus.train.labels.values}
    found, right, chances = {}, {}, {}
    for row in range(len(labels)):
        for name in {
            frozenset(words_of(name.replace("(x)", "").replace("(physics)", "")) or words_of(name))
            for name in (labels.name(row), *(labels.alternatives[row] if labels.alternatives else ()))
        } - {frozenset()}:
            those = [at for at, other in enumerate(corpus.train.texts) if name <= words_of(other)]
            found[row, name] = len(those) * (row in seen)
            right[row, name] = sum(row in corpus.train.labels[at] for at in those)
    prior = (sum(right.values()) + 1) / (sum(found.values()) + 2)
    for key in found:
        if key[1] <= words_of(text):
            chance = (right[key] + 2 * prior) / (found[key] + 2)
            chances[key[0]] = max(chances.get(key[0], 0), chance)
    return chances


SOME = st.lists(
    st.sampled_from(["of", "wind", "winds", "power", "powerful", "ÄÖ", "(x)"]), min_size=1, max_size=4
)


@given(st.data())
def test_as_by_force(data):
    names = data.draw(st.lists(SOME.map(" ".join), min_size=1, max_size=5))
    others = data.draw(
        st.lists(
            st.lists(SOME.map(" ".join), max_size=2).map(tuple), min_size=len(names), max_size=len(names)
        )
    )
    texts = data.draw(st.lists(SOME.map(" ".join), min_size=1, max_size=6))
    rows = [data.draw(st.lists(st.sampled_from(range(len(names))), unique=True, max_size=2)) for _ in texts]
    labels = [[chr(97 + row) for row in sorted(own)] for own in rows]
    if not any(labels):
        labels[0] = ["a"]
    corpus = corpus_of(texts, labels, names, others)
    member = made(corpus)
    for text in [*texts, "winds of power"]:
        assert named(member, text) == pytest.approx(by_force(corpus, text), rel=1e-5)
    together = member.candidates(texts * 3, 10)
    for row, text in enumerate(texts * 3):
        assert together.ids_NK[row].tolist() == member.candidates([text], 10).ids_NK[0].tolist()


def test_the_likeliest_are_kept_and_come_first(monkeypatch):
    corpus, text = corpus_of(), "wind power mills"
    member, expected = made(corpus), by_force(corpus_of(), text)
    for top_k in (1, 2, 3, 9):
        found = member.candidates([text, "nothing", text], top_k)
        assert found.ids_NK.shape == found.evidence_NK.shape == (3, top_k)
        assert (found.ids_NK.dtype, found.evidence_NK.dtype, found.floor_N.dtype) == ("i8", "f4", "f4")
        kept = found.evidence_NK[0][found.ids_NK[0] >= 0]
        best = sorted(expected.values(), reverse=True)[:top_k]
        np.testing.assert_allclose(np.exp(kept), best, rtol=1e-5)
        np.testing.assert_array_equal(found.ids_NK[0], found.ids_NK[2])
        assert (found.ids_NK[1] == -1).all()
    before = member.candidates(TEXTS, 4)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    in_parts = made(corpus).candidates(TEXTS, 4)
    np.testing.assert_array_equal(before.ids_NK, in_parts.ids_NK)
    np.testing.assert_array_equal(before.evidence_NK, in_parts.evidence_NK)


def test_nothing_is_learnt_from_held_out_documents():
    changed = [*TEXTS[:2], "wind power wind mills", *TEXTS[3:]]
    other_labels = [*LABELS[:2], ["b", "d"], *LABELS[3:]]
    one, other = made(corpus_of(), [2]), made(corpus_of(changed, other_labels), [2])
    np.testing.assert_array_equal(one.chance_P, other.chance_P)
    assert one.floor == other.floor
    assert not np.array_equal(made(corpus_of()).chance_P, one.chance_P)


def test_what_no_document_has_is_as_likely_as_names_are_in_general():
    corpus = corpus_of(names=[*NAMES, "of"])
    assert named(made(corpus), "of it") == pytest.approx({5: 6 / 9})


def test_one_document_and_no_label_found():
    member = made(corpus_of(["nothing"], [["a"]]))
    assert named(member, "wind") == pytest.approx({1: 0.5})
    assert member.floor == pytest.approx(1 / 5)
    assert made(corpus_of(["wind"], [["b"]])).floor == LEAST


def test_a_label_that_is_found_by_two_names_is_found_once():
    """Of four texts and one label: found in three, truly in two of these; not found in one, where it is."""
    texts, names = ["gas and oil", "gas, oil", "oil of gas", "coal"], ["gas"]
    member = made(corpus_of(texts, [["a"], ["a"], [], ["a"]], names, [("oil",)]))
    assert member.floor == pytest.approx(1.0)


def test_found_by_its_name_and_added_up():
    assert kind("words") is Words and Words.of_score == "logarithm"


def test_headings_that_are_words_are_found_as_names_are():
    """As a table of one's own has them: no vocabulary, no names."""
    named = corpus_of()
    ids = [NAMES["abcde".index(label)] for label in named.labels.ids]
    bare = Corpus("some", Labels(ids, None), replace(named.train, label_ids=ids), None)
    ours, theirs = (made(corpus).candidates(TEXTS, 5) for corpus in (bare, named))
    np.testing.assert_array_equal(ours.ids_NK, theirs.ids_NK)
    np.testing.assert_array_equal(ours.evidence_NK, theirs.evidence_NK)


def test_no_names_no_member(tmp_path):
    corpus = learnable_corpus(40)
    with pytest.raises(UserError, match="words: the labels of tiny have no names; leave it out"):
        made(corpus)
    with pytest.raises(UserError, match="words:mine: words takes nothing behind it; write words alone"):
        Words.make("mine", Making(corpus, np.zeros(len(corpus.train), bool), Towers()))
    with pytest.raises(UserError, match="--ensemble words: the labels of tiny have no names; leave it out"):
        training.train_ensemble(corpus, {"encoder": "x"}, ["lexical", "words"], tmp_path / "whole")


@pytest.mark.parametrize("names", [True, False])
def test_auto_asks_for_names_where_there_are_some(monkeypatch, tmp_path, names):
    """What is trained, and in which order, is another matter."""
    asked = []
    monkeypatch.setattr(training, "_all_trained", lambda corpus, chosen, out: {name: out for name in chosen})
    monkeypatch.setattr(training, "ensemble", lambda members, *rest, **more: asked.extend(members))
    corpus = corpus_of() if names else learnable_corpus(40)
    training.train_ensemble(corpus, {"encoder": "x"}, list(AUTO), tmp_path / "whole")
    assert (
        asked == [str(tmp_path / "whole"), f"neighbours:{tmp_path / 'whole'}", "linear", "words"][: 3 + names]
    )


# ------------------------------------------------------------------------------------------ saved


def test_saved_and_opened_it_says_the_same(tmp_path):
    corpus = corpus_of(alternatives=[("wind energy",), (), (), (), ()])
    member = made(corpus)
    member.save(tmp_path)
    opened = Words.open(tmp_path, Labels(corpus.labels.ids, corpus.labels.names), Towers())
    for text in [*TEXTS, "energy from wind"]:
        assert named(opened, text) == named(member, text)
    assert 0 in named(opened, "energy from wind")
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("values_V", 99), ("rows_P", 5), ("rows_P", -1), ("chance_P", 0), ("floor", 2), ("offsets_P", 0)],
)
def test_what_fits_nothing(tmp_path, name, value):
    from xmlkit.model.tensor_file import load_tensors, save_tensors

    corpus = corpus_of()
    made(corpus).save(tmp_path)
    tensors, _ = load_tensors(tmp_path / "names.safetensors")
    tensors[name][-1] = value
    save_tensors(tmp_path / "names.safetensors", tensors, {})
    with pytest.raises(ValueError, match="not of these labels"):
        Words.open(tmp_path, corpus.labels, Towers())


@pytest.mark.parametrize("words", [{}, ["wind"], [1, 2, 3, 4, 5, 6]])
def test_words_that_are_none(tmp_path, words):
    corpus = corpus_of()
    made(corpus).save(tmp_path)
    (tmp_path / "words.json").write_text(json.dumps(words))
    with pytest.raises(ValueError):
        Words.open(tmp_path, corpus.labels, Towers())


def test_twice_the_documents_and_questions_cost_twice(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(module, "TRIED", 2)
    corpus, none = corpus_of(), np.zeros(len(TEXTS), bool)
    # A second to look through two documents, and one to be asked about two.
    assert price_of_words(corpus, none, 0) == 3
    assert price_of_words(corpus, none, 10) == 8
