from __future__ import annotations

from pathlib import Path

import pytest
import typer

from xmlkit.cli.options import Read, spread
from xmlkit.data.corpus import load_corpus
from xmlkit.data.dialect import Dialect
from xmlkit.errors import UserError

SKIP = Dialect(bad_lines="skip")


def lines(folder: Path, good: int, bad: int) -> Path:
    """A corpus whose bad lines come first."""
    (folder / "train.tsv").write_text("no tab\n" * bad + "text\t<x>\n" * good)
    return folder


def test_a_line_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.tsv:1: no tab"):
        load_corpus(lines(tmp_path, 99, 1))


def test_bad_lines_are_skipped_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(load_corpus(lines(tmp_path, 36, 4), SKIP).train) == 36
    said = capsys.readouterr().err
    assert all(f"train.tsv:{number}: no tab" in said for number in (1, 2, 3)) and "train.tsv:4" not in said
    assert "4 of 40 documents were skipped" in said


def test_a_file_with_more_bad_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"5 of 40 documents can't be read, more than 10%.*another format"):
        load_corpus(lines(tmp_path, 35, 5), SKIP)


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(),
        Dialect(
            encoding="latin-1", bad_lines="skip", label_separator=" ; ", labels_by_name=True, language="fi"
        ),
        Dialect(text_columns=("a title", "text"), label_column=("subject", "place"), label_separator="\t"),
    ],
)
def test_its_words_are_read_as_it(dialect: Dialect) -> None:
    app, read = typer.Typer(), []

    @app.command()
    @spread
    def command(*, given: Read) -> None:
        read.append(given.dialect())

    app(dialect.words, standalone_mode=False)
    assert read == [dialect]


def test_an_encoding_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes("Grüße\t<ä>\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"train\.tsv:1: not valid UTF-8 .* --encoding latin-1"):
        load_corpus(tmp_path)
    corpus = load_corpus(tmp_path, Dialect(encoding="latin-1"))
    assert corpus.train.texts == ["Grüße"] and corpus.labels.ids == ["ä"]
    with pytest.raises(UserError, match="not valid ascii"):
        load_corpus(tmp_path, Dialect(encoding="ascii"))


@pytest.mark.parametrize(
    "said", ["Grüße\t<ä>\n".encode("utf-16"), b"PK\3\4\x14\0\0\xff\n"], ids=["utf-16", "binary"]
)
def test_what_holds_zeros_is_no_other_encoding(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "train.tsv").write_bytes(said)
    with pytest.raises(
        UserError, match=r"train\.tsv:\d: not valid UTF-8 .* holds zeros, .*; save it as UTF-8$"
    ):
        load_corpus(tmp_path)


@pytest.mark.parametrize("encoding", ["klingon", "utf-16", "hex"])
def test_an_encoding_by_which_no_lines_are_found(encoding: str) -> None:
    with pytest.raises(ValueError):
        Dialect(encoding=encoding)


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"encoding": "klingon"}, "--encoding klingon: no such encoding"),
        ({"label_separator": ""}, "--label-separator '': empty; leave it out where white space is between"),
    ],
)
def test_options_that_make_none(options: dict[str, str], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        Read(**options).dialect()
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf_8_with_a_byte_order_mark_is_utf_8(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "train.tsv").write_bytes(mark + "Grüße\t<ä>\nß\t<ä>\n".encode())
    corpus = load_corpus(tmp_path, Dialect(encoding="UTF-8-SIG"))
    assert corpus.train.texts == ["Grüße", "ß"]
