"""Tables, made with pyarrow itself or typed by hand, and told from other formats with the same file names."""

from __future__ import annotations

import builtins
import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from test_annif import documents, error_of

from xmlkit.cli.options import format_named
from xmlkit.data.asked import asked
from xmlkit.data.corpus import Labels, load_corpus, load_split
from xmlkit.data.dialect import Dialect

ROWS = {"text": ["one", None, "three"], "labels": [["x", "a b"], None, ["x", None]], "id": [7, 8, None]}
CLASSES = {"names": ["World", "Sports news"], "_type": "ClassLabel"}


def write_stream(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as file:
        file.write_table(table)


def saved_dataset(folder: Path, table: pa.Table, parts: int = 1) -> Path:
    """As `datasets` saves a dictionary of one split."""
    (folder / "train").mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (folder / "train/dataset_info.json").write_text('{"citation": "", "features": {}}')
    names = [f"data-{part:05}-of-{parts:05}.arrow" for part in range(parts)]
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "train/state.json").write_text(json.dumps(state))
    for part, name in enumerate(names):
        size = len(table) // parts
        write_stream(folder / "train" / name, table.slice(part * size, size))
    return folder


def write_parquet(folder: Path, table: pa.Table) -> None:
    pa.parquet.write_table(table, folder / "train.parquet")


def write_parts(folder: Path, table: pa.Table) -> None:
    (folder / "data").mkdir()
    for part in range(3):
        pa.parquet.write_table(table.slice(part, 1), folder / f"data/train-{part:05}-of-00003.parquet")


def write_feather(folder: Path, table: pa.Table) -> None:
    pa.feather.write_feather(table, str(folder / "train.feather"))


def write_dataset(folder: Path, table: pa.Table) -> None:
    saved_dataset(folder, table, parts=3)


def write_csv(folder: Path, table: pa.Table) -> None:
    rows = [table.column_names, *([cell or "" for cell in row.values()] for row in table.to_pylist())]
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


WRITERS = {"parquet": write_parquet, "feather": write_feather, "datasets": write_dataset}


@pytest.mark.parametrize("write", [*WRITERS.values(), write_parts])
def test_every_kind_of_file(tmp_path: Path, write) -> None:
    write(tmp_path, pa.table(ROWS))
    corpus = load_corpus(tmp_path)
    assert documents(corpus) == [("one", ["a b", "x"], "7"), ("", [], "8"), ("three", ["x"], None)]
    assert load_split(tmp_path, Labels(["x"], None), "train").labels[2].tolist() == [0]


@pytest.mark.parametrize("write", [*WRITERS.values(), write_parts])
def test_columns_that_are_chosen(tmp_path: Path, write) -> None:
    table = pa.table(
        {
            "title": pa.array(["t", "", "u"]).dictionary_encode(),
            "body": pa.array(["b", "c", None], pa.large_string()),
            "tags": ["x; a b;", None, " ; y"],
        }
    )
    write(tmp_path, table)
    dialect = Dialect(text_columns=("title", "body"), label_column=("tags",), label_separator=";")
    corpus = load_corpus(tmp_path, dialect)
    assert [(text, labels) for text, labels, *_ in corpus.train.documents()] == [
        ("t\nb", ["a b", "x"]),
        ("c", []),
        ("u", ["y"]),
    ]
    assert "which column has the texts? name it with --text-column; there are title, body, tags" in error_of(
        tmp_path
    )
    message = error_of(tmp_path, Dialect(text_columns=("title",), label_column=("body", "nope")))
    assert message.endswith("--label-column nope: there is no such column; there are title, body, tags")
    message = error_of(tmp_path, Dialect(text_columns=("title",)))
    assert "which column has the labels? name it with --label-column" in message


@pytest.mark.parametrize(
    "feature, values",
    [
        (CLASSES, [1, 0, -1]),
        ({"feature": CLASSES, "_type": "Sequence"}, [[1], [0], []]),
        ({"feature": CLASSES, "length": -1, "_type": "List"}, [[1], [0, 0], None]),
        ([CLASSES], [[1, -1], [0], [None]]),
    ],
)
@pytest.mark.parametrize("write", WRITERS.values())
def test_names_of_classes(tmp_path: Path, write, feature, values) -> None:
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": feature}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    write(tmp_path, pa.table({"text": ["a", "b", "c"], "label": values}).replace_schema_metadata(metadata))
    corpus = load_corpus(tmp_path)
    assert [labels for _, labels, *_ in corpus.train.documents()] == [["Sports news"], ["World"], []]


