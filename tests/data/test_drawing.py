from __future__ import annotations

import json
import random
import unicodedata
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from xmlkit.data.corpus import Corpus, load_corpus
from xmlkit.data.dialect import Dialect
from xmlkit.data.drawing import parted, parted_by_time, parted_by_value, parted_where, sampled
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


def test_letters_with_accents_are_the_same_however_they_are_written() -> None:
    text = "Résumé du café à la carte, été après été: une étude"
    assert near_duplicates([unicodedata.normalize(form, text) for form in ("NFC", "NFD")]).tolist() == [0, 0]


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


ROWS = [(f"text {row} {WORDS[row]} {WORDS[row + 1]}", 2000 + row // 4, "ab"[row % 2]) for row in range(40)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [f'"{text}",x,{year},{group}' for text, year, group in ROWS]
    (tmp_path / "train.csv").write_text("\n".join(["text,labels,year,group", *lines]))
    return tmp_path / "train.csv"


def by(column: str, path: Path) -> Corpus:
    return load_corpus(path, Dialect(column=column))


@pytest.mark.parametrize(("share", "first"), [(0.1, 2009), (0.13, 2009), (0.16, 2008), (0.01, 2009)])
def test_the_latest_are_tested_whole_years_at_once(table: Path, share: float, first: int) -> None:
    """Four documents a year: of 40 a share of 0.13 is 5.2, nearer to 4 than to 8."""
    found = parted_by_time(by("year", table), share).corpus
    assert list(found.test.texts) == [text for text, year, _ in ROWS if year >= first]
    assert list(found.train.texts) == [text for text, year, _ in ROWS if year < first]


def test_numbers_are_ordered_as_such_and_dates_as_text(tmp_path: Path) -> None:
    for values, latest in (
        (["9", "10", "8.5"], 1),
        (["2024-05", "2024-05-31", "2023-12-31 10:00"], 1),
        (["2024-05-31 10:00Z", "2024-05-31T11:00", "2024-05-31"], 1),
        (["2024-05-31T10:00:00Z", "2024-05-31T10:00:00.25Z", "2024-05-31"], 1),
    ):
        path = tmp_path / "train.jsonl"
        rows = [{"text": f"text {row}", "labels": ["x"], "t": value} for row, value in enumerate(values)]
        path.write_text("\n".join(map(json.dumps, rows)))
        assert list(parted_by_time(by("t", path), 0.3).corpus.test.texts) == [f"text {latest}"]


def test_values_lie_on_one_side(table: Path) -> None:
    found = parted_by_value(by("year", table), 0.3, seed=0).corpus
    years = [{text: year for text, year, _ in ROWS}[text] for text in found.test.texts]
    assert len(years) == 12 and all(years.count(year) == 4 for year in years)
    assert parted_by_value(by("year", table), 0.3, seed=1).corpus.test.texts != found.test.texts


def test_chosen_values_are_tested(table: Path) -> None:
    found = parted_where(by("group", table), ["b"]).corpus
    assert list(found.test.texts) == [text for text, _, group in ROWS if group == "b"]
    with pytest.raises(UserError, match=r"column group: no document has 'c'; one has 'a'"):
        parted_where(by("group", table), ["b", "c"])
    with pytest.raises(UserError, match="this leaves one side empty"):
        parted_where(by("group", table), ["a", "b"])


def test_copies_on_both_sides_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    texts = [*random_texts(10, 8)]
    lines = [f"{text},x,{part}" for part in (1, 2) for text in (texts if part == 1 else texts[:3])]
    path.write_text("\n".join(["text,labels,part", *lines]))
    assert parted_where(by("part", path), ["2"]).near_duplicates == 3


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("train.csv", "text,labels\na,x\n", "no such column; there are text, labels"),
        ("train.csv", "text,labels,year\na,x,1\nb,x,\n", "train.csv:3: year holds nothing"),
        ("train.csv", "text,labels,year\na,x,1\nb,x,soon\n", "year: 'soon'; write numbers alone"),
        ("train.csv", "text,subject_uris,year\na,<x>,1\nb,<x>,\n", "train.csv:3: year holds nothing"),
        ("train.jsonl", '{"text": "a", "labels": ["x"], "year": [1]}\n', "train.jsonl:1: year holds a list"),
        ("train.jsonl", '{"text": "a", "subjects": [{"uri": "x"}]}\n', "train.jsonl:1: year holds nothing"),
        ("train.jsonl", '{"text": "a", "labels": ["x"], "year": NaN}\n', "train.jsonl:1: year holds nothing"),
        ("train.csv", "text,labels,year\na,x,2024-05-31T23:00:00-05:00\n", "00-05:00'; write numbers alone"),
        ("train.tsv", "a\t<x>\nb\t<x>\n", "annif-tsv has no columns"),
    ],
)
def test_what_has_no_such_column(tmp_path: Path, file: str, content: str, reason: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=reason):
        parted_by_time(by("year", tmp_path / file), 0.5)


def test_every_format_with_columns_has_their_values(tmp_path: Path) -> None:
    uid, year = {"text": "a", "document_id": "1"}, {"year": "2001"}
    (tmp_path / "annif").mkdir()
    (tmp_path / "annif/train.jsonl").write_text(
        json.dumps({**uid, "metadata": year, "subjects": [{"uri": "x"}]})
    )
    (tmp_path / "xc").mkdir()
    (tmp_path / "xc/trn.json").write_text(json.dumps({"title": "a", "target_ind": [0], "year": 2001}))
    (tmp_path / "xc/lbl.json").write_text(json.dumps({"title": "x"}))
    (tmp_path / "caml").mkdir()
    (tmp_path / "caml/train_full.csv").write_text("SUBJECT_ID,HADM_ID,TEXT,LABELS,year\n1,2,a,x,2001\n")
    (tmp_path / "parquet").mkdir()
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow reads tables")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"text": ["a"], "labels": [["x"]], "year": [date(2001, 1, 1)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "parquet/train.parquet")
    for name, expected in {"annif": "2001", "xc": "2001", "caml": "2001", "parquet": "2001-01-01"}.items():
        assert load_corpus(tmp_path / name, Dialect(column="year")).train.values == [expected]


def test_times_and_whole_numbers_of_tables_are_plain(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow reads tables")
    feather = pytest.importorskip("pyarrow.feather")
    late = datetime(2024, 5, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
    columns = {"text": ["a", "b"], "labels": [["x"]] * 2, "time": [late, late], "year": [2023.0, 2024.0]}
    columns["price"] = [Decimal("1.50"), Decimal("2.00")]
    path = tmp_path / "train.feather"
    feather.write_feather(pyarrow.table(columns), path)
    found = {name: by(name, path).train.values for name in ("time", "year", "price")}
    assert found == {"time": ["2024-06-01 04:00:00"] * 2, "year": ["2023", "2024"], "price": ["1.50", "2.00"]}
    columns = {"text": ["a"], "labels": [["x"]], "time": pyarrow.array([10**18], pyarrow.timestamp("s"))}
    feather.write_feather(pyarrow.table(columns), path)
    with pytest.raises(UserError, match="cannot be read as Arrow"):
        by("time", path)
