from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from xmlkit.data.corpus import Corpus
from xmlkit.data.drawing import parted, sampled
from xmlkit.data.duplicates import near_duplicates
from xmlkit.errors import UserError

WORDS = [f"word{number}" for number in range(2000)]


def random_texts(count: int, words: int, seed: int = 0) -> list[str]:
    rnd = random.Random(seed)
    return [" ".join(rnd.choices(WORDS, k=words)) for _ in range(count)]


def jaccard(first: str, second: str) -> float:
    """Of words and pairs of words, the slow way."""
    one, other = ({*words, *pairwise(words)} for words in (text.lower().split() for text in (first, second)))
    return len(one & other) / len(one | other)


def test_near_duplicates_are_found_and_others_are_not() -> None:
    texts = random_texts(300, 20)
    copies = []
    for text in texts[:100]:  # one word of twenty is another: 56 of 39 + 39 shingles are shared
        words = text.split()
        words[7] = "another"
        copies.append(" ".join(words))
    assert all(jaccard(*pair) > 0.8 for pair in zip(texts, copies))
    groups = near_duplicates([*texts, *copies])
    together = groups[:100] == groups[300:]
    assert together.mean() > 0.99
    assert len(set(groups.tolist())) == 300 + int((~together).sum())


def test_what_shares_little_is_kept_apart() -> None:
    """Titles of a series, say, which are not to become one group by chains."""
    rnd = random.Random(1)
    texts = [f"annual report {' '.join(rnd.choices(WORDS, k=6))}" for _ in range(500)]
    assert max(jaccard(texts[0], other) for other in texts[1:]) < 0.4
    assert len(set(near_duplicates(texts).tolist())) == 500


def test_the_same_words_are_always_of_one_group() -> None:
    texts = random_texts(5000, 4)
    spelt = [f"  {text.upper()}, ".replace(" WORD", " - Word") for text in texts]
    groups = near_duplicates([*texts, *spelt, "", "?!", "日本", "日 本"])
    assert (groups[:5000] == groups[5000:10000]).all()
    assert groups[-4] == groups[-3] and groups[-2] == groups[-1] != groups[-3]


def series(groups: int, each: int) -> Corpus:
    texts = [text for text in random_texts(groups, 12) for _ in range(each)]
    return Corpus.of([f"{text} {row % each}" for row, text in enumerate(texts)], [["x"]] * len(texts))


def test_groups_lie_on_one_side_and_shares_hold() -> None:
    corpus = series(200, 3)
    corpus = replace(corpus, train=replace(corpus.train, ids=[str(row) for row in range(600)]))
    found = parted(corpus, 0.2, seed=0)
    train, test = ({int(id) for id in split.ids} for split in found.corpus.splits.values())
    assert found.near_duplicates == 600
    assert train | test == set(range(600)) and len(test) == 120
    assert not {row // 3 for row in train} & {row // 3 for row in test}
    assert found.corpus.train.ids == sorted(found.corpus.train.ids, key=int)
    again, other = parted(corpus, 0.2, seed=0).corpus, parted(corpus, 0.2, seed=1).corpus
    assert again.test.ids == found.corpus.test.ids != other.test.ids


def test_a_very_large_group_stays_in_train() -> None:
    texts = ["the same thing again and again"] * 50 + random_texts(50, 8)
    found = parted(Corpus.of(texts, [["x"]] * 100), 0.3, seed=0).corpus
    assert len(found.test) == 30 and "the same thing again and again" not in found.test.texts


def test_what_cannot_be_parted() -> None:
    corpus = series(4, 1)
    whole = parted(corpus, 0.5, seed=0).corpus
    for bad, share, reason in (
        (whole, 0.5, "there is a test split already"),
        (corpus, 0.01, "leaves one side empty"),
        (corpus, 1.0, "leaves one side empty"),
        (Corpus.of(["one", "one"], [["x"], ["x"]]), 0.5, "leaves one side empty"),
    ):
        with pytest.raises(UserError, match=reason):
            parted(bad, share, seed=0)


def test_a_sample() -> None:
    whole = parted(series(100, 1), 0.2, seed=0).corpus
    few = sampled(whole, 40, seed=0)
    assert (len(few.train), len(few.test)) == (40, 10)
    assert few.labels is whole.labels
    places = [whole.train.texts.index(text) for text in few.train.texts]
    assert places == sorted(set(places))
    assert sampled(whole, 40, 0).train.texts == few.train.texts != sampled(whole, 40, 1).train.texts
    assert sampled(whole, 80, 5).train.texts == whole.train.texts
    with pytest.raises(UserError, match="80 training documents, fewer than --documents 81"):
        sampled(whole, 81, seed=0)
    rare = Corpus.of([f"text {row}" for row in range(50)], [["x"], *([] for _ in range(49))])
    with pytest.raises(UserError, match="none of the documents drawn has a label"):
        sampled(rare, 1, seed=0)
