"""Members that read texts with a run or an encoder: by slow references, saved and moved, and refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from scipy.special import expit, logit

import xmlkit
from xmlkit.blend import frozen as frozen_module
from xmlkit.blend import towers as towers_module
from xmlkit.blend.fusion import Weights
from xmlkit.blend.kinds import names as names_module
from xmlkit.blend.kinds import neighbours as neighbours_module
from xmlkit.blend.kinds.names import Names
from xmlkit.blend.kinds.neighbours import EPS, Neighbours
from xmlkit.blend.kinds.run import OfRun
from xmlkit.blend.member import Making, floor_N, kind
from xmlkit.blend.sums import Sum
from xmlkit.blend.towers import Towers
from xmlkit.data.corpus import Corpus, Labels, validation_rows
from xmlkit.errors import UserError
from xmlkit.testing.tiny import learnable_corpus, named_corpus

LEAST = logit(np.float32(1e-6))
KINDS = {"run": OfRun, "neighbours": Neighbours, "names": Names}
TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7", "unheard of", *tiny.texts(20, seed=8)]
SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.3, "max_steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus, an encoder, and runs: without clusters, with them, and of an encoder that is not trained."""
    folder, corpus = tmp_path_factory.mktemp("made"), named_corpus()
    encoder = tiny.save_encoder(folder / "encoder")
    given = {**SETTINGS, "encoder": encoder, "start": "random", "head_lr": 0.05}
    clusters = {"clustered": True, "cluster_size": 3, "shortlist": 2, "label_width": 8}
    xmlkit.train(replace(corpus, test=None), {**given, "clustered": False}, folder / "flat")
    xmlkit.train(replace(corpus, test=None), {**given, **clusters}, folder / "clustered")
    frozen = {"clustered": False, "freeze": True}
    xmlkit.train(replace(corpus, test=None), {**given, **frozen}, folder / "frozen")
    paths = {name: str(folder / name) for name in ("encoder", "flat", "clustered", "frozen")}
    return SimpleNamespace(corpus=corpus, **paths)


def held_out(corpus: Corpus, share=0.3):
    return validation_rows(corpus.train.texts, share, 4000)


def making(corpus: Corpus, held_out_N=None) -> Making:
    return Making(corpus, held_out(corpus) if held_out_N is None else held_out_N, Towers())


def equal(ours, theirs):
    np.testing.assert_array_equal(ours.ids_NK, theirs.ids_NK)
    np.testing.assert_array_equal(ours.evidence_NK, theirs.evidence_NK)
    np.testing.assert_array_equal(ours.floor_N, theirs.floor_N)


def unit(x_ND):
    return x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)


def halved(x_ND):
    """As vectors are kept."""
    return x_ND.astype(np.float16).astype(float)


def same_as(found, expected, floors, top_k, atol=2e-3):
    """Candidates against a dictionary of label to evidence for each text; near ties may stand either way."""
    for row, by_hand in enumerate(expected):
        named = found.ids_NK[row][found.ids_NK[row] >= 0].tolist()
        assert len(named) == len(set(named)) == min(top_k, len(by_hand))
        ours = found.evidence_NK[row][found.ids_NK[row] >= 0]
        np.testing.assert_allclose(ours, [by_hand[label] for label in named], atol=atol)
        np.testing.assert_allclose(ours, sorted(by_hand.values(), reverse=True)[:top_k], atol=atol)
        assert found.floor_N[row] == pytest.approx(floors[row], abs=2e-3)


@pytest.mark.parametrize("name", KINDS)
def test_each_is_found_by_its_name(name):
    assert kind(name) is KINDS[name]


