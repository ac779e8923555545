"""Packed texts are what a list of them is."""

from __future__ import annotations

import hashlib
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data import texts as module
from xmlkit.data.cache import digest
from xmlkit.data.corpus import validation_rows
from xmlkit.data.texts import Texts, hashes_of

ANY = st.lists(st.text(st.sampled_from("aé\u2028\U0001f600\ud800\udfff"), max_size=5))


@pytest.fixture(params=["in memory", "in a file"])
def packed(request, monkeypatch):
    if request.param == "in a file":
        monkeypatch.setattr(module, "IN_MEMORY", 1)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    return Texts.of


def slow_digest(*parts: list[str]) -> str:
    """Counts, lengths, bytes: what runs and caches are known by must not change."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = [text.encode("utf-8", "surrogatepass") for text in part]
        whole.update(array("Q", [len(encoded), *map(len, encoded)]).tobytes())
        whole.update(b"".join(encoded))
    return whole.hexdigest()[:32]


LISTS = [[], [""], ["", "a", "", "ü\u2028\U0001f600", "half \ud800", "b" * 50, "last"], ["x"] * 7]


@pytest.mark.parametrize("texts", LISTS)
def test_a_sequence_like_any(packed, texts) -> None:
    found = packed(iter(texts))
    assert found == texts and texts == found and list(found) == texts and len(found) == len(texts)
    assert found != [*texts, "more"] and found != "text" and (not texts or found != [*texts[:-1], "other"])
    assert [found[place] for place in range(-len(texts), len(texts))] == texts + texts
    with pytest.raises(IndexError):
        found[len(texts)]
    for cut in (slice(2), slice(1, 5), slice(None, None, -1), slice(-2, None), slice(5, 1)):
        assert found[cut] == texts[cut] and packed(found[cut]) == texts[cut]
    rows = np.array([row for row in (3, 0, 3, 6) if row < len(texts)], np.int64)
    assert found.take(rows) == [texts[row] for row in rows]
    assert found.take(rows)[::2] == [texts[row] for row in rows][::2]
    assert bool(found) == bool(texts)
    assert digest(found, "and", texts) == slow_digest(texts, ["and"], texts)
    assert digest(found[1:]) == slow_digest(texts[1:])
    assert digest(found.take(rows)) == slow_digest([texts[row] for row in rows])


@given(ANY)
def test_whatever_it_holds(texts) -> None:
    found = Texts.of(texts)
    assert list(found) == texts and digest(iter(texts)) == digest(found) == slow_digest(texts)
    assert b"".join(found.chunks()) == b"".join(text.encode("utf-8", "surrogatepass") for text in texts)


def test_hashes_and_what_is_held_out_by_them_stay_as_they_were() -> None:
    texts = [f"text {row}" for row in range(1000)]
    expected = [
        int.from_bytes(hashlib.blake2b(f"0 {text}".encode(), digest_size=8).digest(), "little")
        for text in texts
    ]
    assert hashes_of(Texts.of(texts)).tolist() == expected
    limit = sorted(expected)[100]
    rows = validation_rows(Texts.of(texts), 0.1, 500)
    assert rows.tolist() == [value < limit for value in expected] == validation_rows(texts, 0.1, 500).tolist()


def test_no_file_is_left_and_a_full_disk_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = Texts.of(["some", "texts"])
    assert found == ["some", "texts"] and not any(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OSError) as caught:
        Texts.of(["some", "texts"])
    assert str(tmp_path / "nowhere") in str(caught.value)
