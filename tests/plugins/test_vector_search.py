"""Searching through an index: beside the exact search, at the edges, from the cache, and without faiss."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tiny
import torch
from test_neighbours import SETTINGS
from xmlkit_plugins import vector_search

import xmlkit
from xmlkit import nearest_vectors
from xmlkit.training import train as training

faiss = pytest.importorskip("faiss")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))


def bank(count, width, groups=50):
    """Vectors of length 1 in groups, as those of texts are, and 64 more of the same kind."""
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(groups, width, generator=rng)
    of = torch.randint(groups, (count + 64,), generator=rng)
    x_ND = centres[of] + torch.randn(count + 64, width, generator=rng) / 2
    x_ND = torch.nn.functional.normalize(x_ND, dim=1)
    return x_ND[:count].half(), x_ND[count:]


@pytest.mark.parametrize("width", [32, 35])
def test_most_of_the_nearest_are_found_with_their_own_products(width):
    """A width of 35 is no multiple of a code's."""
    bank_ND, query_BD = bank(3000, width)
    index = vector_search.Index(bank_ND)
    cos_BK, at_BK = index.nearest(query_BD, 20)
    expected_BK, places_BK = nearest_vectors(query_BD, bank_ND, 20)
    found = [len(set(a) & set(b)) for a, b in zip(at_BK.tolist(), places_BK.tolist(), strict=True)]
    assert np.mean(found) > 18 and all(len(set(row)) == 20 for row in at_BK.tolist())
    assert (cos_BK.diff(dim=1) <= 0).all() and (cos_BK <= expected_BK + 1e-6).all()
    by_hand_BK = (bank_ND.double()[at_BK] @ query_BD.double()[:, :, None])[:, :, 0]
    torch.testing.assert_close(cos_BK.double(), by_hand_BK, rtol=1e-5, atol=1e-6)


def test_lists_that_hold_too_few_are_filled_up_at_the_end(monkeypatch):
    monkeypatch.setattr(vector_search, "LISTS_SEARCHED", 1)
    bank_ND, query_BD = bank(1000, 16)
    cos_BK, at_BK = vector_search.Index(bank_ND).nearest(query_BD, 400)
    assert cos_BK.shape == at_BK.shape == (64, 400)
    filled = cos_BK == -1.0
    assert filled.any() and not at_BK[filled].any() and (cos_BK.diff(dim=1) <= 0).all()


def test_a_second_one_is_read_from_the_cache_folder_and_another_is_made(tmp_path, capsys):
    """One number of one vector is enough."""
    bank_ND, query_BD = bank(1000, 16)
    said = []
    for changed in (False, False, True):
        if changed:
            bank_ND = bank_ND.clone()
            bank_ND[7, 3] += 0.5
        found = vector_search.Index(bank_ND).nearest(query_BD, 5)
        said.append("making the index" in capsys.readouterr().err)
        assert len(list((tmp_path / "cache" / "nearest").iterdir())) == 1 + changed
        said.append(found)
    assert said[::2] == [True, False, True]
    assert torch.equal(said[1][1], said[3][1])


def test_a_run_votes_through_it_and_holds_no_index(tmp_path, monkeypatch):
    """Where all lists are searched and all is scored anew, it predicts what the exact search does."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    corpus = tiny.learnable_corpus()
    settings = {**SETTINGS, "encoder": encoder, "clustered": False}
    training.train(corpus, settings, tmp_path / "exact")
    monkeypatch.setattr(vector_search, "INDEXED_FROM", 1)
    monkeypatch.setattr(vector_search, "RESCORED", 10**6)
    training.train(corpus, {**settings, "neighbours": {"search": "index"}}, tmp_path / "index")
    assert {p.name for p in (tmp_path / "index").iterdir()} == {
        p.name for p in (tmp_path / "exact").iterdir()
    }
    texts = tiny.texts(20, seed=1)
    expected, found = (xmlkit.load(tmp_path / name).predict(texts) for name in ("exact", "index"))
    for a, b in zip(expected, found, strict=True):
        assert [p.label for p in a] == [p.label for p in b]
        assert [p.score for p in a] == pytest.approx([p.score for p in b], rel=1e-4)


def test_all_documents_are_kept_unless_the_settings_say_otherwise():
    from xmlkit_plugins.neighbours import MOST, Options

    assert Options().kept_of(2 * MOST) == MOST and Options().kept_of(7) == 7
    assert Options(search="index").kept_of(2 * MOST) == 2 * MOST
    assert Options(search="index", most=5).kept_of(2 * MOST) == Options(most=5).kept_of(7) == 5


def test_without_faiss_it_says_so_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    settings = {**SETTINGS, "encoder": "scratch", "neighbours": {"search": "index"}}
    with pytest.raises(xmlkit.UserError, match=r"neighbours\.search=index needs faiss: pip install"):
        training.train(tiny.learnable_corpus(), settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