@pytest.mark.parametrize("what", ["flat", "clustered"])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("top_k", [1, 5, 40])
def test_what_it_promises(made, name, what, top_k):
    member = KINDS[name].make(getattr(made, what), making(made.corpus))
    found = member.candidates(TEXTS, top_k)
    assert found.ids_NK.shape == found.evidence_NK.shape == (len(TEXTS), found.ids_NK.shape[1])
    assert (found.ids_NK.dtype, found.evidence_NK.dtype, found.floor_N.dtype) == ("i8", "f4", "f4")
    assert found.ids_NK.shape[1] >= min(top_k, 12) and found.floor_N.shape == (len(TEXTS),)
    assert (np.diff(found.evidence_NK) <= 0).all()
    assert (found.floor_N <= found.evidence_NK.min(1)).all()
    for ids in found.ids_NK:
        named = ids[ids >= 0]
        assert len(named) and len(set(named)) == len(named) and named.max() < 12


def test_where_there_are_few_labels_it_counts_how_sure_a_member_is():
    """The floor is that of a text only where there are labels below it that could have been named."""
    evidence_NK = np.array([[5, 4, 3], [-3, -4, -5]], np.float32)
    assert floor_N(evidence_NK, 3, -14.0).tolist() == [-14, -14]
    assert floor_N(evidence_NK, 4, -14.0).tolist() == [3, -5]
    long_NK = np.arange(60, 0, -1, dtype=np.float32)[None]
    assert floor_N(long_NK, 60, -14.0).tolist() == floor_N(long_NK[:, :50], 60, -14.0).tolist() == [11]


# ------------------------------------------------------------------------------------------ a run


@pytest.mark.parametrize("top_k", [3, 12, 50])
@pytest.mark.parametrize("what", ["flat", "clustered"])
def test_a_run_says_what_it_predicts(made, what, top_k):
    folder = getattr(made, what)
    found = OfRun.make(folder, making(made.corpus)).candidates(TEXTS, top_k)
    assert found.ids_NK.shape == (len(TEXTS), min(top_k, 12))
    expected = xmlkit.load(folder).predict(TEXTS, top_k)
    for ids, evidence, floor, best in zip(found.ids_NK, found.evidence_NK, found.floor_N, expected):
        assert [made.corpus.labels.ids[row] for row in ids if row >= 0] == [label.label for label in best]
        scores = [max(label.score, 1e-6) for label in best]
        np.testing.assert_allclose(evidence[: len(best)], logit(np.array(scores)), rtol=1e-4)
        assert (evidence[len(best) :] == LEAST).all() and floor == (evidence[-1] if top_k < 12 else LEAST)


def test_a_run_that_is_surer_than_float32_can_tell_keeps_its_order(made):
    """As votes of neighbours make it. Alone, and added to itself, it ranks as before."""
    member = OfRun.make(made.flat, making(made.corpus))
    before = member.candidates(TEXTS, 12)
    with torch.no_grad():
        member.tower.model.head.biases.weight.add_(22)
    found = member.candidates(TEXTS, 12)
    np.testing.assert_array_equal(found.ids_NK, before.ids_NK)
    assert (np.float32(expit(found.evidence_NK[:, :3].astype(float))) == 1).all()
    counts_L = np.ones(12, np.int64)
    for fusion, said in ((Weights.of_one(), [found]), (Sum(["logit", "logit"]), [found, found])):
        pairs, z_V = fusion.read(said, counts_L)
        np.testing.assert_array_equal(pairs.ranked(z_V, 5)[0], before.ids_NK[:, :5])


def test_labels_of_clusters_lie_in_another_order_and_not_all_are_named(made):
    member = OfRun.make(made.clustered, making(made.corpus))
    assert member.tower.described.labels.ids != made.corpus.labels.ids
    assert sorted(member.tower.described.labels.ids) == sorted(made.corpus.labels.ids)
    found = member.candidates(TEXTS, 12)
    assert ((found.ids_NK >= 0).sum(1) == 6).all()  # two clusters of three


def test_what_is_no_run_is_no_member(made, tmp_path):
    for what in (made.encoder, tmp_path / "nothing"):
        with pytest.raises(UserError, match=re.escape(f"{what} is not a run")):
            OfRun.make(str(what), making(made.corpus))


# ------------------------------------------------------------------------------------------ neighbours


