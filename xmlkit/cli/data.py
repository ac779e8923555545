"""`xmlkit data describe`, `formats`, `convert`, `split` and `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from xmlkit.cli.options import Read, format_named, spread
from xmlkit.cli.saying import out, print_uncut, remark
from xmlkit.console import say
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus
    from xmlkit.data.formats import Format

WITHOUT_ONE = "jsonl"  # the format of what has none: it holds any text and label
InArgument = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="A corpus folder, `demo`, or one file, whose documents are training documents.",
        show_default=False,
    ),
]


def _free(out: Path) -> Path:
    """Before the work."""
    from xmlkit.files import check_free

    check_free(out)
    return out


NewFolder = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="A folder that is new or empty.", show_default=False, callback=_free),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="What is written; default: as IN is.", show_default=False),
]
SHARE = 0.1  # of the documents, for a test split
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Another one draws others; default: 0.", show_default=False),
]


@spread
def describe(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A corpus folder, `demo`, or one file.", show_default=False)
    ],
    *,
    read: Read,
) -> None:
    """Counts documents and labels, and shows how the labels are spread."""
    from xmlkit.data.corpus import load_corpus
    from xmlkit.data.describe import describe as describe_corpus
    from xmlkit.data.describe import render

    corpus = load_corpus(path, read.dialect())
    out.print(render(describe_corpus(corpus)))
    remark(corpus)


def formats() -> None:
    """Lists the formats, as `--format` calls them, and the files by which each is found."""
    from xmlkit.data.formats import formats as every

    table = Table("format", "files, each plain or .gz where it is text")
    for format in every():
        table.add_row(format.NAME, escape(format.DESCRIPTION))
    print_uncut(table)


@spread
def convert(
    in_: InArgument,
    out_: NewFolder,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="What is written.", show_default=False)
    ],
    *,
    read: Read,
) -> None:
    """Writes a corpus in another format, and says what that has no room for."""
    format = format_named(format_)
    _write(_read(in_, read), out_, format)


@spread
def split(
    in_: InArgument,
    out_: NewFolder,
    test: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help=f"Of the documents, for the test split; default: {SHARE}.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Documents with one value of this column (or key) lie on one side.",
            show_default=False,
        ),
    ] = None,
    by_time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The latest by this column, of numbers or dates as 2024-05-31, are the test split.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN=A,B",
            help="Documents with one of these values are the test split.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = None,
    format_: FormatOption = None,
    *,
    read: Read,
) -> None:
    """Parts a corpus into train and test: at random, with texts that are nearly the same on one side, or by a
    column."""
    from xmlkit.data.drawing import parted, parted_by_time, parted_by_value, parted_where

    if sum(option is not None for option in (by, by_time, where)) > 1:
        raise UserError("--by, --by-time and --where: give one of them")
    if by == "" or by_time == "":
        raise UserError(f"{'--by' if by == '' else '--by-time'}: name a column, as in --by-time year")
    chosen, equals, values = (where or "").partition("=")
    if where is not None and not (chosen and equals and values):
        raise UserError(f"--where {where!r}: write COLUMN=VALUE or COLUMN=A,B")
    if where is not None and test is not None:
        raise UserError("--test: the values of --where say what the test split is; leave it out")
    if seed is not None and (where is not None or by_time is not None):
        raise UserError(f"--seed: nothing is drawn with {'--where' if where else '--by-time'}; leave it out")
    share, drawn_by = SHARE if test is None else test, seed or 0
    format = format_ and format_named(format_)
    column = by or by_time or chosen or None
    corpus = _read(in_, read, column)
    if column is None:
        found = parted(corpus, share, drawn_by)
        say(f"{found.near_duplicates:,} documents are nearly the same as another one, and lie on its side")
    else:
        if by is not None:
            found = parted_by_value(corpus, share, drawn_by)
        elif by_time is not None:
            found = parted_by_time(corpus, share)
        else:
            found = parted_where(corpus, [value.strip() for value in values.split(",")])
        say(f"{found.near_duplicates:,} test documents are nearly the same as a training document")
        say(f"the column {column} is not written: texts, labels and ids are")
    _write(found.corpus, out_, format or format_named(corpus.format or WITHOUT_ONE))


@spread
def sample(
    in_: InArgument,
    out_: NewFolder,
    documents: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Training documents; of a test split, the same share.",
            show_default=False,
        ),
    ],
    seed: SeedOption = None,
    format_: FormatOption = None,
    *,
    read: Read,
) -> None:
    """Draws documents at random; the list of labels stays whole."""
    from xmlkit.data.drawing import sampled

    format = format_ and format_named(format_)
    corpus = _read(in_, read)
    _write(sampled(corpus, documents, seed or 0), out_, format or format_named(corpus.format or WITHOUT_ONE))


def _read(path: str, read: Read, column: str | None = None) -> Corpus:
    """With what is parted by; says which options its format makes nothing of."""
    from xmlkit.data.corpus import load_corpus
    from xmlkit.data.remarks import unheeded

    corpus = load_corpus(path, read.dialect().model_copy(update={"column": column}))
    for line in unheeded(corpus):
        say(line)
    return corpus


def _write(corpus: Corpus, folder: Path, format: Format) -> None:
    from xmlkit.data.writing import write_corpus

    for line in write_corpus(corpus, folder, format):
        say(line)
    counts = " and ".join(f"{len(split):,} {name}" for name, split in corpus.splits.items())
    say(f"{folder}: {counts} documents as {format.NAME}")
