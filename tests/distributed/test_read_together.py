"""What an encoder reads once, for a start or because it stays as it is, ranks read together."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tiny
from ranks_here import on_ranks

from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.distributed import ranks
from xmlkit.errors import UserError
from xmlkit.model import ranking
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader
from xmlkit.testing.tiny import SETTINGS, named_corpus
from xmlkit.training import vectors as vectors_module
from xmlkit.training.train import prepare
from xmlkit.training.vectors import kept_means

BAG = {"dropout": 0.0, "buckets": 64, "width": 8, "min_documents": 1}
COMMON = {**SETTINGS, "dropout": 0.0, "pooling": "mean", "start": "warm", "micro_batch_tokens": 64}
SETS = {
    "warm": {},
    "clusters and a bag": {"clustered": True, "plugins": ["lexical"], "lexical": BAG},
    "freeze": {"freeze": True, "clustered": True},
    "freeze with names as documents": {"freeze": True, "start": "prior", "name_documents": "hard"},
}


def begun(folder: Path, encoder: str, names: list[str]) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """Of each of these sets how many texts this rank has encoded until the first step, and the weights."""
    return {name: _begun(folder / str(place), encoder, SETS[name]) for place, name in enumerate(names)}


def _begun(folder: Path, encoder: str, settings: dict) -> tuple[int, dict[str, np.ndarray]]:
    os.environ["XMLKIT_CACHE"] = str(folder / "cache")
    counts = counted()
    trainer = prepare(named_corpus(), {**COMMON, "encoder": encoder, **settings}, folder / "run")
    with tiny.killed_before_step(0):
        trainer.fit()
    found = {name: value.numpy() for name, value in trainer.model.weights().items() if not value.is_meta}
    return sum(counts), found


def counted() -> list[int]:
    """How many texts this process encodes from now on for what is kept, by calls."""
    counts, real = [], ranking.encode_documents

    def counting(model, reader, rows, *rest):
        counts.append(len(rows) if reader.means is None else 0)
        return real(model, reader, rows, *rest)

    vectors_module.encode_documents = counting
    return counts


def stored(folder: Path) -> dict[str, bytes]:
    """All vectors that are in a cache."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "vectors").glob("*/*")}
    assert found
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, tuple]:
    """Of each set what one process finds and has in its cache, and what three do."""
    folder = tmp_path_factory.mktemp("found")
    encoder = tiny.save_encoder(folder / "encoder")
    (alone,) = on_ranks(1, begun, folder / "one", encoder, list(SETS))
    three = on_ranks(3, begun, folder / "three", encoder, list(SETS))
    return {
        name: (
            (alone[name], stored(folder / "one" / str(place) / "cache")),
            ([rank[name] for rank in three], stored(folder / "three" / str(place) / "cache")),
        )
        for place, name in enumerate(SETS)
    }


@pytest.mark.parametrize("name", SETS)
def test_ranks_read_what_one_process_does_and_share_it(found, name):
    ((whole, weights), kept), (several, also) = found[name]
    assert also == kept
    (_, first), *_ = several
    for key, value in weights.items():
        np.testing.assert_array_equal(first[key], value, err_msg=key)
    read = [own for own, _ in several]
    assert whole > 100 and max(read) < 0.5 * whole and sum(read) < 1.1 * whole


def read_by_hosts(folder: Path, lost: int) -> tuple[list[int], dict[str, bytes]]:
    """Each rank on a host that shares no disk with others; how many texts each of three passes encodes.

    The second host knows 30 texts before, and after the first pass the last one loses so many.
    """
    os.environ["LOCAL_RANK"] = "0"
    os.environ["XMLKIT_CACHE"] = str(folder / str(ranks.number()))
    counts, encoder = counted(), Encoder(tiny.backbone("bert"), Template.of(tiny.tokenizer()), 1)
    reader = Reader(tokenise(tiny.texts(100), tiny.tokenizer(), 100), encoder.template, 16)
    if ranks.number() == 1:
        with ranks.first_then_rest():
            kept_means(encoder, reader, 64).encode(np.arange(30))
    else:
        with ranks.first_then_rest():
            pass
    seen = []
    for _ in range(3):
        before = sum(counts)
        kept_means(encoder, reader, 64).encode(np.arange(100))
        seen.append(sum(counts) - before)
        if ranks.number() == ranks.count() - 1 and len(seen) == 1:
            (path,) = (folder / str(ranks.number())).glob("vectors/*/checksums")
            path.write_bytes(path.read_bytes()[: -4 * lost] + bytes(4 * lost))
    return seen, stored(folder / str(ranks.number()))


def test_hosts_that_share_no_disk_have_all_in_the_end(tmp_path):
    ((_, expected),) = on_ranks(1, read_by_hosts, tmp_path / "one", 7)
    found = on_ranks(3, read_by_hosts, tmp_path / "three", 7)
    for _, kept in found:
        assert {name.split("/")[-1]: some for name, some in kept.items()} == {
            name.split("/")[-1]: some for name, some in expected.items()
        }
    first, again, nothing = np.array([seen for seen, _ in found]).T
    assert first.sum() == 100 + 2 and max(first) < 50  # two read the first text to know the width
    assert again.sum() == 7 and not nothing.any()


def different(folder: Path, encoder: str) -> str:
    corpus = tiny.learnable_corpus(80 + ranks.number())
    with pytest.raises(UserError) as told:
        prepare(corpus, {**COMMON, "encoder": encoder}, folder)
    return str(told.value)


def test_another_corpus_is_told_on_all(tmp_path):
    for said in on_ranks(2, different, tmp_path / "run", tiny.save_encoder(tmp_path / "encoder")):
        assert said.startswith("rank 0 has a corpus with the digest ")
        assert said.endswith(": processes of one model must be alike")