def votes(made, what, held_out_N, nearest, temperature=0.1, texts=TEXTS, without=None):
    """Label to evidence of each text, in float64; `without`: the place of each among those kept."""
    towers, corpus = Towers(), made.corpus
    tower = towers[towers.add(what)]
    kept = np.flatnonzero(~held_out_N)
    x_MD = tower.many_ND([corpus.train.texts[row] for row in kept]).double().numpy()
    bank_MD = halved(unit(x_MD - x_MD.mean(0)))
    for row, u_D in enumerate(unit(tower.many_ND(texts).double().numpy() - x_MD.mean(0))):
        cos_M = bank_MD @ u_D
        if without is not None:
            cos_M[without[row]] = -np.inf
        best = np.argsort(-cos_M)[:nearest]
        share = np.exp(cos_M[best] / temperature) / np.exp(cos_M[best] / temperature).sum()
        found: dict[int, float] = {}
        for place, p in zip(best, share, strict=True):
            for label in corpus.train.labels[kept[place]].tolist():
                found[label] = found.get(label, 0.0) + p
        yield {label: np.log(vote + EPS) for label, vote in found.items()}


@pytest.mark.parametrize("nearest", [1, 7, 1000])
@pytest.mark.parametrize("what", ["encoder", "flat", "clustered"])
def test_neighbours_vote(made, what, nearest, monkeypatch):
    """However few documents are looked at in one go."""
    monkeypatch.setattr(neighbours_module, "NEAREST", nearest)
    making_ = making(made.corpus)
    member = Neighbours.make(getattr(made, what), making_)
    expected = list(votes(made, getattr(made, what), making_.held_out_N, nearest))
    for at_once, top_k in ((256, 3), (4, 12), (1, 20)):
        monkeypatch.setattr(neighbours_module, "AT_ONCE", at_once)
        found = member.candidates(TEXTS, top_k)
        assert found.ids_NK.shape == (len(TEXTS), top_k)
        assert (found.evidence_NK[found.ids_NK < 0] == np.float32(np.log(EPS))).all()
        same_as(found, expected, [np.log(EPS)] * len(TEXTS), top_k)


def test_neighbours_of_a_document_is_first_itself(made, monkeypatch):
    monkeypatch.setattr(neighbours_module, "NEAREST", 1)
    making_ = making(made.corpus)
    member, train = Neighbours.make(made.flat, making_), made.corpus.train
    texts, count = np.array(train.texts), 0
    kept, unseen = (np.flatnonzero(mask_N) for mask_N in (~making_.held_out_N, making_.held_out_N))
    found = member.candidates(train.texts, 12).ids_NK
    for row in kept:
        if (texts == texts[row]).sum() == 1:
            assert set(found[row]) - {-1} == set(train.labels[row])
            count += 1
    assert count > 50
    assert any(set(found[row]) - {-1} != set(train.labels[row]) for row in unseen)


@pytest.mark.parametrize("nearest", [1, 7, 1000])
@pytest.mark.parametrize("what", ["encoder", "flat"])
def test_a_seen_document_has_no_vote_for_itself(made, what, nearest, monkeypatch):
    """Against a reference that knows which one it is; of equal texts the other one votes."""
    monkeypatch.setattr(neighbours_module, "NEAREST", nearest)
    making_ = making(made.corpus)
    member, train = Neighbours.make(getattr(made, what), making_), made.corpus.train
    kept = np.flatnonzero(~making_.held_out_N)
    texts = [train.texts[row] for row in kept]
    places = range(len(texts))
    expected = list(votes(made, getattr(made, what), making_.held_out_N, nearest, 0.1, texts, places))
    found = member.candidates_of_seen(texts, 12)
    same_as(found, expected, [np.log(EPS)] * len(texts), 12, 1e-2)  # many texts, in other batches
    others = [text for text in TEXTS if text not in train.texts and text]
    equal(member.candidates_of_seen(others, 12), member.candidates(others, 12))


