"""What an encoder has read once no member reads again, and nobody is given what another encoder said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

import xmlkit
from xmlkit.blend import costs as costs_module
from xmlkit.blend import frozen as frozen_module
from xmlkit.blend import towers as towers_module
from xmlkit.blend.costs import TRIES, measured
from xmlkit.blend.kinds.names import Names
from xmlkit.blend.kinds.neighbours import Neighbours
from xmlkit.blend.kinds.run import OfRun
from xmlkit.blend.member import Making
from xmlkit.blend.towers import Towers
from xmlkit.blend.training import train_ensemble
from xmlkit.data.corpus import validation_rows
from xmlkit.model.device import use_bfloat16
from xmlkit.model.encoder import Encoder
from xmlkit.testing.tiny import named_corpus

CORPUS = replace(named_corpus(), test=None)
SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.3, "max_steps": 2, "device": "cpu"}
FROZEN = {**SETTINGS, "freeze": True, "clustered": False}
OTHER_PRECISION = "float32" if use_bfloat16("auto", torch.device("cpu")) else "bfloat16"
TEXTS = tiny.texts(20, seed=8)
DOCUMENTS, NAMES = len(CORPUS.train), 12
REFERENCE = 1  # text of a store, from which the others' differences are kept


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def encoder(tmp_path):
    return tiny.save_encoder(tmp_path / "encoder")


@pytest.fixture
def texts_read(monkeypatch):
    """How many texts transformers were given since this was last asked."""
    read, real = [0], Encoder._attention_mask

    def mask(self, mask_BT):
        read[0] += len(mask_BT)
        return real(self, mask_BT)

    def since() -> int:
        count, read[0] = read[0], 0
        return count

    monkeypatch.setattr(Encoder, "_attention_mask", mask)
    return since


def test_runs_neighbours_and_the_encoder_alone_read_training_documents_once(tmp_path, encoder, texts_read):
    """Where their windows are the same: an encoder alone has the default one, here its 40 positions."""
    settings = {**SETTINGS, "encoder": encoder, "max_len": 40, "lexical": {"buckets": 512, "width": 8}}
    made = train_ensemble(CORPUS, settings, ["lexical", "frozen", "neighbours"], tmp_path / "whole")
    timed = TRIES * made.num_documents  # is read anew
    assert texts_read() == DOCUMENTS + NAMES + 2 * REFERENCE + timed
    members = [f"neighbours:{encoder}", f"names:{encoder}"]
    made = xmlkit.ensemble(members, CORPUS, tmp_path / "untrained")
    assert texts_read() == NAMES + TRIES * made.num_documents
    model = xmlkit.load(tmp_path / "whole")
    model.rank(TEXTS, 5)
    assert texts_read() == len(TEXTS)
    model.rank(TEXTS[:3], 5)
    assert texts_read() == 3


@pytest.mark.parametrize(
    "other",
    [
        {"freeze": False},
        {"max_len": 8},
        {"text_cap": 3},
        {"pooling": "first"},
        {"precision": OTHER_PRECISION},
        {"encoder": "another"},
    ],
    ids=str,
)
def test_what_others_have_read_is_not_theirs(tmp_path, encoder, texts_read, other):
    """Of other weights, another window or form; each has its own vectors."""
    xmlkit.train(CORPUS, {**FROZEN, "encoder": encoder}, tmp_path / "known")
    tiny.backbone("bert", seed=1).save_pretrained(tmp_path / "another")
    tiny.tokenizer().save_pretrained(tmp_path / "another")
    other = {**other, "encoder": str(tmp_path / other.get("encoder", "encoder"))}
    texts_read()
    xmlkit.train(CORPUS, {**FROZEN, "head_lr": 0.05, "lr": 1e-2, **other}, tmp_path / "other")
    assert texts_read() >= DOCUMENTS
    towers, rows = Towers(), np.arange(DOCUMENTS)
    known, new = (towers[towers.add(tmp_path / name)] for name in ("known", "other"))
    own_ND = new.many_ND(CORPUS.train.texts)
    np.testing.assert_allclose(new.train_ND(CORPUS, rows), own_ND, atol=2e-2)
    known_ND = known.train_ND(CORPUS, rows)
    assert known_ND.shape != own_ND.shape or not torch.equal(known_ND, new.train_ND(CORPUS, rows))


def test_what_towers_share_is_what_each_says_alone(tmp_path, encoder):
    """To the bit for texts that are read together; from the cache but for its float16."""
    lexical = {"plugins": ["lexical"], "lexical": {"buckets": 512, "width": 8}}
    xmlkit.train(CORPUS, {**FROZEN, "encoder": encoder}, tmp_path / "frozen")
    xmlkit.train(CORPUS, {**FROZEN, **lexical, "encoder": encoder}, tmp_path / "lexical")
    runs = [tmp_path / "frozen", tmp_path / "lexical"]
    together, rows = Towers(), np.array([3, 90, 70])
    towers = [together[together.add(run)] for run in runs]
    for tower, run in zip(towers, runs, strict=True):
        alone = (apart := Towers())[apart.add(run)]
        assert torch.equal(tower.rank_ND(TEXTS), alone.rank_ND(TEXTS))
    texts = [CORPUS.train.texts[row] for row in rows]
    towers[0].recall(CORPUS, rows)
    for tower in towers:
        np.testing.assert_allclose(tower.rank_ND(texts), tower.many_ND(texts), atol=2e-2)
        assert not torch.equal(tower.rank_ND(texts), tower.rank_ND(TEXTS[:3]))


def test_a_finished_ensemble_says_the_same_with_rounded_weights(tmp_path, encoder, texts_read):
    """And knows what was read of training documents before they were rounded; or it computes in full."""
    settings = {**SETTINGS, "encoder": encoder, "precision": "bfloat16"}
    xmlkit.train(CORPUS, {**settings, "freeze": True, "clustered": False}, tmp_path / "frozen")
    xmlkit.train(CORPUS, settings, tmp_path / "trained")
    runs = [str(tmp_path / name) for name in ("frozen", "trained")]
    made = xmlkit.ensemble([*runs, f"names:{encoder}"], CORPUS, tmp_path / "whole")
    texts_read()
    making, rows = Towers(), np.arange(DOCUMENTS)
    for where in [*runs, encoder]:
        number = making.add(where)
        unrounded, full = making[number], Towers(made.folder / "towers", "float32")[number]
        rounded = Towers(made.folder / "towers", "bfloat16")[number]
        if where != runs[1]:
            texts_read()
            rounded.recall(CORPUS, rows)
            assert texts_read() == (0 if where == runs[0] or OTHER_PRECISION == "float32" else DOCUMENTS + 1)
        if where != encoder or OTHER_PRECISION == "float32":
            assert torch.equal(rounded.rank_ND(TEXTS), unrounded.rank_ND(TEXTS))
        assert not torch.equal(full.rank_ND(TEXTS), rounded.rank_ND(TEXTS))
        torch.testing.assert_close(full.rank_ND(TEXTS), rounded.rank_ND(TEXTS), rtol=0.05, atol=0.05)
        assert any(weight.dtype == torch.bfloat16 for weight in rounded.model.parameters())
        assert all(weight.dtype == torch.float32 for weight in full.model.parameters())


def test_what_members_cost_is_told_apart(tmp_path, encoder, monkeypatch):
    """By a clock that moves while texts are read, and at nothing else: 0.4 s for an encoder, 0.1 s for what
    a run makes of that, 0.2 s more where its encoder was trained."""
    xmlkit.train(CORPUS, {**FROZEN, "encoder": encoder, "max_len": 40}, tmp_path / "frozen")
    xmlkit.train(CORPUS, {**SETTINGS, "encoder": encoder}, tmp_path / "trained")
    making = Making(CORPUS, validation_rows(CORPUS.train.texts, 0.3, 4000), Towers())
    members = [
        OfRun.make(str(tmp_path / "frozen"), making),
        Neighbours.make(str(tmp_path / "frozen"), making),
        Names.make(encoder, making),
        OfRun.make(str(tmp_path / "trained"), making),
    ]
    now = [0.0]
    monkeypatch.setattr(costs_module.time, "perf_counter", lambda: now[0])

    def takes(module, name, seconds):
        real = getattr(module, name)

        def slow(model, reader, *rest):
            now[0] += seconds(reader)
            return real(model, reader, *rest)

        monkeypatch.setattr(module, name, slow)

    takes(frozen_module, "mean_states", lambda reader: 0.4)
    takes(towers_module, "encode_documents", lambda reader: 0.3 if reader.means is None else 0.1)
    costs = measured(members, making.towers, TEXTS)
    assert costs.own == pytest.approx([0] * 4)
    a_document = [1000 * seconds / len(TEXTS) for seconds in (0.5, 0.5, 0.4, 0.3)]
    assert [costs.alone(one) for one in range(4)] == pytest.approx(a_document)
    assert costs.of(range(4)) == pytest.approx(1000 * (0.4 + 0.1 + 0.3) / len(TEXTS))