def test_whole_numbers_with_gaps_are_no_fractions(tmp_path: Path) -> None:
    """As pandas writes a column of integers of which one is missing."""
    table = pa.table({"text": ["a", "b", "c"], "label": [1.0, None, 2.0], "id": [10.0, 11.0, None]})
    write_parquet(tmp_path, table)
    corpus = load_corpus(tmp_path)
    assert corpus.labels.ids == ["1", "2"] and corpus.train.ids == ["10", "11", None]


def test_a_class_that_has_no_name(tmp_path: Path) -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": CLASSES}}})}
    write_parquet(tmp_path, pa.table({"text": ["a", "b"], "label": [1, 2]}).replace_schema_metadata(metadata))
    assert error_of(tmp_path) == (
        f"{tmp_path}/train.parquet: row 2: label holds 2, and its classes are 0 to 1"
    )


@pytest.mark.parametrize("names", [None, 7, [1, 2]])
def test_classes_whose_names_are_none(tmp_path: Path, names) -> None:
    """Numbers are then labels as any others."""
    feature = {"names": names, "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    write_parquet(tmp_path, pa.table({"text": ["a", "b"], "label": [1, 0]}).replace_schema_metadata(metadata))
    assert load_corpus(tmp_path).labels.ids == ["0", "1"]


@pytest.mark.parametrize("write", WRITERS.values())
def test_a_column_that_is_there_twice(tmp_path: Path, write) -> None:
    write(tmp_path, pa.table([["a"] * 3, ["x"] * 3, ["b"] * 3], names=["text", "labels", "text"]))
    assert error_of(tmp_path).endswith(": the column 'text' is there twice; name each once")


@pytest.mark.parametrize("write", [write_csv, *WRITERS.values()])
def test_labels_of_several_columns_are_put_together(tmp_path: Path, write) -> None:
    table = pa.table({"text": ["t", "u", "v"], "topic": ["a b", "c", None], "place": ["d;c", "c", ""]})
    write(tmp_path, table)
    dialect = Dialect(label_column=("place", "topic"), label_separator=";")
    found = [labels for _, labels, *_ in load_corpus(tmp_path, dialect).train.documents()]
    assert found == [["a b", "c", "d"], ["c"], []]


def test_a_run_of_before_there_could_be_several_columns_of_labels() -> None:
    assert Dialect.model_validate({"label_column": None}) == Dialect()
    assert Dialect.model_validate({"label_column": "a,b"}).label_column == ("a,b",)


def test_documents_to_be_labelled_need_no_column_of_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path, pa.table({"text": ["a", "b"], "id": [1, 2]}))
    found = asked(str(tmp_path / "train.parquet"), None, Dialect(label_column=("nope",)))
    assert [(document.text, document.id) for document in found] == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    "columns, problem",
    [
        ({"text": ["a"], "labels": [1.5]}, "row 1: labels holds a number that is no integer"),
        ({"text": ["a"], "labels": [[True]]}, "row 1: labels holds a boolean"),
        ({"text": ["a"], "labels": [[""]]}, "row 1: labels holds an empty label"),
        ({"text": ["a"], "labels": [{"uri": "x"}]}, "row 1: labels holds a dict"),
        ({"text": [["a"]], "labels": ["x"]}, "row 1: text holds a list, not text"),
        ({"text": ["a"], "labels": ["x"], "id": [0.5]}, "row 1: id holds a number that is no integer"),
        (
            {"text": ["a"], "labels": ["x"], "label": ["x"]},
            "which column has the labels? labels and label may",
        ),
        ({"labels": ["x"]}, "which column has the texts?"),
    ],
)
def test_cells_and_columns_that_do_not_fit(tmp_path: Path, columns, problem: str) -> None:
    write_parquet(tmp_path, pa.table(columns))
    assert error_of(tmp_path).startswith(f"{tmp_path}/train.parquet: {problem}")