def test_held_out_documents_are_no_neighbours(made):
    """A label that they alone have is never named."""
    train = made.corpus.train
    held_out_N = np.array([2 in train.labels[row] for row in range(len(train))])
    member = Neighbours.make(made.encoder, making(made.corpus, held_out_N))
    assert len(member.bank_MD) == len(member.labels) == (~held_out_N).sum() < len(train)
    assert set(member.candidates(train.texts, 12).ids_NK.flat) == {-1, *range(12)} - {2}
    everyone = Neighbours.make(made.encoder, making(made.corpus, np.zeros(len(train), bool)))
    assert 2 in everyone.candidates(train.texts, 12).ids_NK


def test_neighbours_without_labels_name_none(made):
    """One document has a label: who is not near to it has no candidate."""
    corpus = Corpus.of([*made.corpus.train.texts[:60], "w3 w4"], [*[[]] * 60, ["a"]])
    member = Neighbours.make(made.encoder, making(corpus, np.zeros(61, bool)))
    found = member.candidates(["w3 w4", *corpus.train.texts[:60]], 4)
    assert found.ids_NK[0].tolist() == [0, -1, -1, -1]
    nobody = (found.ids_NK < 0).all(1)
    assert nobody.any() and (found.evidence_NK[nobody] == np.float32(np.log(EPS))).all()


# ------------------------------------------------------------------------------------------ names


def cosines(what, corpus, rows, documents):
    """Label to evidence of each text, in float64: of the labels in these rows, centred on these documents."""
    towers = Towers()
    tower = towers[towers.add(what)]
    v_LH = tower.many_ND([corpus.labels.name(row) for row in rows]).double().numpy()
    v_LH = halved(unit(v_LH - v_LH.mean(0)))
    centre_H = tower.many_ND([corpus.train.texts[row] for row in documents]).double().numpy().mean(0)
    for u_H in unit(tower.many_ND(TEXTS).double().numpy() - centre_H):
        yield dict(zip(rows, (v_LH @ u_H) / 0.1, strict=True))


@pytest.mark.parametrize("what", ["encoder", "flat", "clustered", "frozen"])
def test_names_are_held_for_alike(made, what, monkeypatch):
    making_ = making(made.corpus)
    member = Names.make(getattr(made, what), making_)
    kept = np.flatnonzero(~making_.held_out_N)
    expected = list(cosines(getattr(made, what), made.corpus, list(range(12)), kept))
    for at_once, top_k in ((256, 3), (4, 12), (1, 20)):
        monkeypatch.setattr(names_module, "AT_ONCE", at_once)
        found = member.candidates(TEXTS, top_k)
        assert found.ids_NK.shape == (len(TEXTS), min(top_k, 12))
        last = [sorted(by_hand.values(), reverse=True)[:top_k][-1] for by_hand in expected]
        floors = last if top_k < 12 else [-10] * len(TEXTS)
        same_as(found, expected, floors, top_k)


def test_labels_without_a_name_are_not_named(made):
    corpus, some = made.corpus, [1, 4, 5, 9]
    names = [made.corpus.labels.name(row) if row in some else corpus.labels.ids[row] for row in range(12)]
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, names))
    making_ = making(corpus)
    found = Names.make(made.encoder, making_).candidates(TEXTS, 12)
    expected = list(cosines(made.encoder, corpus, some, np.flatnonzero(~making_.held_out_N)))
    same_as(found, expected, [-10] * len(TEXTS), 12)


def test_a_label_is_most_like_its_own_name(made):
    """Where the centre of documents is that of names: the documents are the names."""
    names = [*made.corpus.labels.names, "w59"]
    corpus = Corpus.of(names, [[f"l{row:02}"] for row in range(13)])
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, names))
    member = Names.make(made.encoder, making(corpus, np.zeros(13, bool)))
    found = member.candidates(names, 3)
    assert found.ids_NK[:, 0].tolist() == list(range(13))
    np.testing.assert_allclose(found.evidence_NK[:, 0], 10, atol=0.02)


def test_the_centre_is_of_so_many_documents_that_may_be_seen(made, monkeypatch):
    """The first, the middle one and the last."""
    monkeypatch.setattr(names_module, "SAMPLE", 3)
    held_out_N = np.ones(len(made.corpus.train), bool)
    held_out_N[[3, 8, 50, 51, 90]] = False
    found = Names.make(made.encoder, making(made.corpus, held_out_N)).candidates(TEXTS, 12)
    expected = list(cosines(made.encoder, made.corpus, list(range(12)), [3, 50, 90]))
    same_as(found, expected, [-10] * len(TEXTS), 12)


def test_without_names_there_is_nothing_to_compare(made):
    line = f"^names:{re.escape(made.encoder)}: the labels of tiny have no names; leave it out$"
    with pytest.raises(UserError, match=line):
        Names.make(made.encoder, making(learnable_corpus(200, 12)))


# ------------------------------------------------------------------------------------------ kept


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("run", "flat"),
        ("run", "clustered"),
        *((name, what) for name in ("neighbours", "names") for what in ("encoder", "flat", "clustered")),
    ],
)
def test_saved_moved_and_opened_it_says_the_same(made, tmp_path, name, what):
    """Though what it was made from is gone."""
    source = shutil.copytree(getattr(made, what), tmp_path / "source")
    making_ = making(made.corpus)
    making_.towers.add(made.encoder)  # that no member uses
    member = KINDS[name].make(str(source), making_)
    before = {top_k: member.candidates(TEXTS, top_k) for top_k in (3, 20)}
    written = tmp_path / "written"
    (written / "member").mkdir(parents=True)
    member.save(written / "member")
    making_.towers.save(written / "towers", {member.tower_number})
    assert [path.name for path in (written / "towers").iterdir()] == [member.tower_number] == ["1"]
    shutil.rmtree(source)
    moved = written.rename(tmp_path / "moved")
    (moved / "towers" / ".DS_Store").touch()  # as file managers do
    assert len(Towers(moved / "towers").all()) == 1
    again = KINDS[name].open(moved / "member", made.corpus.labels, Towers(moved / "towers"))
    for top_k, candidates in before.items():
        equal(again.candidates(list(TEXTS), top_k), candidates)


@pytest.mark.parametrize("name", KINDS)
def test_without_its_tower_it_is_not_opened(made, tmp_path, name):
    KINDS[name].make(made.flat, making(made.corpus)).save(tmp_path)
    with pytest.raises(UserError, match=r"^the ensemble is not whole: it has no encoder 0$"):
        KINDS[name].open(tmp_path, made.corpus.labels, Towers())


# ------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_has_seen_what_others_hold_out_is_refused(made, name):
    corpus = made.corpus
    line = (
        f"^{re.escape(made.flat)} was trained on documents that other members hold out: train it with their "
        "validation and validation_max$"
    )
    with pytest.raises(UserError, match=line):
        KINDS[name].make(made.flat, making(corpus, held_out(corpus, 0.5)))
    one_more_N = held_out(corpus)
    one_more_N[np.flatnonzero(~one_more_N)[0]] = True
    with pytest.raises(UserError, match=line):
        KINDS[name].make(made.flat, making(corpus, one_more_N))


@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_has_held_out_more_is_taken(made, name):
    fewer = making(made.corpus, held_out(made.corpus, 0.1))
    assert 0 < fewer.held_out_N.sum() < held_out(made.corpus).sum()
    assert (KINDS[name].make(made.flat, fewer).candidates(TEXTS, 5).ids_NK >= 0).any(1).all()


@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_another_corpus_is_refused(made, name):
    """Which differs by one label of one document."""
    texts, ids = made.corpus.train.texts, made.corpus.labels.ids
    rows = [[ids[label] for label in made.corpus.train.labels[row]] for row in range(len(texts))]
    rows[0] = [label for label in ids if label not in rows[0]]
    other = Corpus.of(texts, rows, name="other")
    other = replace(other, labels=made.corpus.labels)
    assert other.labels.ids == ids and other.train.label_ids == ids
    line = f"^{re.escape(made.flat)} was trained on other documents or labels than other holds$"
    with pytest.raises(UserError, match=line):
        KINDS[name].make(made.flat, making(other))