@pytest.mark.parametrize("name", ["train.parquet", "train.feather"])
@pytest.mark.parametrize("content", [b"", b"none", b"PAR1" * 10, b"ARROW1" * 10])
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert error_of(tmp_path).startswith(f"{tmp_path / name}: cannot be read as ")


def test_bad_utf8_in_a_table(tmp_path: Path) -> None:
    text = pa.array([b"caf\xe9"]).view(pa.string())
    write_parquet(tmp_path, pa.table({"text": text, "labels": ["x"]}))
    assert error_of(tmp_path).startswith(f"{tmp_path}/train.parquet: cannot be read as Parquet")


@pytest.mark.parametrize("hashes", [("aaaa", "bbbb", "zzzz", "0000"), ("aaaa", "bbbb", "cccc")])
def test_parts_of_two_uploads(tmp_path: Path, hashes: tuple[str, ...]) -> None:
    for place, hash in enumerate(hashes):
        pa.parquet.write_table(pa.table(ROWS), tmp_path / f"train-0000{place % 2}-of-00002-{hash}.parquet")
    assert error_of(tmp_path).startswith(f"{tmp_path}: not all parts of train, or those of two: ")


def test_a_damaged_file_that_is_mapped_is_told_and_not_followed(tmp_path: Path) -> None:
    """Offsets of a column that lead out of the file; in a process of its own, which they once ended."""
    write_feather(tmp_path, pa.table({"text": ["one", "two"], "labels": ["x", "y"]}))
    path = tmp_path / "train.feather"
    whole, script = (
        path.read_bytes(),
        (
            "import sys; from pathlib import Path; from xmlkit.data.corpus import load_corpus\n"
            "from xmlkit.errors import UserError\n"
            "path, whole = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes()\n"
            "for at in range(len(whole)):\n"
            "    path.write_bytes(whole[:at] + bytes([0x7f]) + whole[at + 1:])\n"
            "    try: load_corpus(path.parent)\n"
            "    except UserError: pass\n"
        ),
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert path.read_bytes() != whole


def test_parts_that_lack(tmp_path: Path) -> None:
    write_parts(tmp_path, pa.table(ROWS))
    (tmp_path / "data/train-00001-of-00003.parquet").unlink()
    assert error_of(tmp_path).startswith(f"{tmp_path}/data: not all parts of train")
    write_parquet(tmp_path, pa.table(ROWS))
    (tmp_path / "data/train-00000-of-00003.parquet").rename(tmp_path / "data/train-00000-of-00001.parquet")
    (tmp_path / "data/train-00002-of-00003.parquet").unlink()
    message = error_of(tmp_path)
    assert message.endswith(
        "train.parquet and data/train-00000-of-00001.parquet are one split; keep one of them"
    )


def test_a_dataset_without_splits_is_to_train_on(tmp_path: Path) -> None:
    """As `datasets` saves one that is no dictionary: its files are in the folder itself."""
    saved_dataset(tmp_path / "saved", pa.table(ROWS), parts=3)
    folder = (tmp_path / "saved/train").rename(tmp_path / "alone")
    corpus = load_corpus(folder)
    assert (corpus.format, len(corpus.train), corpus.test) == ("datasets", 3, None)
    write_feather(folder / "..", pa.table(ROWS))
    (tmp_path / "state.json").write_text("{}")
    assert load_corpus(tmp_path).format == "feather"  # such a file alone is none of these
    (folder / "data-00002-of-00003.arrow").unlink()
    assert error_of(folder).startswith(f"{folder}/data-00002-of-00003.arrow: missing; state.json names it")


def test_a_dataset_that_is_not_whole(tmp_path: Path) -> None:
    folder = saved_dataset(tmp_path, pa.table(ROWS), parts=3)
    (folder / "train/data-00002-of-00003.arrow").unlink()
    assert error_of(folder).startswith(f"{folder}/train/data-00002-of-00003.arrow: missing")
    (folder / "train/state.json").write_text("{}")
    assert error_of(folder).startswith(f"{folder}/train/state.json: names no Arrow files")


# CSV, which needs no library


@pytest.mark.parametrize("name", ["train.csv", "mine.csv"])
def test_csv(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('id, text ,label\n1,"a,\nb",x y\n,"",\n')
    split = load_split(path, Labels(["x", "y"], None))
    assert (split.texts, split.ids, split.labels[0].tolist()) == (["a,\nb", ""], ["1", None], [0, 1])


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_what_parts_the_columns_of_csv(tmp_path: Path, mark: str) -> None:
    other = "," if mark != "," else ";"
    path = tmp_path / "train.csv"
    rows = [["text", "labels"], [f"a {other} b", "x y"], [f'"a {mark} b"', "x"]]
    path.write_text("".join(f"{mark.join(row)}\r\n" for row in rows))
    split = load_split(path, Labels(["x", "y"], None))
    assert split.texts == [f"a {other} b", f"a {mark} b"]
    assert [labels.tolist() for labels in (split.labels[0], split.labels[1])] == [[0, 1], [0]]


@pytest.mark.parametrize("before", ["", "\n", "\r\n\n"])
@pytest.mark.parametrize("header", ["text;labels", '"text";"labels"', '"text";"labels";"a, b"'])
def test_what_parts_columns_is_seen_outside_quotes_of_the_first_line_that_is_not_blank(
    tmp_path: Path, before: str, header: str
) -> None:
    path = tmp_path / "train.csv"
    path.write_text(f"{before}{header}\na, b;x y{';' * (header.count(';') - 1)}\n", newline="")
    split = load_split(path, Labels(["x", "y"], None))
    assert (split.texts, split.labels[0].tolist()) == (["a, b"], [0, 1])


def test_csv_is_annifs_by_its_header_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,subject_uris,topic\na,<x>,p q;r\n")
    assert load_corpus(tmp_path).format == "annif-csv"
    (tmp_path / "train.csv").write_text("title,subject_uris\na,<x>\n")
    named = load_corpus(tmp_path, Dialect(text_columns=("title",), label_column=("subject_uris",)))
    assert (named.format, named.labels.ids) == ("annif-csv", ["x"])
    (tmp_path / "train.csv").write_text("text,subject_uris,topic\na,<x>,p q;r\n")
    chosen = Dialect(label_column=("topic",), label_separator=";")
    assert load_corpus(tmp_path, chosen).labels.ids == ["p q", "r"]
    (tmp_path / "train.csv").write_text("text,subjects\na,<x>\n")
    corpus = load_corpus(tmp_path)
    assert (corpus.format, corpus.labels.ids) == ("csv", ["<x>"])


@pytest.mark.parametrize(
    "content, problem",
    [
        ("", ": which column has the texts? name it with --text-column; there are none: it is empty"),
        ("a;b\n1;2\n", ": which column has the texts? name it with --text-column; there are a, b"),
        (
            "text;b,labels\n1;2\n",
            ": which column has the texts? name it with --text-column; there are text;b, l",
        ),
        ("text,labels\na\n", ":2: 1 cells, where the header has 2"),
        ("text,labels,text\na,b,c\n", ":1: the column 'text' is there twice"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "train.csv").write_text(content)
    assert error_of(tmp_path).startswith(f"{tmp_path}/train.csv{problem}")


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("csv", "text,labels", "{},w1"),
        ("annif-csv", "text,subject_uris", "{},<w1>"),
        ("caml", "SUBJECT_ID,HADM_ID,TEXT,LABELS", ",,{},w1"),
    ],
)
@pytest.mark.parametrize("count", [2, 20_000])  # what fits into a buffer, and what doesn't
def test_a_table_that_comes_through_a_pipe(
    tmp_path: Path, name: str, header: str, row: str, count: int
) -> None:
    texts = [f"text {number}" for number in range(count)]
    (tmp_path / "table").write_text("\n".join([header, *map(row.format, texts)]))
    with subprocess.Popen(["cat", tmp_path / "table"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = asked(f"/dev/fd/{process.stdout.fileno()}", format_named(name), Dialect())
        assert [document.text for document in found] == texts


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path, pa.table(ROWS))
    real = builtins.__import__

    def without(name, *others, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    message = error_of(tmp_path)
    assert message == "tables in Parquet or Arrow files need pyarrow: pip install pyarrow"
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "train.csv").write_text("text,labels\na,x\n")
    assert load_corpus(tmp_path).labels.ids == ["x"]