@pytest.mark.parametrize("name", ["neighbours", "names"])
def test_an_encoder_has_seen_nothing(made, name):
    held_out_N = np.ones(len(made.corpus.train), bool)
    held_out_N[:20] = False
    member = KINDS[name].make(made.encoder, making(made.corpus, held_out_N))
    assert (member.candidates(TEXTS, 5).ids_NK >= 0).any(1).all()


# ------------------------------------------------------------------------------------------ towers


def test_the_same_folder_has_one_number(made, monkeypatch):
    towers = Towers()
    assert [towers.add(what) for what in (made.flat, made.encoder, made.clustered)] == ["0", "1", "2"]
    path = Path(made.flat)
    monkeypatch.chdir(path.parent)
    ways = (path, f"{path}/", path.name, path.parent / "encoder" / ".." / path.name)
    assert [towers.add(what) for what in ways] == ["0"] * 4
    assert towers.add("encoder") == "1" and len(towers.all()) == 3


@pytest.mark.parametrize("what", ["encoder", "flat", "clustered", "frozen"])
def test_vectors_of_training_documents_are_those_of_their_texts(made, what):
    """In the order of the rows. Those of an encoder that is not trained come from the cache, in float16."""
    towers, rows = Towers(), np.array([70, 3, 90, 8])
    tower = towers[towers.add(getattr(made, what))]
    x_ND = tower.many_ND([made.corpus.train.texts[row] for row in rows])
    found_ND = tower.train_ND(made.corpus, rows)
    np.testing.assert_allclose(found_ND, x_ND, atol=2e-3)
    assert min(abs(x_ND[one] - x_ND[other]).max() for one in range(4) for other in range(one)) > 0.05


@pytest.fixture
def readings(monkeypatch):
    """How often texts were read, by runs and by encoders that stay as they are."""
    count = {"encode_documents": 0, "mean_states": 0}

    def counted(module, name):
        real = getattr(module, name)

        def wrapper(*given, **named):
            count[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, wrapper)

    counted(towers_module, "encode_documents")
    counted(frozen_module, "mean_states")
    return count


def test_members_of_one_run_read_texts_once(made, readings):
    making_ = making(made.corpus)
    members = [KINDS[name].make(made.clustered, making_) for name in KINDS]
    assert {member.tower_number for member in members} == {"0"}
    readings["encode_documents"] = 0
    together = [member.candidates(TEXTS, 5) for member in members]
    assert readings["encode_documents"] == 1
    other = list(reversed(TEXTS))
    reverse = [member.candidates(other, 5) for member in members]
    assert readings["encode_documents"] == 2
    for member, name, found, backward in zip(members, KINDS, together, reverse, strict=True):
        np.testing.assert_allclose(backward.evidence_NK[::-1], found.evidence_NK, atol=1e-4)
        apart = KINDS[name].make(made.clustered, making(made.corpus))
        equal(apart.candidates(TEXTS, 5), found)
        equal(member.candidates(TEXTS, 5), found)


def test_members_of_one_encoder_read_texts_once(made, readings):
    making_ = making(made.corpus)
    members = [KINDS[name].make(made.encoder, making_) for name in ("names", "neighbours")]
    assert {member.tower_number for member in members} == {"0"}
    readings["mean_states"] = 0
    together = [member.candidates(TEXTS, 5) for member in members]
    assert readings == {"encode_documents": 0, "mean_states": 1}
    other = list(reversed(TEXTS))
    reverse = [member.candidates(other, 5) for member in members]
    assert readings["mean_states"] == 2
    for found, backward in zip(together, reverse, strict=True):
        np.testing.assert_allclose(backward.evidence_NK[::-1], found.evidence_NK, atol=1e-3)
